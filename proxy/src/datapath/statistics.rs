//! How often pinned programs run and how long they take. From the kernel's statistics; to benches and views.

use std::{os::fd::OwnedFd, time::Duration};

use aya::programs::{ProgramError, ProgramInfo};
use skep_proxy_ebpf::pins::PinDirectory;

/// The kernel counts runs and time of every program while this lives; that costs some 20 ns per run.
#[derive(Debug)]
pub struct Statistics {
    _while_open: OwnedFd,
}

/// What a program has used up while statistics were on, since it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Used {
    /// How often it ran.
    pub runs: u64,
    /// How long it took in all.
    pub time: Duration,
}

impl Statistics {
    /// Turns them on.
    ///
    /// # Errors
    /// When the kernel refuses (it wants `CAP_SYS_ADMIN`).
    pub fn enable() -> Result<Self, ProgramError> {
        Ok(Self { _while_open: aya::sys::enable_stats(aya::sys::Stats::RunTime)? })
    }

    /// What the pinned program `name` has used up.
    ///
    /// # Errors
    /// When it is not pinned.
    pub fn of(&self, pins: &PinDirectory, name: &str) -> Result<Used, ProgramError> {
        let info = ProgramInfo::from_pin(pins.program(name))?;
        Ok(Used { runs: info.run_count(), time: info.run_time() })
    }
}

impl Used {
    /// The mean time of the runs since `before`; `None` when there were none.
    #[must_use]
    pub fn mean_since(&self, before: Self) -> Option<Duration> {
        let runs = u32::try_from(self.runs.checked_sub(before.runs)?).ok()?;
        self.time.checked_sub(before.time)?.checked_div(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_what_came_since() {
        let used = |runs, ns| Used { runs, time: Duration::from_nanos(ns) };
        assert_eq!(used(30, 900).mean_since(used(10, 500)), Some(Duration::from_nanos(20)));
        assert_eq!(used(10, 500).mean_since(used(10, 500)), None);
    }
}
