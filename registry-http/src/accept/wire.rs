//! What TLS is spoken over: a stream of which the beginning can be read again, and that tells
//! when something was taken by the other side.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::io::Exchange;

/// Between the kernel and TLS.
#[derive(Debug)]
pub(super) struct Wire<T> {
    io: T,
    /// What was read too early.
    back: Vec<u8>,
    exchange: Arc<Exchange>,
}

impl<T> Wire<T> {
    pub(super) fn new(io: T, exchange: Arc<Exchange>) -> Self {
        Self {
            io,
            back: Vec::new(),
            exchange,
        }
    }

    /// Lets it be read again.
    pub(super) fn put_back(&mut self, read: &[u8]) {
        self.back = read.to_vec();
    }

    fn wrote(&self, wrote: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if matches!(wrote, Poll::Ready(Ok(1..))) {
            self.exchange.moved();
        }
        wrote
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if self.back.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let len = self.back.len().min(buffer.remaining());
        let rest = self.back.split_off(len);
        buffer.put_slice(&self.back);
        self.back = rest;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.wrote(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
