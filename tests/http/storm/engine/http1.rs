//! An HTTP/1.1 client written by hand: one connection after the other, with many requests on each that lasts.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::LIMIT;
use super::faults::connect;
use super::ledger::Ledger;
use super::plan::{Conduct, Random};

pub(super) async fn client(
    address: SocketAddr,
    ids: impl Iterator<Item = usize>,
    mut random: Random,
    ledger: Arc<Ledger>,
) {
    let mut connection = None;
    for id in ids {
        let (path, conduct) = (random.path(id), random.conduct());
        let stream = match connection.take() {
            Some(stream) => stream,
            None => connect(address, &mut random).await,
        };
        let exchange = exchange(stream, &path, conduct, &mut random);
        let answer = timeout(LIMIT, exchange).await.unwrap_or_else(|_| panic!("{path}, {conduct:?}: no answer"));
        if let Some((status, stream)) = answer {
            ledger.answered(id, status);
            connection = Some(stream);
        } else if matches!(conduct, Conduct::Stays | Conduct::ReadsSlowly) {
            // Only an uncaught panic ends a connection from the server's side.
            assert!(path.contains("/panic/") && !path.starts_with("/caught/"), "{path}: cut off");
        }
    }
}

/// One request. The status and the connection, if all of the answer was read.
async fn exchange(
    mut stream: TcpStream,
    path: &str,
    conduct: Conduct,
    random: &mut Random,
) -> Option<(u16, TcpStream)> {
    // A client that cuts an answer reads until the cut, or until the server closes.
    let close = if conduct == Conduct::CutsAnswer { "connection: close\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nhost: storm\r\n{close}\r\n");
    let request = request.as_bytes();
    match conduct {
        Conduct::CutsRequest => {
            let part = usize::try_from(random.below(request.len() as u64)).unwrap();
            drop(stream.write_all(&request[..part]).await);
            None
        }
        Conduct::CutsAnswer => {
            stream.write_all(request).await.ok()?;
            let mut left = stream.take(random.below(20_000));
            drop(left.read_to_end(&mut Vec::new()).await);
            None
        }
        Conduct::Leaves => {
            stream.write_all(request).await.ok()?;
            random.dawdle().await;
            None
        }
        Conduct::Stays | Conduct::ReadsSlowly => {
            // In two parts, so that the server has to wait for the second.
            let (first, second) = request.split_at(usize::try_from(random.below(request.len() as u64)).unwrap());
            stream.write_all(first).await.ok()?;
            stream.write_all(second).await.ok()?;
            let mut answer = Answer { stream, bytes: Vec::new(), slowly: conduct == Conduct::ReadsSlowly };
            let status = answer.read(random).await?;
            Some((status, answer.stream))
        }
    }
}

struct Answer {
    stream: TcpStream,
    bytes: Vec<u8>,
    slowly: bool,
}

impl Answer {
    /// Reads to the end of the answer; `None` if the connection ends before.
    async fn read(&mut self, random: &mut Random) -> Option<u16> {
        let head = loop {
            match self.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.more(random).await?,
            }
        };
        let text = String::from_utf8(self.bytes[..head].to_vec()).unwrap().to_ascii_lowercase();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        if let Some(length) = length {
            let length: usize = length.parse().unwrap();
            while self.bytes.len() < head + length {
                self.more(random).await?;
            }
        } else {
            assert!(text.contains("transfer-encoding: chunked"), "{text}");
            while !self.bytes.ends_with(b"\r\n0\r\n\r\n") {
                self.more(random).await?;
            }
        }
        Some(status)
    }

    async fn more(&mut self, random: &mut Random) -> Option<()> {
        let most = if self.slowly { 2 * 1024 } else { 64 * 1024 };
        if self.slowly {
            random.dawdle().await;
        }
        let read = (&mut self.stream).take(most).read_buf(&mut self.bytes).await.ok()?;
        (read > 0).then_some(())
    }
}
