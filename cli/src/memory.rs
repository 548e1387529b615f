//! How the allocator of the node's processes keeps memory; before the runtime starts, and then by the clock.
//!
//! glibc gives every thread an arena of its own, raises by itself the size from which blocks are returned at once, and
//! keeps what is freed below a block that lives. After a start (type information, first lists) that is most of a small
//! process, see `docs/decisions/0175-small-nodes.md`.

use std::time::Duration;

/// After the start: first when the programs are loaded and first lists are in.
const FIRST: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(60);

/// Blocks from this size on are memory mappings of their own, which end with them.
#[cfg(target_env = "gnu")]
const MAPPED_FROM_BYTES: libc::c_int = 128 << 10;

/// One arena, and no growing thresholds. To be called before there are threads.
pub(crate) fn keep_little() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES),
        (libc::M_TRIM_THRESHOLD, MAPPED_FROM_BYTES),
    ] {
        #[expect(unsafe_code, reason = "an allocator's parameters are set through C")]
        // SAFETY: numbers only; an unknown parameter is refused, which leaves the default.
        unsafe {
            libc::mallopt(parameter, value)
        };
    }
}

/// Returns to the kernel what lies free in the heap, again and again.
pub(crate) async fn give_back() {
    let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        #[cfg(target_env = "gnu")]
        #[expect(unsafe_code, reason = "the heap is trimmed through C")]
        // SAFETY: takes the allocator's own locks.
        unsafe {
            libc::malloc_trim(0)
        };
    }
}
