//! From the files of a directory to the state they hold; at start; to the engine, which goes on with the log.
//!
//! The newest snapshot, then every segment from its number on. Only the end of the last segment may be broken: a frame
//! is written after the one before it is durable and acknowledged after it is durable itself, so what is broken there was
//! never acknowledged. It is cut off. Anything else that is broken is refused, with file and offset.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;

use super::disk::{Disk, DiskFile};
use super::frame::{Found, FrameReader, HEADER_BYTES};
use super::log::{log_name, parse_name, snapshot_name};
use super::record::{FORMAT, Record};
use super::snapshot;
use super::state::State;
use crate::store::{LeaseId, StoreError};

/// A file header's frame is never longer.
const HEADER_FRAME_MAX: u64 = 64 + HEADER_BYTES as u64;

/// What recovery found.
pub(crate) struct Recovered {
    pub(crate) state: State,
    /// Number of the last segment; 0 when there is none.
    pub(crate) segment: u64,
    /// The open end of the last segment; `None` when a segment has to be made.
    pub(crate) tail: Option<Tail>,
    /// Files that are no longer needed.
    pub(crate) stale: Vec<PathBuf>,
    /// Bytes of the snapshot.
    pub(crate) snapshot_bytes: u64,
    /// Bytes of the segments before the last.
    pub(crate) sealed_bytes: u64,
}

/// Where the last segment ends.
pub(crate) struct Tail {
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) offset: u64,
    pub(crate) number: u64,
    pub(crate) salt: u32,
    /// Bytes behind the end which were never acknowledged.
    pub(crate) torn_bytes: u64,
}

/// Reads the directory; changes nothing in it. So many bytes of history are kept.
pub(crate) fn recover(
    disk: &dyn Disk,
    directory: &Path,
    now: Instant,
    history_bytes: usize,
) -> Result<Recovered, StoreError> {
    let io = |operation, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| StoreError::Io { operation, path, source: source.into() }
    };
    let names = disk.list(directory).map_err(io("list", directory))?;
    let base = names.iter().filter_map(|name| parse_name(name, "snapshot")).max();
    let mut segments: Vec<u64> = names.iter().filter_map(|name| parse_name(name, "log")).collect();
    segments.sort_unstable();
    let first = base.unwrap_or(1);
    let stale = |name: &&String| {
        name.ends_with(".part")
            || parse_name(name, "log").is_some_and(|n| n < first)
            || parse_name(name, "snapshot").is_some_and(|n| n < first)
    };
    let mut stale: Vec<PathBuf> = names.iter().filter(stale).map(|name| directory.join(name)).collect();
    segments.retain(|segment| *segment >= first);
    // a segment that was made but never used may have failed to become the log, which then went on before it
    while segments.len() > 1
        && let Some(path) = segments.last().map(|last| directory.join(log_name(*last)))
    {
        let file = disk.open(&path).map_err(io("open", &path))?;
        if is_used(file.as_ref(), &path)? {
            break;
        }
        segments.pop();
        stale.push(path);
    }

    let (state, snapshot_bytes) = match base {
        None => (State::new(1, 0), 0),
        Some(number) => {
            let path = directory.join(snapshot_name(number));
            let (state, segment) = snapshot::read(disk, &path, now)?;
            if segment != number {
                return Err(StoreError::Damaged { file: path, offset: 0, reason: "wrong number".to_owned() });
            }
            let size = disk.open(&path).and_then(|file| file.size()).map_err(io("read", &path))?;
            (state, size)
        }
    };
    let mut found = Recovered { state, segment: 0, tail: None, stale, snapshot_bytes, sealed_bytes: 0 };
    if base.is_some() && segments.is_empty() {
        // a snapshot without log is a restored one: segments are made before their snapshot
        found.segment = first - 1;
        return Ok(found);
    }
    for (expected, &segment) in (first..).zip(&segments) {
        let path = directory.join(log_name(expected));
        if segment != expected {
            return Err(StoreError::Damaged { file: path, offset: 0, reason: "the file is missing".to_owned() });
        }
        let file = disk.open(&path).map_err(io("open", &path))?;
        let last = segments.last() == Some(&segment);
        let mut replay = Replay { state: &mut found.state, salt: 0, started: false, history_bytes };
        let mut reader = FrameReader::new(file.as_ref(), &path)?;
        replay.segment(&mut reader, segment, last, now)?;
        let started = replay.started;
        let (offset, number, salt, size) = (reader.offset, reader.number, reader.salt, reader.size());
        drop(reader);
        if !last {
            found.sealed_bytes += size;
        } else if started {
            found.segment = segment;
            found.tail = Some(Tail { path, file, offset, number, salt, torn_bytes: size - offset });
        } else {
            // the crash hit while the segment was made: make it again
            found.segment = segment - 1;
        }
    }
    Ok(found)
}

