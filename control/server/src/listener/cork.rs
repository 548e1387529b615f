//! Collects the small writes of one HTTP/2 connection, so that frames of many streams share TLS records and system calls. From hyper; to TLS.
//!
//! hyper writes and flushes frame by frame. Here a flush only asks for the task to be polled once more; what is ready by then, of all
//! streams, goes out together. It relies on what HTTP/2 connections do and others need not: each poll of the connection begins by reading.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is collected at most.
const MOST_BYTES: usize = 64 * 1024;
/// A larger buffer is given back once it is empty.
const KEEP_BYTES: usize = 16 * 1024;

/// A stream that collects writes when `is_corked`, and is transparent otherwise.
#[derive(Debug)]
pub(super) struct Cork<T> {
    inner: T,
    is_corked: bool,
    waiting: BytesMut,
    /// A flush was asked for.
    is_due: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Cork<T> {
    pub(super) fn new(inner: T, is_corked: bool) -> Self {
        Self { inner, is_corked, waiting: BytesMut::new(), is_due: false }
    }

    fn send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        if self.waiting.capacity() > KEEP_BYTES {
            self.waiting = BytesMut::new();
        }
        ready!(Pin::new(&mut self.inner).poll_flush(context))?;
        self.is_due = false;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Cork<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_due
            && let Poll::Ready(Err(error)) = self.send(context)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Cork<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.is_corked {
            return Pin::new(&mut self.inner).poll_write(context, bytes);
        }
        if self.waiting.len() >= MOST_BYTES {
            ready!(self.send(context))?;
        }
        let taken = bytes.len().min(MOST_BYTES);
        self.waiting.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.is_corked {
            return Pin::new(&mut self.inner).poll_write_vectored(context, parts);
        }
        let first = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| part);
        self.poll_write(context, first)
    }

    fn is_write_vectored(&self) -> bool {
        // Small frames are then put together before they come here.
        !self.is_corked && self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_corked {
            return Pin::new(&mut self.inner).poll_flush(context);
        }
        if !self.waiting.is_empty() && !self.is_due {
            self.is_due = true;
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn writes_wait_for_the_next_read() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut cork = Cork::new(near, true);
        cork.write_all(b"one ").await.expect("write");
        cork.flush().await.expect("flush");
        cork.write_all(b"two").await.expect("write");
        cork.flush().await.expect("flush");
        let mut got = [0; 16];
        assert!(far.read(&mut got).now_or_never().is_none());
        // Nothing can be read, but what waits goes out.
        assert!(cork.read(&mut [0; 4]).now_or_never().is_none());
        let count = far.read(&mut got).await.expect("read");
        assert_eq!(got.get(..count), Some(&b"one two"[..]));
    }

    #[tokio::test]
    async fn large_writes_and_the_end_go_out() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let mut cork = Cork::new(near, true);
        let all: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let sent = all.clone();
        let writer = async move {
            cork.write_all(&sent).await.expect("write");
            cork.shutdown().await.expect("shutdown");
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(writer, far.read_to_end(&mut got));
        read.expect("read");
        assert_eq!(got, all);
    }
}
