//! Which backend a new connection gets: an index below the number of backends. From `ServiceValue`; the same for sockets
//! and packets. Pure: chance and cursor are passed in.

pub mod random;
pub mod round_robin;

use crate::maps::service::Algorithm;

/// What a choice may use.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// A random number.
    pub random: u32,
    /// The frontend's cursor before this choice.
    pub cursor: u32,
}

/// The index of the chosen backend; `None` when there is none.
#[inline(always)]
#[must_use]
pub const fn index(algorithm: Algorithm, count: u32, draw: Draw) -> Option<u32> {
    if count == 0 {
        return None;
    }
    Some(match algorithm {
        Algorithm::Random => random::index(count, draw.random),
        Algorithm::RoundRobin => round_robin::index(count, draw.cursor),
    })
}

#[cfg(test)]
mod tests {
    use super::{Draw, index};
    use crate::maps::service::Algorithm;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_choice_exists(count in 1_u32.., random: u32, cursor: u32, robin: bool) {
            let algorithm = if robin { Algorithm::RoundRobin } else { Algorithm::Random };
            let chosen = index(algorithm, count, Draw { random, cursor });
            prop_assert!(chosen.is_some_and(|chosen| chosen < count));
        }
    }

    #[test]
    fn nothing_to_choose_from() {
        assert_eq!(index(Algorithm::Random, 0, Draw { random: 5, cursor: 5 }), None);
    }
}
