//! Starts again what ended of a local cluster. From the notes of [`super::process`]; to processes. One for all nodes, itself started by `up`.
//!
//! It knows no plan: what was started once and runs no more is started with the same words. So it cannot be ahead of an `up` that
//! still makes a node, and needs not be told of new ones. `up` may start the same at the same time: the process file has one owner.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::process;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(500);
/// From one start to the next of what ends again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What ran so long is started again at once.
const STEADY: Duration = Duration::from_secs(10);

/// Looks until stopped: in between, so that no process is left half started.
pub(crate) async fn run(run_directory: &Path, stop: CancellationToken) {
    let mut starts: HashMap<(PathBuf, String), Starts> = HashMap::new();
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        bury();
        for directory in directories(run_directory) {
            if let Err(error) = look(&directory, &mut starts) {
                tracing::warn!("{error:#}");
            }
        }
    }
}

/// The control plane's and each node's.
fn directories(run_directory: &Path) -> Vec<PathBuf> {
    let nodes = fs::read_dir(run_directory).into_iter().flatten().flatten().map(|entry| entry.path());
    [run_directory.to_owned()].into_iter().chain(nodes.filter(|path| path.is_dir())).collect()
}

fn look(directory: &Path, starts: &mut HashMap<(PathBuf, String), Starts>) -> anyhow::Result<()> {
    for process in process::ended(directory)? {
        let starts = starts.entry((directory.to_owned(), process.name.clone())).or_default();
        if !starts.is_due(Instant::now()) {
            continue;
        }
        starts.started(Instant::now());
        let log = process.log.display();
        tracing::warn!("{} of {} ended, and is started again; see {log}", process.name, directory.display());
        process.ensure().with_context(|| format!("start {} of {} again", process.name, directory.display()))?;
    }
    Ok(())
}

/// Takes note of children that ended.
fn bury() {
    while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// When one process may be started again.
#[derive(Debug, Default)]
struct Starts {
    last: Option<Instant>,
    pause: Duration,
}

impl Starts {
    fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now >= last + self.pause)
    }

    fn started(&mut self, now: Instant) {
        let ran_long = self.last.is_none_or(|last| now > last + self.pause + STEADY);
        self.pause = if ran_long { PAUSES.0 } else { (self.pause * 2).min(PAUSES.1) };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_again_and_again_is_started_less_and_less_often() {
        let mut starts = Starts::default();
        let begin = Instant::now();
        let mut now = begin;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let asked = now;
            while !starts.is_due(now) {
                now += PERIOD;
            }
            pauses.push((now - asked).as_secs());
            starts.started(now);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
        now += PAUSES.1 + STEADY + PERIOD;
        assert!(starts.is_due(now), "it ran long");
        starts.started(now);
        assert!(!starts.is_due(now) && starts.is_due(now + PAUSES.0));
    }
}
