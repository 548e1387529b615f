//! One backend after the other. Pure.

#![cfg_attr(not(test), expect(clippy::arithmetic_side_effects, reason = "count is not 0"))]

/// The backend at `cursor`; `count` is not 0.
#[inline(always)]
#[must_use]
pub const fn index(count: u32, cursor: u32) -> u32 {
    if count == 0 { 0 } else { cursor % count }
}
