//! The part of SPDY/3.1 that container runtimes speak: opening streams with headers, data both ways, half-close.
//!
//! From [`exec`](super::exec); to the runtime's streaming port. Encoding is pure, the connection performs IO.
//!
//! Header blocks are compressed with a preset dictionary in SPDY. This client sends them as stored (uncompressed) deflate
//! blocks, which any inflater reads, and never needs to read the other side's.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const VERSION: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FIN: u8 = 1;
/// zlib header that announces a preset dictionary, and the checksum of SPDY/3's.
const ZLIB_START: [u8; 6] = [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];
/// An empty stored block: makes the inflater hand out what it has.
const ZLIB_FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];
/// Largest piece of data per frame.
const CHUNK: usize = 1 << 16;

/// What the other side sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a stream; `fin` says they are its last.
    Data {
        /// The stream.
        stream: u32,
        /// The bytes.
        bytes: Bytes,
        /// Whether the stream ends here.
        fin: bool,
    },
    /// A stream was broken off.
    Reset(u32),
    /// A question for life, to be answered with the same number.
    Ping(u32),
    /// The other side takes no more streams.
    GoAway,
    /// Anything else; needs no answer.
    Other,
}

/// The writing half of a connection.
pub struct Writer<W> {
    io: W,
    started: bool,
    next: u32,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// A client's half: its streams have odd numbers.
    pub fn new(io: W) -> Self {
        Self { io, started: false, next: 1 }
    }

    /// Opens a stream with these headers (names in lowercase); returns its number.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> std::io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        let block = header_block(headers, !self.started);
        self.started = true;
        let mut frame = BytesMut::new();
        control(&mut frame, SYN_STREAM, 10 + block.len());
        frame.put_u32(stream);
        frame.put_u32(0);
        frame.put_u16(0);
        frame.put_slice(&block);
        self.io.write_all(&frame).await?;
        self.io.flush().await?;
        Ok(stream)
    }

    /// Sends bytes on a stream; `fin` ends our half of it.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn data(&mut self, stream: u32, bytes: &[u8], fin: bool) -> std::io::Result<()> {
        let mut frame = BytesMut::with_capacity(bytes.len() + 8);
        for chunk in bytes.chunks(CHUNK) {
            data_head(&mut frame, stream, 0, chunk.len());
            frame.put_slice(chunk);
        }
        if fin {
            data_head(&mut frame, stream, FIN, 0);
        }
        self.io.write_all(&frame).await?;
        self.io.flush().await
    }

    /// Answers a question for life.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn pong(&mut self, number: u32) -> std::io::Result<()> {
        let mut frame = BytesMut::new();
        control(&mut frame, PING, 4);
        frame.put_u32(number);
        self.io.write_all(&frame).await?;
        self.io.flush().await
    }
}

/// Reads the next frame; `None` at the end of the connection.
///
/// # Errors
/// The connection broke within a frame.
pub async fn read<R: AsyncRead + Unpin>(io: &mut R) -> std::io::Result<Option<Frame>> {
    let mut head = [0; 8];
    match io.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut fields = Bytes::copy_from_slice(&head);
    let first = fields.get_u32();
    let rest = fields.get_u32();
    let flags = u8::try_from(rest >> 24).unwrap_or_default();
    let mut body = vec![0; usize::try_from(rest & 0x00ff_ffff).unwrap_or_default()];
    io.read_exact(&mut body).await?;
    let mut body = Bytes::from(body);
    if first >> 31 == 0 {
        return Ok(Some(Frame::Data { stream: first, bytes: body, fin: flags & FIN != 0 }));
    }
    let kind = u16::try_from(first & 0xffff).unwrap_or_default();
    Ok(Some(match kind {
        RST_STREAM if body.len() >= 4 => Frame::Reset(body.get_u32()),
        PING if body.len() >= 4 => Frame::Ping(body.get_u32()),
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    }))
}

fn control(frame: &mut BytesMut, kind: u16, length: usize) {
    frame.put_u16(VERSION);
    frame.put_u16(kind);
    put_flags_and_length(frame, 0, length);
}

fn data_head(frame: &mut BytesMut, stream: u32, flags: u8, length: usize) {
    frame.put_u32(stream);
    put_flags_and_length(frame, flags, length);
}

fn put_flags_and_length(frame: &mut BytesMut, flags: u8, length: usize) {
    let length = u32::try_from(length).unwrap_or_default() & 0x00ff_ffff;
    frame.put_u32((u32::from(flags) << 24) | length);
}

fn header_block(headers: &[(&str, &str)], first: bool) -> Vec<u8> {
    let mut plain = Vec::new();
    let count = |number: usize| u32::try_from(number).unwrap_or_default();
    plain.put_u32(count(headers.len()));
    for (name, value) in headers {
        for text in [name, value] {
            plain.put_u32(count(text.len()));
            plain.put_slice(text.as_bytes());
        }
    }
    let mut block = Vec::with_capacity(plain.len() + 16);
    if first {
        block.put_slice(&ZLIB_START);
    }
    for chunk in plain.chunks(usize::from(u16::MAX)) {
        let length = u16::try_from(chunk.len()).unwrap_or_default();
        block.put_u8(0);
        block.put_u16_le(length);
        block.put_u16_le(!length);
        block.put_slice(chunk);
    }
    block.put_slice(&ZLIB_FLUSH);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writes_what_it_reads() {
        let mut writer = Writer::new(Vec::new());
        assert_eq!(writer.open(&[("streamtype", "stdin")]).await.unwrap(), 1);
        assert_eq!(writer.open(&[("streamtype", "stdout")]).await.unwrap(), 3);
        writer.data(1, b"hello", true).await.unwrap();
        writer.pong(2).await.unwrap();
        let mut bytes = std::io::Cursor::new(writer.io);
        let mut frames = Vec::new();
        while let Some(frame) = read(&mut bytes).await.unwrap() {
            frames.push(frame);
        }
        let data = |text: &'static str, fin| Frame::Data { stream: 1, bytes: Bytes::from_static(text.as_bytes()), fin };
        assert_eq!(frames, [Frame::Other, Frame::Other, data("hello", false), data("", true), Frame::Ping(2)]);
    }

    #[test]
    fn header_blocks_are_valid_deflate() {
        use std::io::Read as _;
        let mut stream = header_block(&[("streamtype", "error")], true);
        stream.extend(header_block(&[("streamtype", "stdout")], false));
        // Behind the zlib header and the dictionary's checksum comes raw deflate.
        let mut plain = vec![0; 4 + 4 + 10 + 4 + 5 + 4 + 4 + 10 + 4 + 6];
        flate2::read::DeflateDecoder::new(&stream[6..]).read_exact(&mut plain).unwrap();
        assert!(plain.windows(5).any(|w| w == b"error") && plain.ends_with(b"stdout"));
        assert_eq!((u32::from(stream[0]) * 256 + u32::from(stream[1])) % 31, 0);
    }
}
