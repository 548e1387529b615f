//! Chance that can be repeated: numbers from a printed seed. Pure but for the seed.

use std::time::Duration;

/// A generator of numbers (`SplitMix64`).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// From `SKEP_SEED`, or the clock; says which.
    #[must_use]
    pub fn shaken() -> Self {
        let given = std::env::var("SKEP_SEED").ok().and_then(|text| text.parse().ok());
        let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let seed = given.unwrap_or_else(|| u64::try_from(clock).unwrap_or_default());
        eprintln!("SKEP_SEED={seed}");
        Self(seed)
    }

    /// Any number below `limit`, which is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// One of them.
    ///
    /// # Panics
    /// When there is none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let index = self.below(u64::try_from(all.len()).unwrap_or(u64::MAX));
        usize::try_from(index).ok().and_then(|index| all.get(index)).expect("at least one to choose from")
    }

    /// A time of at most `limit`.
    pub fn moment(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1)))
    }

    /// Lets a random time pass: the moment of what follows is chance, too.
    pub fn wait(&mut self, limit: Duration) {
        std::thread::sleep(self.moment(limit));
    }
}