/// Whether a segment has more than its header.
fn is_used(file: &dyn DiskFile, path: &Path) -> Result<bool, StoreError> {
    let mut reader = FrameReader::new(file, path)?;
    match reader.next()? {
        Found::End => return Ok(false),
        Found::Broken(_) => return Ok(reader.size() > HEADER_FRAME_MAX),
        Found::Frame(_) => {}
    }
    Ok(reader.offset < reader.size())
}

struct Replay<'a> {
    state: &'a mut State,
    salt: u32,
    started: bool,
    history_bytes: usize,
}

/// Puts (with value and lease) and deletions that wait for their commit.
type Waiting = Vec<(Bytes, Option<(Bytes, LeaseId)>)>;

impl Replay<'_> {
    fn segment(
        &mut self,
        reader: &mut FrameReader<'_>,
        segment: u64,
        last: bool,
        now: Instant,
    ) -> Result<(), StoreError> {
        loop {
            let start = reader.offset;
            let problem = match reader.next()? {
                Found::End => {
                    return if self.started || last { Ok(()) } else { Err(reader.damaged("the file is empty")) };
                }
                Found::Frame(body) => {
                    let applied = self.frame(body, segment, now);
                    reader.salt = self.salt;
                    if let Err(reason) = applied {
                        reader.offset = start;
                        return Err(reader.damaged(reason));
                    }
                    continue;
                }
                Found::Broken(reason) => reason,
            };
            if !last {
                return Err(reader.damaged(problem));
            }
            if !self.started && reader.size() > HEADER_FRAME_MAX {
                return Err(reader.damaged(problem));
            }
            if let Some(later) = reader.find_later_frame()? {
                return Err(reader.damaged(format!("{problem}, but valid data follows at byte {later}")));
            }
            warn!(segment, offset = reader.offset, problem, "cut off a write that was never acknowledged");
            return Ok(());
        }
    }

    fn frame(&mut self, mut body: &[u8], segment: u64, now: Instant) -> Result<(), String> {
        let mut waiting = Waiting::new();
        while !body.is_empty() {
            let record = Record::decode(&mut body).ok_or("invalid record")?;
            match record {
                Record::Header { format, segment: number, revision, salt, .. } if !self.started => {
                    if format != FORMAT {
                        return Err(format!("format {format}, this program knows format {FORMAT}"));
                    }
                    if number != segment || revision > self.state.revision {
                        return Err("the segment does not follow the one before it".to_owned());
                    }
                    self.salt = salt;
                    self.started = true;
                }
                Record::Put { key, value, lease } => waiting.push((key, Some((value, lease)))),
                Record::Delete { key } => waiting.push((key, None)),
                Record::Commit { revision } => self.commit(revision, std::mem::take(&mut waiting))?,
                Record::Grant { lease, ttl_seconds } => {
                    self.state.insert_lease(lease, Duration::from_secs(ttl_seconds), now);
                }
                Record::Revoke { lease } => drop(self.state.remove_lease(lease)),
                Record::Compact { revision } => self.state.compact(revision),
                Record::Header { .. } | Record::Item(_) | Record::End { .. } => {
                    return Err("unexpected record".to_owned());
                }
            }
        }
        self.state.trim(self.history_bytes, self.state.revision);
        if waiting.is_empty() { Ok(()) } else { Err("changes without a revision".to_owned()) }
    }

    fn commit(&mut self, revision: u64, changes: Waiting) -> Result<(), String> {
        if revision <= self.state.revision {
            // the snapshot has it already
            return Ok(());
        }
        if revision != self.state.revision + 1 || changes.is_empty() {
            return Err(format!("revision {revision} after {}", self.state.revision));
        }
        for (key, change) in changes {
            match change {
                Some((value, lease)) => self.state.put(key, value, lease, revision),
                None => drop(self.state.delete(&key, revision)),
            }
        }
        Ok(())
    }
}
