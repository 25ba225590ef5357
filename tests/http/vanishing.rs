//! Clients that disconnect in the middle of a request, in every way.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// HTTP/1.1: the connection is closed.
    Http1Close,
    /// HTTP/1.1: the connection is reset.
    Http1Reset,
    /// HTTP/2: the stream is reset, and the connection stays.
    Http2Stream,
    /// HTTP/2: the connection is closed.
    Http2Close,
    /// HTTP/2: the connection is reset.
    Http2Reset,
}

pub(crate) const WAYS: [Way; 5] =
    [Way::Http1Close, Way::Http1Reset, Way::Http2Stream, Way::Http2Close, Way::Http2Reset];

/// A request that has been sent, and a client that does not read its answer.
pub(crate) enum Client {
    Http1(TcpStream),
    Http2 {
        answer: h2::client::ResponseFuture,
        body: h2::SendStream<Bytes>,
        connection: JoinHandle<()>,
        // An idle connection without a request closes itself.
        sender: h2::client::SendRequest<Bytes>,
    },
}

impl Client {
    pub(crate) async fn send(address: SocketAddr, way: Way, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if matches!(way, Way::Http1Reset | Way::Http2Reset) {
            stream.set_zero_linger().unwrap();
        }
        if matches!(way, Way::Http1Close | Way::Http1Reset) {
            let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            return Self::Http1(stream);
        }
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        // The connection owns the socket, so that aborting its task closes it.
        let connection = tokio::spawn(async move { drop(connection.await) });
        let request = Request::get(format!("http://{address}{path}")).body(()).unwrap();
        let (answer, body) = sender.send_request(request, true).unwrap();
        Self::Http2 { answer, body, connection, sender }
    }

    /// Disconnects. Returns the HTTP/2 connection if only its stream was reset.
    pub(crate) fn vanish(self, way: Way) -> Option<h2::client::SendRequest<Bytes>> {
        match self {
            Self::Http1(stream) => drop(stream),
            Self::Http2 { answer, mut body, sender, connection } => {
                if way == Way::Http2Stream {
                    body.send_reset(h2::Reason::CANCEL);
                    return Some(sender);
                }
                connection.abort();
                // Not earlier: the drop of the last reference resets the stream.
                drop((answer, body));
            }
        }
        None
    }
}
