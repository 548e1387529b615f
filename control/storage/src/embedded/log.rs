//! The log being written; from the committer; to the newest segment file.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::frame::{self, HEADER_BYTES};
use super::record::{FORMAT, Record};
use crate::store::{Revision, StoreError};

/// The names of the store's files.
pub(crate) fn log_name(segment: u64) -> String {
    format!("{segment:016x}.log")
}

/// Snapshot `n` is the state before segment `n`, or a bit later: replay skips what it has.
pub(crate) fn snapshot_name(segment: u64) -> String {
    format!("{segment:016x}.snapshot")
}

/// The number in a name with this ending.
pub(crate) fn parse_name(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?.strip_suffix('.')?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// A number that nobody can guess.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Why a frame was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The disk is full; the log is as it was.
    Full(io::Error),
    /// What is on disk is unknown; nothing more may be written.
    Broken(&'static str, io::Error),
}

/// The open end of the log.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    pub(crate) segment: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    offset: u64,
    number: u64,
    salt: u32,
}

impl Log {
    /// Makes segment `segment`, durably.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        segment: u64,
        revision: Revision,
        compacted: Revision,
    ) -> Result<Self, StoreError> {
        let path = directory.join(log_name(segment));
        let io = |operation| {
            let path = path.clone();
            move |source: io::Error| StoreError::Io { operation, path, source: source.into() }
        };
        let mut file = disk.create(&path).map_err(io("create"))?;
        let salt = u32::try_from(random() >> 32).unwrap_or_default();
        let mut header = vec![0; HEADER_BYTES];
        Record::Header { format: FORMAT, segment, revision, compacted, salt }.encode(&mut header);
        frame::seal(&mut header, 0, 0);
        file.write_at(&header, 0).map_err(io("write"))?;
        file.sync().map_err(io("sync"))?;
        disk.sync_directory(directory).map_err(io("sync the directory of"))?;
        let offset = header.len() as u64;
        Ok(Self {
            disk: Arc::clone(disk),
            directory: directory.to_owned(),
            segment,
            path,
            file,
            offset,
            number: 1,
            salt,
        })
    }

    /// Goes on with a segment that recovery has read and cut.
    pub(crate) fn resume(
        disk: &Arc<dyn Disk>,
        path: PathBuf,
        file: Box<dyn DiskFile>,
        (segment, offset, number, salt): (u64, u64, u64, u32),
    ) -> Self {
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Self { disk: Arc::clone(disk), directory, segment, path, file, offset, number, salt }
    }

    /// Makes the next segment, durably, and goes on there.
    pub(crate) fn rotate(&mut self, revision: Revision, compacted: Revision) -> Result<(), StoreError> {
        *self = Self::create(&self.disk, &self.directory, self.segment + 1, revision, compacted)?;
        Ok(())
    }

    /// Appends a frame (room for the header, then the body), durably.
    pub(crate) fn append(&mut self, bytes: &mut [u8]) -> Result<(), AppendError> {
        frame::seal(bytes, self.number, self.salt);
        if let Err(error) = self.file.write_at(bytes, self.offset) {
            let full = matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
            );
            if !full {
                return Err(AppendError::Broken("write", error));
            }
            self.file.set_len(self.offset).map_err(|error| AppendError::Broken("truncate", error))?;
            return Err(AppendError::Full(error));
        }
        // after a failed sync the kernel may have dropped the pages: only reading the file anew tells what is there
        self.file.sync().map_err(|error| AppendError::Broken("sync", error))?;
        self.offset += bytes.len() as u64;
        self.number += 1;
        Ok(())
    }

    /// Bytes in the segment.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
