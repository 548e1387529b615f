//! The records inside frames; from changes of the store; to bytes and back. Pure.
//!
//! Numbers are LEB128 varints; keys and values are a length and their bytes. A frame's body is whole records.

use bytes::Bytes;

use crate::store::{KeyValue, LeaseId, Revision};

/// Version of the format of log and snapshot files.
pub(crate) const FORMAT: u64 = 1;

/// One entry of a log or a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// First record of every file.
    Header {
        format: u64,
        /// Number of the segment; a snapshot has the number of the first segment after it.
        segment: u64,
        /// Revision of the state before the segment, or of the snapshot.
        revision: Revision,
        /// Oldest revision that may be read.
        compacted: Revision,
        salt: u32,
    },
    /// A put; a following `Commit` tells its revision.
    Put { key: Bytes, value: Bytes, lease: LeaseId },
    /// A deletion; a following `Commit` tells its revision.
    Delete { key: Bytes },
    /// The puts and deletions before it are one revision.
    Commit { revision: Revision },
    /// A lease begins.
    Grant { lease: LeaseId, ttl_seconds: u64 },
    /// A lease ends.
    Revoke { lease: LeaseId },
    /// Revisions below are forgotten.
    Compact { revision: Revision },
    /// A key of a snapshot.
    Item(KeyValue),
    /// Last record of a snapshot.
    End { items: u64 },
}

const HEADER: u8 = 1;
const PUT: u8 = 2;
const DELETE: u8 = 3;
const COMMIT: u8 = 4;
const GRANT: u8 = 5;
const REVOKE: u8 = 6;
const COMPACT: u8 = 7;
const ITEM: u8 = 8;
const END: u8 = 9;

/// Appends a number.
fn number(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    to.push(u8::try_from(value).unwrap_or_default());
}

fn numbers(to: &mut Vec<u8>, kind: u8, values: &[u64]) {
    to.push(kind);
    for value in values {
        number(to, *value);
    }
}

fn bytes(to: &mut Vec<u8>, value: &[u8]) {
    number(to, value.len() as u64);
    to.extend_from_slice(value);
}

/// Appends a `Put`.
pub(crate) fn encode_put(to: &mut Vec<u8>, key: &[u8], value: &[u8], lease: LeaseId) {
    numbers(to, PUT, &[lease.0]);
    bytes(to, key);
    bytes(to, value);
}

/// Appends a `Delete`.
pub(crate) fn encode_delete(to: &mut Vec<u8>, key: &[u8]) {
    to.push(DELETE);
    bytes(to, key);
}

/// Appends an `Item`.
pub(crate) fn encode_item(to: &mut Vec<u8>, item: &KeyValue) {
    numbers(to, ITEM, &[item.create_revision, item.mod_revision, item.version, item.lease.0]);
    bytes(to, &item.key);
    bytes(to, &item.value);
}

impl Record {
    /// Appends the record.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::Header { format, segment, revision, compacted, salt } => {
                numbers(to, HEADER, &[*format, *segment, *revision, *compacted, u64::from(*salt)]);
            }
            Self::Put { key, value, lease } => encode_put(to, key, value, *lease),
            Self::Delete { key } => encode_delete(to, key),
            Self::Commit { revision } => numbers(to, COMMIT, &[*revision]),
            Self::Grant { lease, ttl_seconds } => numbers(to, GRANT, &[lease.0, *ttl_seconds]),
            Self::Revoke { lease } => numbers(to, REVOKE, &[lease.0]),
            Self::Compact { revision } => numbers(to, COMPACT, &[*revision]),
            Self::Item(item) => encode_item(to, item),
            Self::End { items } => numbers(to, END, &[*items]),
        }
    }

    /// Takes the first record off `from`; `None` when there is no valid one.
    pub(crate) fn decode(from: &mut &[u8]) -> Option<Self> {
        let (kind, rest) = from.split_first()?;
        *from = rest;
        Some(match *kind {
            HEADER => Self::Header {
                format: take_number(from)?,
                segment: take_number(from)?,
                revision: take_number(from)?,
                compacted: take_number(from)?,
                salt: u32::try_from(take_number(from)?).ok()?,
            },
            PUT => {
                let lease = LeaseId(take_number(from)?);
                let (key, value) = take_pair(from)?;
                Self::Put { key, value, lease }
            }
            DELETE => Self::Delete { key: Bytes::copy_from_slice(take_bytes(from)?) },
            COMMIT => Self::Commit { revision: take_number(from)? },
            GRANT => Self::Grant { lease: LeaseId(take_number(from)?), ttl_seconds: take_number(from)? },
            REVOKE => Self::Revoke { lease: LeaseId(take_number(from)?) },
            COMPACT => Self::Compact { revision: take_number(from)? },
            ITEM => {
                let create_revision = take_number(from)?;
                let mod_revision = take_number(from)?;
                let version = take_number(from)?;
                let lease = LeaseId(take_number(from)?);
                let (key, value) = take_pair(from)?;
                Self::Item(KeyValue { key, value, create_revision, mod_revision, version, lease })
            }
            END => Self::End { items: take_number(from)? },
            _ => return None,
        })
    }
}

fn take_number(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        let low = u64::from(byte & 0x7f);
        let part = low << shift;
        if part >> shift != low {
            return None;
        }
        value |= part;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(from)?).ok()?;
    let (value, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(value)
}

fn take_pair(from: &mut &[u8]) -> Option<(Bytes, Bytes)> {
    let key = take_bytes(from)?;
    let value = take_bytes(from)?;
    Some(pack(key, value))
}

/// Key and value in one allocation of their own.
pub(crate) fn pack(key: &[u8], value: &[u8]) -> (Bytes, Bytes) {
    let mut both = Vec::with_capacity(key.len() + value.len());
    both.extend_from_slice(key);
    both.extend_from_slice(value);
    let mut key_bytes = Bytes::from(both);
    let value_bytes = key_bytes.split_off(key.len());
    (key_bytes, value_bytes)
}

#[cfg(test)]
mod tests;
