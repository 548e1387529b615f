//! The reservations on disk: one line per change, appended and synced; now and then rewritten whole. From
//! [`super::Addresses`], under its lock; to the state directory.
//!
//! A line that was cut short by a crash stands at the end, lacks its newline and is taken away by the next opener: its
//! writer had not answered yet.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{AddressError, failed};
use crate::attachment::Attachment;

/// Lines beyond those needed before the journal is rewritten.
const SPARE_LINES: usize = 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Record {
    /// An attachment got addresses.
    Take {
        container: String,
        interface: String,
        ips: Vec<IpAddr>,
        /// Seconds since 1970.
        at: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pod: Option<String>,
    },
    /// An attachment gave back what it had.
    Free { container: String, interface: String, at: u64 },
    /// An address was given back (as a rewritten journal says it).
    Rest { ip: IpAddr, at: u64 },
}

/// What an attachment has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    /// One per family.
    pub(crate) ips: Vec<IpAddr>,
    pub(super) at: u64,
    /// `namespace/name`.
    pub(super) pod: Option<String>,
}

/// The journal, read.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
    reservations: BTreeMap<Attachment, Reservation>,
    /// Addresses that were used and are free, the longest free first.
    rested: VecDeque<(IpAddr, u64)>,
}

impl Journal {
    /// Reads the journal of a state directory, making it if there is none.
    pub(super) fn open(directory: &Path) -> Result<Self, AddressError> {
        let path = directory.join("addresses.journal");
        let options = OpenOptions::new().create(true).truncate(false).read(true).append(true).open(&path);
        let file = options.map_err(|source| failed("open", &path, source))?;
        let mut journal = Self { path, file, lines: 0, reservations: BTreeMap::new(), rested: VecDeque::new() };
        journal.read()?;
        Ok(journal)
    }

    fn read(&mut self) -> Result<(), AddressError> {
        let mut text = Vec::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.read_to_end(&mut text));
        read.map_err(|source| failed("read", &self.path, source))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for (number, line) in text[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, l)| !l.is_empty()) {
            let record = serde_json::from_slice(line).map_err(|_cut| AddressError::Damaged {
                path: self.path.clone(),
                line: number + 1,
                text: String::from_utf8_lossy(line).into_owned(),
            })?;
            self.lines += 1;
            self.apply(record);
        }
        if whole < text.len() {
            let len = u64::try_from(whole).unwrap_or(u64::MAX);
            self.file.set_len(len).map_err(|source| failed("cut", &self.path, source))?;
        }
        Ok(())
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Take { container, interface, ips, at, pod } => {
                self.rested.retain(|(ip, _)| !ips.contains(ip));
                self.reservations.insert(Attachment { container, interface }, Reservation { ips, at, pod });
            }
            Record::Free { container, interface, at } => {
                if let Some(reservation) = self.reservations.remove(&Attachment { container, interface }) {
                    self.rested.extend(reservation.ips.into_iter().map(|ip| (ip, at)));
                }
            }
            Record::Rest { ip, at } => self.rested.push_back((ip, at)),
        }
    }

    /// Appends and applies. On disk only after [`Self::sync`].
    pub(super) fn append(&mut self, record: &Record) -> Result<(), AddressError> {
        let mut line = line_of(record);
        line.push(b'\n');
        self.file.write_all(&line).map_err(|source| failed("append to", &self.path, source))?;
        self.lines += 1;
        self.apply(record.clone());
        Ok(())
    }

    /// Waits until what was appended is on disk.
    pub(super) fn sync(&self) -> Result<(), AddressError> {
        self.file.sync_data().map_err(|source| failed("sync", &self.path, source))
    }

    /// Rewrites the journal when most of it no longer matters.
    pub(super) fn compact_if_long(&mut self) -> Result<(), AddressError> {
        if self.lines <= self.reservations.len() + self.rested.len() + SPARE_LINES {
            return Ok(());
        }
        let rests = self.rested.iter().map(|(ip, at)| Record::Rest { ip: *ip, at: *at });
        let takes = self.reservations.iter().map(|(attachment, reservation)| Record::Take {
            container: attachment.container.clone(),
            interface: attachment.interface.clone(),
            ips: reservation.ips.clone(),
            at: reservation.at,
            pod: reservation.pod.clone(),
        });
        let mut text = Vec::new();
        let mut lines = 0;
        for record in rests.chain(takes) {
            text.extend(line_of(&record));
            text.push(b'\n');
            lines += 1;
        }
        let beside = self.path.with_extension("new");
        let write = || -> std::io::Result<File> {
            let mut new = File::create(&beside)?;
            new.write_all(&text)?;
            new.sync_all()?;
            fs::rename(&beside, &self.path)?;
            if let Some(directory) = self.path.parent() {
                File::open(directory)?.sync_all()?;
            }
            OpenOptions::new().read(true).append(true).open(&self.path)
        };
        self.file = write().map_err(|source| failed("rewrite", &self.path, source))?;
        self.lines = lines;
        Ok(())
    }

    pub(super) fn find(&self, attachment: &Attachment) -> Option<&Reservation> {
        self.reservations.get(attachment)
    }

    pub(super) fn reservations(&self) -> impl Iterator<Item = (&Attachment, &Reservation)> {
        self.reservations.iter()
    }

    /// Free addresses that were used before, the longest free first, with the second they became free.
    pub(super) fn rested(&self) -> impl Iterator<Item = (IpAddr, u64)> + '_ {
        self.rested.iter().copied()
    }
}

fn line_of(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record of texts, numbers and addresses is JSON")
}
