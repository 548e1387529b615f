//! The programs, one per hook for the whole node. From maps and packets; to `finish`. For the host: an empty `main`.
//!
//! ```text
//! programs  one file per hook: what it does, step by step
//! steps     one file per step
//! finish    verdict → answer to the kernel, and the count of drops
//! ```
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(unsafe_code, reason = "programs speak to the kernel through pointers; its verifier checks each")
)]

#[cfg(target_arch = "bpf")]
mod finish;
#[cfg(target_arch = "bpf")]
mod map_statics;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
mod steps;

/// Some helpers of the kernel are open to GPL-compatible programs only; this is the licence of the *loaded object*.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
