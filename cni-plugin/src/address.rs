//! The addresses of this node's ranges: who has which, which rest, which come next. From [`crate::request`]; to
//! [`crate::veth`] and [`crate::pod_map`]. Kept in [`journal`], chosen by [`pool`].
//!
//! Two locks. The *state lock* covers one look at the journal and one line appended to it: microseconds. The
//! *attachment lock* covers a whole verb on one attachment, so a DEL that comes while its ADD still runs waits for it;
//! a GC takes it for all of them. Both end with the process, however it ends.

mod journal;
mod pool;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};

use crate::attachment::Attachment;
use crate::request::Network;
pub(crate) use journal::Reservation;
use journal::{Journal, Record};

/// Why an address cannot be had, or the journal not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("{action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} line {line} is not a record: {text:?}; when no pod runs on this node, remove the file", path.display())]
    Damaged { path: PathBuf, line: usize, text: String },
    #[error("address {address} is not one that pods of this node may have (podCIDRs {ranges})")]
    NotOurs { address: IpAddr, ranges: String },
    #[error("address {address} belongs to {holder}")]
    Taken { address: IpAddr, holder: String },
    #[error("no address of {range} is free: {taken} are in use, {resting} rest after their last use")]
    Exhausted { range: IpNetwork, taken: usize, resting: usize },
}

/// The state directory of one network.
pub(crate) struct Addresses {
    directory: PathBuf,
    ranges: Vec<IpNetwork>,
    quarantine_seconds: u64,
}

/// Held while a verb works on one attachment, or on all of them.
pub(crate) struct AttachmentLock {
    _file: File,
}

impl Addresses {
    /// Opens the state of `network`, making its directory.
    pub(crate) fn open(network: &Network) -> Result<Self, AddressError> {
        let directory = network.state_dir.join(&network.name);
        fs::create_dir_all(&directory).map_err(|source| failed("create", &directory, source))?;
        Ok(Self { directory, ranges: network.pod_cidrs.clone(), quarantine_seconds: network.quarantine_seconds })
    }

    /// Waits until no other process works on the attachment.
    pub(crate) fn lock(&self, attachment: &Attachment) -> Result<AttachmentLock, AddressError> {
        self.lock_bytes(attachment.lock_offset(), 1)
    }

    /// The same without waiting: none while another process works on it.
    pub(crate) fn try_lock(&self, attachment: &Attachment) -> Result<Option<AttachmentLock>, AddressError> {
        let path = self.directory.join("attachments.lock");
        let file = open(&path)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&byte_range(attachment.lock_offset(), 1))) {
            Ok(_) => Ok(Some(AttachmentLock { _file: file })),
            Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => Ok(None),
            Err(errno) => Err(failed("lock", &path, errno.into())),
        }
    }

    /// Waits until no other process works on any attachment.
    pub(crate) fn lock_all(&self) -> Result<AttachmentLock, AddressError> {
        self.lock_bytes(0, 0)
    }

    /// A lock on one byte of a file per attachment: nothing is left behind for attachments that are gone.
    fn lock_bytes(&self, start: i64, len: i64) -> Result<AttachmentLock, AddressError> {
        let path = self.directory.join("attachments.lock");
        let file = open(&path)?;
        let range = byte_range(start, len);
        loop {
            match fcntl(&file, FcntlArg::F_OFD_SETLKW(&range)) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed("lock", &path, errno.into())),
                Ok(_) => return Ok(AttachmentLock { _file: file }),
            }
        }
    }

    /// Reserves one address per range, or those asked for. What is returned is on disk.
    pub(crate) fn reserve(
        &self,
        attachment: &Attachment,
        asked: &[IpAddr],
        pod: Option<&str>,
    ) -> Result<Vec<IpAddr>, AddressError> {
        let (journal, ips) = self.locked(|journal| {
            let now = unix_seconds();
            let ips = pool::choose(journal, &self.ranges, asked, now, self.quarantine_seconds)?;
            journal.append(&Record::Take {
                container: attachment.container.clone(),
                interface: attachment.interface.clone(),
                ips: ips.clone(),
                at: now,
                pod: pod.map(str::to_owned),
            })?;
            Ok(ips)
        })?;
        // Outside the lock: callers that run at the same time share one write to disk.
        journal.sync()?;
        Ok(ips)
    }

    /// Gives the attachment's addresses back. Nothing to do when it has none.
    pub(crate) fn release(&self, attachment: &Attachment) -> Result<(), AddressError> {
        let (journal, released) = self.locked(|journal| {
            if journal.find(attachment).is_none() {
                return Ok(false);
            }
            journal.append(&Record::Free {
                container: attachment.container.clone(),
                interface: attachment.interface.clone(),
                at: unix_seconds(),
            })?;
            journal.compact_if_long()?;
            Ok(true)
        })?;
        if released { journal.sync() } else { Ok(()) }
    }

    /// What the attachment has.
    pub(crate) fn find(&self, attachment: &Attachment) -> Result<Option<Reservation>, AddressError> {
        Ok(self.locked(|journal| Ok(journal.find(attachment).cloned()))?.1)
    }

    /// Every attachment with what it has.
    pub(crate) fn all(&self) -> Result<Vec<(Attachment, Reservation)>, AddressError> {
        let all = self.locked(|journal| Ok(journal.reservations().map(|(a, r)| (a.clone(), r.clone())).collect()))?;
        Ok(all.1)
    }

    /// Whether every range has a free address now.
    pub(crate) fn check_free(&self) -> Result<(), AddressError> {
        let choose = |journal: &mut Journal| {
            pool::choose(journal, &self.ranges, &[], unix_seconds(), self.quarantine_seconds).map(drop)
        };
        self.locked(choose).map(drop)
    }

    fn locked<T>(
        &self,
        work: impl FnOnce(&mut Journal) -> Result<T, AddressError>,
    ) -> Result<(Journal, T), AddressError> {
        let path = self.directory.join("state.lock");
        let lock = Flock::lock(open(&path)?, FlockArg::LockExclusive);
        let _lock = lock.map_err(|(_, errno)| failed("lock", &path, errno.into()))?;
        let mut journal = Journal::open(&self.directory)?;
        let result = work(&mut journal)?;
        Ok((journal, result))
    }
}

fn byte_range(start: i64, len: i64) -> nix::libc::flock {
    nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_WRLCK).unwrap_or(1),
        l_whence: i16::try_from(nix::libc::SEEK_SET).unwrap_or(0),
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

fn open(path: &Path) -> Result<File, AddressError> {
    let options = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    options.map_err(|source| failed("open", path, source))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> AddressError {
    AddressError::File { action, path: path.to_owned(), source }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
