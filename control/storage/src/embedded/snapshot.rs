//! Snapshot files: a whole state; from the state, beside running writes; to a file and back.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::disk::{Disk, DiskFile};
use super::frame::{self, Found, FrameReader, HEADER_BYTES};
use super::log::random;
use super::record::{self, FORMAT, Record};
use super::state::State;
use crate::key::KeyRange;
use crate::sorted_map::SortedMap;
use crate::store::{KeyValue, LeaseId, Revision, StoreError};

/// Frames of a snapshot are about this large.
const FRAME_BYTES: usize = 128 << 10;

/// What a snapshot holds.
pub(crate) struct Content {
    pub(crate) map: SortedMap<Arc<KeyValue>>,
    pub(crate) leases: Vec<(LeaseId, Duration)>,
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
}

impl Content {
    pub(crate) fn of(state: &State) -> Self {
        Self {
            map: state.map.clone(),
            leases: state.leases.iter().map(|(id, lease)| (*id, lease.ttl)).collect(),
            revision: state.revision,
            compacted: state.compacted,
        }
    }
}

/// Writes snapshot `segment` to `path`, durably but for its name; answers its size.
pub(crate) fn write(disk: &dyn Disk, path: &Path, segment: u64, content: &Content) -> Result<u64, StoreError> {
    let io = |operation: &'static str| {
        move |source: io::Error| {
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                return StoreError::Full { reason: format!("{operation} {}: {source}", path.display()) };
            }
            StoreError::Io { operation, path: path.to_owned(), source: source.into() }
        }
    };
    let mut writer = Writer { file: disk.create(path).map_err(io("create"))?, offset: 0, number: 0, salt: 0 };
    let salt = u32::try_from(random() >> 32).unwrap_or_default();
    let mut frame = vec![0; HEADER_BYTES];
    let &Content { revision, compacted, .. } = content;
    Record::Header { format: FORMAT, segment, revision, compacted, salt }.encode(&mut frame);
    writer.write(&mut frame).map_err(io("write"))?;
    writer.salt = salt;
    for (lease, ttl) in &content.leases {
        Record::Grant { lease: *lease, ttl_seconds: ttl.as_secs() }.encode(&mut frame);
    }
    for (_, item) in content.map.range(&KeyRange::all()) {
        record::encode_item(&mut frame, item);
        if frame.len() >= FRAME_BYTES {
            writer.write(&mut frame).map_err(io("write"))?;
        }
    }
    Record::End { items: content.map.len() as u64 }.encode(&mut frame);
    writer.write(&mut frame).map_err(io("write"))?;
    writer.file.sync().map_err(io("sync"))?;
    Ok(writer.offset)
}

struct Writer {
    file: Box<dyn DiskFile>,
    offset: u64,
    number: u64,
    salt: u32,
}

impl Writer {
    /// Writes the frame and empties it for the next.
    fn write(&mut self, frame: &mut Vec<u8>) -> io::Result<()> {
        frame::seal(frame, self.number, self.salt);
        self.file.write_at(frame, self.offset)?;
        self.offset += frame.len() as u64;
        self.number += 1;
        frame.truncate(HEADER_BYTES);
        Ok(())
    }
}

/// Reads a snapshot whole; answers its state and the number of the first segment after it.
pub(crate) fn read(disk: &dyn Disk, path: &Path, now: Instant) -> Result<(State, u64), StoreError> {
    let file = disk.open(path).map_err(|source| StoreError::Io {
        operation: "open",
        path: path.to_owned(),
        source: source.into(),
    })?;
    let mut reader = FrameReader::new(file.as_ref(), path)?;
    let mut loaded: Option<(State, u64)> = None;
    loop {
        let start = reader.offset;
        let damaged =
            |reason: &str| StoreError::Damaged { file: path.to_owned(), offset: start, reason: reason.to_owned() };
        let mut body = match reader.next()? {
            Found::Frame(body) => body,
            Found::End => return Err(damaged("the snapshot is incomplete")),
            Found::Broken(reason) => return Err(damaged(reason)),
        };
        let mut new_salt = None;
        let mut ended = false;
        while !body.is_empty() {
            let record = Record::decode(&mut body).ok_or_else(|| damaged("invalid record"))?;
            match (record, &mut loaded) {
                (Record::Header { format, segment, revision, compacted, salt }, None) => {
                    if format != FORMAT {
                        return Err(damaged(&format!("format {format}, this program knows format {FORMAT}")));
                    }
                    new_salt = Some(salt);
                    loaded = Some((State::new(revision, compacted), segment));
                }
                (Record::Grant { lease, ttl_seconds }, Some((state, _))) => {
                    state.insert_lease(lease, Duration::from_secs(ttl_seconds), now);
                }
                (Record::Item(item), Some((state, _))) => {
                    let key = item.key.clone();
                    state.set(&key, Some(Arc::new(item)));
                }
                (Record::End { items }, Some((state, _))) => {
                    if items != state.map.len() as u64 {
                        return Err(damaged("wrong number of keys"));
                    }
                    ended = body.is_empty();
                }
                (
                    Record::Header { .. }
                    | Record::Put { .. }
                    | Record::Delete { .. }
                    | Record::Commit { .. }
                    | Record::Grant { .. }
                    | Record::Revoke { .. }
                    | Record::Compact { .. }
                    | Record::Item(_)
                    | Record::End { .. },
                    _,
                ) => return Err(damaged("unexpected record")),
            }
        }
        if let Some(salt) = new_salt {
            reader.salt = salt;
        }
        if ended && reader.offset != reader.size() {
            return Err(damaged("bytes behind the end"));
        }
        if let Some(loaded) = loaded.take_if(|_| ended) {
            return Ok(loaded);
        }
    }
}
