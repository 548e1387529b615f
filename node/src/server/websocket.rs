//! WebSocket streams of exec and attach, and tunnels of port-forward, translated to the SPDY of container runtimes.
//!
//! From [`exec`](super::exec); to the runtime. Performs IO.

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::spdy::{self, Frame};
use crate::cri::container::Streams;

/// Newest protocol of exec and attach: knows half-close.
pub const V5: &str = "v5.channel.k8s.io";
/// The one before.
pub const V4: &str = "v4.channel.k8s.io";
/// Port-forward: SPDY inside binary messages.
pub const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Not a stream: its message names a stream that the sender has closed.
const CLOSE: u8 = 255;
/// Most bytes of an error.
const ERROR_LIMIT: usize = 1 << 20;

/// What was agreed on with the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Answer to the client's key.
    pub accept: String,
    /// The protocol.
    pub protocol: &'static str,
}

/// Whether the client wants a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get("upgrade").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Agrees on the first protocol that the client offers and `supported` has.
pub fn negotiate(headers: &HeaderMap, supported: &[&'static str]) -> Option<Handshake> {
    let key = headers.get("sec-websocket-key")?;
    let offers = headers.get_all("sec-websocket-protocol").iter().filter_map(|value| value.to_str().ok());
    let mut offers = offers.flat_map(|value| value.split(',').map(str::trim));
    let protocol = offers.find_map(|offer| supported.iter().copied().find(|known| *known == offer))?;
    Some(Handshake { accept: derive_accept_key(key.as_bytes()), protocol })
}

/// The runtime's streams by what they carry.
struct Opened {
    error: u32,
    stdin: Option<u32>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    resize: Option<u32>,
}

/// Opens a stream for everything wanted, in the order runtimes expect.
async fn open<W: AsyncWrite + Unpin>(writer: &mut spdy::Writer<W>, wanted: Streams) -> std::io::Result<Opened> {
    let error = writer.open(&[("streamtype", "error")]).await?;
    let mut optional = async |wanted: bool, kind: &str| -> std::io::Result<Option<u32>> {
        if wanted { writer.open(&[("streamtype", kind)]).await.map(Some) } else { Ok(None) }
    };
    Ok(Opened {
        error,
        stdin: optional(wanted.stdin, "stdin").await?,
        stdout: optional(wanted.stdout, "stdout").await?,
        stderr: optional(wanted.stderr && !wanted.tty, "stderr").await?,
        resize: optional(wanted.tty, "resize").await?,
    })
}

/// Carries bytes between the client's channels and the runtime's streams until the command has ended.
///
/// # Errors
/// Either side broke off.
pub async fn translate<C, R>(client: WebSocketStream<C>, runtime: R, wanted: Streams) -> Result<(), Error>
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite,
{
    let (mut reader, writer) = tokio::io::split(runtime);
    let mut writer = spdy::Writer::new(writer);
    let streams = open(&mut writer, wanted).await?;
    let (mut to_client, mut from_client) = client.split();
    // One task reads frames: a read that is given up half-way would lose its place.
    let (frames, mut from_runtime) = tokio::sync::mpsc::channel(16);
    let read = async {
        while let Some(frame) = spdy::read(&mut reader).await? {
            if frames.send(frame).await.is_err() {
                break;
            }
        }
        drop(frames);
        Ok::<_, Error>(())
    };
    let carry = async {
        let mut error = Vec::new();
        let mut ended = false;
        while !ended {
            tokio::select! {
                frame = from_runtime.recv() => match frame {
                    None => ended = true,
                    Some(Frame::Data { stream, bytes, fin }) => {
                        if stream == streams.error {
                            error.extend(bytes.iter().take(ERROR_LIMIT.saturating_sub(error.len())));
                            ended = fin;
                        } else if let Some(channel) = channel(&streams, stream).filter(|_| !bytes.is_empty()) {
                            to_client.send(message(channel, &bytes)).await?;
                        }
                    }
                    Some(Frame::Ping(number)) => writer.pong(number).await?,
                    Some(Frame::Reset(stream)) => ended = stream == streams.error,
                    Some(Frame::GoAway | Frame::Other) => {}
                },
                received = from_client.next() => match received {
                    None => return Ok(()),
                    Some(received) => {
                        if !forward(&mut writer, &streams, received?).await? {
                            return Ok(());
                        }
                    }
                },
            }
        }
        // What the streams still carried came before the end of the error stream, or is in the queue.
        while let Ok(frame) = from_runtime.try_recv() {
            if let Frame::Data { stream, bytes, .. } = frame
                && let Some(channel) = channel(&streams, stream).filter(|_| !bytes.is_empty())
            {
                to_client.send(message(channel, &bytes)).await?;
            }
        }
        if !error.is_empty() {
            to_client.send(message(ERROR, &error)).await?;
        }
        let normal = CloseFrame { code: CloseCode::Normal, reason: Default::default() };
        to_client.send(Message::Close(Some(normal))).await
    };
    tokio::pin!(read);
    tokio::pin!(carry);
    tokio::select! {
        result = &mut carry => result,
        result = &mut read => {
            result?;
            carry.await
        }
    }
}

fn channel(streams: &Opened, stream: u32) -> Option<u8> {
    match Some(stream) {
        found if found == streams.stdout => Some(STDOUT),
        found if found == streams.stderr => Some(STDERR),
        _ => None,
    }
}

fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut text = Vec::with_capacity(bytes.len() + 1);
    text.push(channel);
    text.extend_from_slice(bytes);
    Message::Binary(Bytes::from(text))
}

