//! Connections that break after a chosen number of bytes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use super::plan::Random;
use super::server::SOCKET_BUFFER;

/// A connection that is closed when dropped or, every other time, reset.
pub(super) async fn connect(address: SocketAddr, random: &mut Random) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
    let stream = socket.connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    if random.below(2) == 0 {
        stream.set_zero_linger().unwrap();
    }
    stream
}

/// Fails after a given number of bytes was written or read.
pub(super) struct Breaking {
    stream: TcpStream,
    writes: usize,
    reads: usize,
}

impl Breaking {
    pub(super) fn never(stream: TcpStream) -> Self {
        Self { stream, writes: usize::MAX, reads: usize::MAX }
    }

    pub(super) fn at(stream: TcpStream, writes: usize, reads: usize) -> Self {
        Self { stream, writes, reads }
    }
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Breaking {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.reads == 0 {
            return Poll::Ready(Err(broken()));
        }
        let mut part = buffer.take(self.reads);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        // The part is the buffer's own memory, and has been filled from its start.
        let unfilled = buffer.initialize_unfilled_to(read);
        assert_eq!(unfilled.len(), read);
        buffer.advance(read);
        self.reads -= read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.writes == 0 {
            return Poll::Ready(Err(broken()));
        }
        let bytes = &bytes[..bytes.len().min(self.writes)];
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.writes -= written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
