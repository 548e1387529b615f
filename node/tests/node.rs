//! The kubelet on a real containerd: life cycle of static pods, restarts, volumes, probes, the server's logs and exec.
//! Needs root, containerd, runc and a static busybox; run by `cargo xtask test` (`SKEP_TEST_ROOT=1`).

#![expect(unreachable_pub, reason = "the modules of a test binary are its own")]

#[cfg(test)]
mod node {
    pub mod fixture;
    pub mod life_cycle;
    pub mod streams;
}