/// Passes a message of the client on; `false` when the client is done.
async fn forward<W: AsyncWrite + Unpin>(
    writer: &mut spdy::Writer<W>,
    streams: &Opened,
    received: Message,
) -> Result<bool, Error> {
    let bytes: Bytes = match received {
        Message::Binary(bytes) => bytes,
        Message::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
        Message::Close(_) => return Ok(false),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(true),
    };
    let Some((channel, rest)) = bytes.split_first() else { return Ok(true) };
    let by_channel = |channel: u8| match channel {
        STDIN => streams.stdin,
        RESIZE => streams.resize,
        _ => None,
    };
    if *channel == CLOSE {
        if let Some(stream) = rest.first().and_then(|channel| by_channel(*channel)) {
            writer.data(stream, &[], true).await?;
        }
    } else if let Some(stream) = by_channel(*channel).filter(|_| !rest.is_empty()) {
        writer.data(stream, rest, false).await?;
    }
    Ok(true)
}

/// Carries the bytes inside binary messages to the runtime and back, as they are.
///
/// # Errors
/// Either side broke off.
pub async fn tunnel<C, R>(client: WebSocketStream<C>, runtime: R) -> Result<(), Error>
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(runtime);
    let (mut to_client, mut from_client) = client.split();
    let up = async {
        while let Some(received) = from_client.next().await {
            match received? {
                Message::Binary(bytes) => writer.write_all(&bytes).await?,
                Message::Text(text) => writer.write_all(text.as_bytes()).await?,
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
            writer.flush().await?;
        }
        Ok(())
    };
    let down = async {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let count = reader.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            to_client.send(Message::Binary(bytes)).await?;
        }
        let normal = CloseFrame { code: CloseCode::Normal, reason: Default::default() };
        to_client.send(Message::Close(Some(normal))).await
    };
    tokio::select! {
        result = up => result,
        result = down => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_on_the_clients_first_known_protocol() {
        let mut headers = HeaderMap::new();
        headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        headers.insert("sec-websocket-protocol", "v9, v5.channel.k8s.io, v4.channel.k8s.io".parse().unwrap());
        let found = negotiate(&headers, &[V4, V5]).unwrap();
        assert_eq!((found.protocol, found.accept.as_str()), (V5, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(negotiate(&headers, &[TUNNEL]), None);
    }
}
