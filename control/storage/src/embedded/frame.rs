//! Checksummed frames of a file; from record bytes; to log and snapshot files and back.
//!
//! Every file is a sequence of frames. A frame is 20 bytes of header, little-endian, and a body:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..4 | magic `skb1` |
//! | 4..8 | length of the body |
//! | 8..16 | number of the frame in the file, from 0 |
//! | 16..20 | CRC-32 of salt, length, number and body |
//!
//! The salt is a random number of the file, told by its first frame, which itself has salt 0. It keeps a value that
//! happens to hold frames of another file from being taken for frames of this one.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::DiskFile;
use crate::store::StoreError;

pub(crate) const HEADER_BYTES: usize = 20;
/// A body is never longer; a longer length is damage.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 30;
const MAGIC: [u8; 4] = *b"skb1";
/// Files are read in pieces of this size.
const READ_BYTES: usize = 256 << 10;

/// Fills in the header of a frame; `frame` is the header's room followed by the body.
pub(crate) fn seal(frame: &mut [u8], number: u64, salt: u32) {
    let Some((header, body)) = frame.split_first_chunk_mut::<HEADER_BYTES>() else { return };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let number = number.to_le_bytes();
    let crc = checksum(salt, length, number, body).to_le_bytes();
    for (to, from) in header.iter_mut().zip(MAGIC.iter().chain(&length).chain(&number).chain(&crc)) {
        *to = *from;
    }
}

fn checksum(salt: u32, length: [u8; 4], number: [u8; 8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(&length);
    hasher.update(&number);
    hasher.update(body);
    hasher.finalize()
}

struct Header {
    length: usize,
    number: u64,
    crc: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (crc, _) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        (magic == &MAGIC && length <= MAX_BODY_BYTES).then_some(Self {
            length,
            number: u64::from_le_bytes(*number),
            crc: u32::from_le_bytes(*crc),
        })
    }

    fn fits(&self, salt: u32, body: &[u8]) -> bool {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        checksum(salt, length.to_le_bytes(), self.number.to_le_bytes(), body) == self.crc
    }
}

/// What the reader found.
pub(crate) enum Found<'a> {
    /// The body of the next frame.
    Frame(&'a [u8]),
    /// The file ends here.
    End,
    /// No valid frame starts here.
    Broken(&'static str),
}

/// Reads the frames of a file one after another.
pub(crate) struct FrameReader<'a> {
    file: &'a dyn DiskFile,
    path: PathBuf,
    size: u64,
    /// Where the next frame starts.
    pub(crate) offset: u64,
    /// Its number.
    pub(crate) number: u64,
    pub(crate) salt: u32,
    buffer: Vec<u8>,
    /// Offset in the file of the buffer's first byte.
    buffered_at: u64,
}

impl<'a> FrameReader<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, path: &Path) -> Result<Self, StoreError> {
        let size = file.size().map_err(|source| read_error(path, source))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            size,
            offset: 0,
            number: 0,
            salt: 0,
            buffer: Vec::new(),
            buffered_at: 0,
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Makes `length` bytes at `offset` lie in the buffer; answers where they start there, `None` behind the file's end.
    fn fill(&mut self, offset: u64, length: usize) -> Result<Option<usize>, StoreError> {
        if offset + length as u64 > self.size {
            return Ok(None);
        }
        let start = offset.checked_sub(self.buffered_at).and_then(|start| usize::try_from(start).ok());
        if let Some(start) = start.filter(|start| start + length <= self.buffer.len()) {
            return Ok(Some(start));
        }
        self.buffer.resize(length.max(READ_BYTES), 0);
        let read = self.file.read_at(&mut self.buffer, offset).map_err(|source| read_error(&self.path, source))?;
        self.buffer.truncate(read);
        self.buffered_at = offset;
        Ok((length <= read).then_some(0))
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Result<Found<'_>, StoreError> {
        if self.offset == self.size {
            return Ok(Found::End);
        }
        let Some(at) = self.fill(self.offset, HEADER_BYTES)? else {
            return Ok(Found::Broken("incomplete frame header"));
        };
        let Some(header) = self.buffer.get(at..at + HEADER_BYTES).and_then(Header::parse) else {
            return Ok(Found::Broken("no frame starts here"));
        };
        if header.number != self.number {
            return Ok(Found::Broken("frame out of sequence"));
        }
        let Some(at) = self.fill(self.offset, HEADER_BYTES + header.length)? else {
            return Ok(Found::Broken("incomplete frame"));
        };
        let body = self.buffer.get(at + HEADER_BYTES..at + HEADER_BYTES + header.length).unwrap_or_default();
        if !header.fits(self.salt, body) {
            return Ok(Found::Broken("checksum mismatch"));
        }
        self.offset += (HEADER_BYTES + header.length) as u64;
        self.number += 1;
        Ok(Found::Frame(body))
    }

    /// Where a valid later frame lies behind the current offset. If there is one then what is broken here was once
    /// complete, because a frame is written only after the one before it is durable.
    pub(crate) fn find_later_frame(&mut self) -> Result<Option<u64>, StoreError> {
        let mut offset = self.offset + 1;
        while offset + HEADER_BYTES as u64 <= self.size {
            let Some(at) = self.fill(offset, HEADER_BYTES)? else { break };
            let window = self.buffer.get(at..).unwrap_or_default();
            let Some(skip) = window.windows(4).position(|bytes| bytes == MAGIC) else {
                offset += (window.len() - 3) as u64;
                continue;
            };
            offset += skip as u64;
            let Some(at) = self.fill(offset, HEADER_BYTES)? else { break };
            let header = self.buffer.get(at..at + HEADER_BYTES).and_then(Header::parse);
            if let Some(header) = header.filter(|header| header.number > self.number)
                && let Some(at) = self.fill(offset, HEADER_BYTES + header.length)?
                && let Some(body) = self.buffer.get(at + HEADER_BYTES..at + HEADER_BYTES + header.length)
                && header.fits(self.salt, body)
            {
                return Ok(Some(offset));
            }
            offset += 1;
        }
        Ok(None)
    }

    /// The error for damage at the current offset.
    pub(crate) fn damaged(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged { file: self.path.clone(), offset: self.offset, reason: reason.into() }
    }
}

fn read_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { operation: "read", path: path.to_owned(), source: source.into() }
}
