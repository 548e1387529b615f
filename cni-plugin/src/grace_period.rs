//! RCU grace periods, kept short while devices and programs come and go. From `main`; to `/sys/kernel/rcu_expedited`.
//!
//! Putting a program on a device waits for a grace period with the RTNL lock held (`kernel/bpf/tcx.c`,
//! `tcx_entry_sync`, Linux 6.6): 5–25 ms, twice for a pod, one pod after the other. Expedited ones take microseconds and
//! interrupt the other processors briefly, which is why they are asked for only while the plugin works. The last of the
//! plugin's processes on a node takes the wish back; one that was killed leaves that to the next, until the machine is
//! started anew. A machine whose owner set `rcu_normal` (real time) or `rcu_expedited` keeps what was set.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

const SWITCH: &str = "/sys/kernel/rcu_expedited";
/// Names one run of the machine, from its start to its end.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// While this lives, grace periods are expedited.
pub(crate) struct Expedited {
    /// Shared by all who wish it. Holds `boot` when the switch was off before.
    lock: Option<Flock<File>>,
    switch: PathBuf,
    boot: String,
}

impl Expedited {
    /// Only a matter of speed: where the switch cannot be set, the plugin works as well, and slower.
    pub(crate) fn wish(state: &Path) -> Option<Self> {
        Self::at(state, Path::new(SWITCH), &fs::read_to_string(BOOT_ID).ok()?).ok()
    }

    fn at(state: &Path, switch: &Path, boot: &str) -> io::Result<Self> {
        fs::create_dir_all(state)?;
        let path = state.join("expedited.lock");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut lock = Flock::lock(file, FlockArg::LockShared).map_err(|(_, errno)| io::Error::from(errno))?;
        if fs::read_to_string(switch)?.trim() == "0" {
            // Every writer of one boot writes the same.
            lock.write_all(boot.as_bytes())?;
            fs::write(switch, "1")?;
        }
        Ok(Self { lock: Some(lock), switch: switch.to_owned(), boot: boot.to_owned() })
    }

    /// When nobody else wishes it any more, and we set the switch, it goes back.
    fn take_back(&mut self) -> io::Result<()> {
        let Some(shared) = self.lock.take() else { return Ok(()) };
        let file = shared.unlock().map_err(|(_, errno)| io::Error::from(errno))?;
        let Ok(mut alone) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return Ok(()) };
        let mut mark = String::new();
        alone.rewind()?;
        alone.read_to_string(&mut mark)?;
        // What an earlier boot left says nothing about this one's switch.
        if mark == self.boot {
            fs::write(&self.switch, "0")?;
        }
        if mark.is_empty() { Ok(()) } else { alone.set_len(0) }
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        // The next process finds the mark in the file and tries again.
        drop(self.take_back());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(switch: &Path) -> String {
        fs::read_to_string(switch).unwrap().trim().to_owned()
    }

    const BOOT: &str = "b8a0c3f2-0001\n";

    #[test]
    fn the_last_one_takes_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let switch = directory.path().join("switch");
        fs::write(&switch, "0\n").unwrap();
        let first = Expedited::at(directory.path(), &switch, BOOT).unwrap();
        let second = Expedited::at(directory.path(), &switch, BOOT).unwrap();
        assert_eq!(setting(&switch), "1");
        drop(first);
        assert_eq!(setting(&switch), "1", "the second still works");
        drop(second);
        assert_eq!(setting(&switch), "0");
    }

    #[test]
    fn what_the_owner_set_stays() {
        let directory = tempfile::tempdir().unwrap();
        let switch = directory.path().join("switch");
        fs::write(&switch, "1\n").unwrap();
        drop(Expedited::at(directory.path(), &switch, BOOT).unwrap());
        assert_eq!(setting(&switch), "1");
    }

    #[test]
    fn what_a_killed_one_left_is_taken_back_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let switch = directory.path().join("switch");
        fs::write(&switch, "0\n").unwrap();
        let mut killed = Expedited::at(directory.path(), &switch, BOOT).unwrap();
        drop(killed.lock.take());
        drop(killed);
        assert_eq!(setting(&switch), "1");
        drop(Expedited::at(directory.path(), &switch, BOOT).unwrap());
        assert_eq!(setting(&switch), "0");
    }

    #[test]
    fn what_was_left_before_the_machine_was_started_anew_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let switch = directory.path().join("switch");
        fs::write(&switch, "0\n").unwrap();
        let mut killed = Expedited::at(directory.path(), &switch, "b8a0c3f2-0000\n").unwrap();
        drop(killed.lock.take());
        drop(killed);
        // Now the owner's own wish.
        drop(Expedited::at(directory.path(), &switch, BOOT).unwrap());
        assert_eq!(setting(&switch), "1");
        fs::write(&switch, "0\n").unwrap();
        drop(Expedited::at(directory.path(), &switch, BOOT).unwrap());
        assert_eq!(setting(&switch), "0");
    }

    #[test]
    fn without_the_switch_nothing_is_wished() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Expedited::at(directory.path(), &directory.path().join("none"), BOOT).is_err());
    }
}
