//! The real programs on the real kernel: sockets, pods, nodes. From a fixture of network namespaces; to what clients see.
//!
//! Needs root and `SKEP_TEST_ROOT=1`; each test has namespaces, a cgroup and a pin directory of its own.

#![cfg(test)]

mod client;
mod fixture;
mod pods;
mod sockets;

/// Whether tests that change the kernel may run here.
fn may_run() -> bool {
    let may = std::env::var_os("SKEP_TEST_ROOT").is_some();
    if !may {
        eprintln!("needs SKEP_TEST_ROOT=1 (run by cargo xtask test)");
    }
    may
}
