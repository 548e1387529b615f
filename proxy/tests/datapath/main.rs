//! The real programs on the real kernel: sockets, pods, nodes. From a fixture of network namespaces; to what clients see.
//!
//! Needs root and `SKEP_TEST_ROOT=1`; each test has namespaces, a cgroup and a pin directory of its own.

#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "networks are made with ip(8), clients are processes, time is measured")]
#![expect(clippy::unused_result_ok, reason = "what a test made is removed as far as possible")]

mod client;
mod cost;
mod fixture;
mod frame;
mod nothing;
mod packets;
mod ping;
mod pods;
mod policies;
mod sockets;
mod tables;
mod takeover;
mod traffic;

/// Whether tests that change the kernel may run here.
fn may_run() -> bool {
    let may = std::env::var_os("SKEP_TEST_ROOT").is_some();
    if !may {
        eprintln!("needs SKEP_TEST_ROOT=1 (run by cargo xtask test)");
    }
    may
}
