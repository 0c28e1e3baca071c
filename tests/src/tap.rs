//! A stream that remembers every byte, so that a test can say that none was changed on the way.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What passed through a [`Tap`].
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// What was read from it.
    pub read: Vec<u8>,
    /// What was written to it.
    pub written: Vec<u8>,
}

/// What passed so far, shared with whoever wants to look.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Traffic>>);

impl Watch {
    /// What passed so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.with(|traffic| traffic.clone())
    }

    fn with<T>(&self, run: impl FnOnce(&mut Traffic) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The stream.
#[derive(Debug)]
pub struct Tap<S> {
    stream: S,
    watch: Watch,
}

impl<S> Tap<S> {
    /// Around that stream.
    pub fn new(stream: S) -> (Self, Watch) {
        let watch = Watch::default();
        (Self { stream, watch: watch.clone() }, watch)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.watch.with(|traffic| traffic.read.extend_from_slice(&buffer.filled()[before..]));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.watch.with(|traffic| traffic.written.extend_from_slice(&bytes[..written]));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
