//! Any backend with equal chance. Pure.

#![cfg_attr(
    not(test),
    expect(clippy::arithmetic_side_effects, reason = "a product of two 32-bit numbers fits 64 bits")
)]

/// `random` scaled to `0..count`: a multiplication instead of a division, biased by at most `count / 2^32`.
#[inline(always)]
#[must_use]
pub const fn index(count: u32, random: u32) -> u32 {
    ((random as u64 * count as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_range_is_covered_evenly() {
        let mut hits = [0_u32; 7];
        for step in 0..70_000_u32 {
            hits[super::index(7, step.wrapping_mul(0x9e37_79b9)) as usize] += 1;
        }
        assert!(hits.iter().all(|hit| hit.abs_diff(10_000) < 200), "{hits:?}");
    }
}
