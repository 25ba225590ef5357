//! One connection through a proxy: two pumps, one each way.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{Error, Result};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::super::resp::Splitter;
use super::settings::{Faults, Settings, Shared};

/// Chunks that one direction keeps while they are delayed.
const LONGEST_LINE: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Requests,
    Answers,
}

/// Serves connections for ever.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if shared.settings.borrow().refuse {
            continue;
        }
        // Before it counts: a test that sees it counted can cut it.
        let mut cut = shared.cut.subscribe();
        let open = Open::new(Arc::clone(&shared));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = cut.changed() => {}
                // How it ended is what both sides see of it.
                _ = serve(client, &open.0) => {}
            }
        });
    }
}

/// Counts as a connection while it lives.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.accepted.send_modify(|count| *count += 1);
        shared.open.send_modify(|count| *count += 1);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|count| *count -= 1);
    }
}

async fn serve(client: TcpStream, shared: &Shared) -> Result<()> {
    let target = shared.settings.borrow().target;
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = Pump::new(Way::Requests, to_server, shared).run(from_client);
    let answers = Pump::new(Way::Answers, to_client, shared).run(from_server);
    tokio::try_join!(requests, answers).map(drop)
}

/// Bytes, or the end of the stream, and when they came.
struct Parcel {
    arrived: Instant,
    bytes: Option<Vec<u8>>,
}

struct Pump<'a> {
    way: Way,
    sink: OwnedWriteHalf,
    shared: &'a Shared,
    /// Bytes were lost: nothing may come after them.
    lost: bool,
    /// `None` once the stream has turned out to be something else.
    splitter: Option<Splitter>,
}

impl<'a> Pump<'a> {
    fn new(way: Way, sink: OwnedWriteHalf, shared: &'a Shared) -> Self {
        let splitter = (way == Way::Answers).then(Splitter::default);
        Self { way, sink, shared, lost: false, splitter }
    }

    fn faults(&self, settings: &Settings) -> Faults {
        match self.way {
            Way::Requests => settings.requests,
            Way::Answers => settings.answers,
        }
    }

    /// Until the stream has ended and that was passed on, or the connection is to be closed.
    async fn run(mut self, mut source: OwnedReadHalf) -> Result<()> {
        let mut changes = self.shared.settings.subscribe();
        let mut line: VecDeque<Parcel> = VecDeque::new();
        let mut ended = false;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let faults = self.faults(&changes.borrow_and_update());
            if self.lost && !faults.drop {
                return Err(Error::other("bytes were lost before"));
            }
            let due = line.front().map(|parcel| parcel.arrived + faults.delay);
            if !faults.stall
                && due.is_some_and(|due| due <= Instant::now())
                && let Some(parcel) = line.pop_front()
            {
                if faults.drop {
                    // Of a lost end the other side does not hear either, and waits for ever.
                    self.lost = true;
                } else if let Some(bytes) = parcel.bytes {
                    self.deliver(bytes).await?;
                } else {
                    self.end().await?;
                    return Ok(());
                }
                continue;
            }
            tokio::select! {
                biased;
                result = changes.changed() => result.map_err(Error::other)?,
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && !faults.stall => {}
                read = source.read(&mut buffer), if !ended && !faults.stall && line.len() < LONGEST_LINE => {
                    let count = read?;
                    ended = count == 0;
                    let bytes = (!ended).then(|| buffer[..count].to_vec());
                    line.push_back(Parcel { arrived: Instant::now(), bytes });
                }
            }
        }
    }

    async fn deliver(&mut self, bytes: Vec<u8>) -> Result<()> {
        let Some(splitter) = &mut self.splitter else { return self.write(&bytes).await };
        match splitter.feed(&bytes) {
            Ok(pieces) => {
                for piece in pieces {
                    if piece.is_message() && self.shared.settings.borrow().drop_messages {
                        self.shared.dropped_messages.send_modify(|count| *count += 1);
                    } else {
                        self.write(&piece.into_bytes()).await?;
                    }
                }
                Ok(())
            }
            Err(error) => {
                let rest = splitter.rest();
                self.splitter = None;
                if self.shared.settings.borrow().drop_messages {
                    return Err(Error::other(error));
                }
                self.write(&rest).await
            }
        }
    }

    async fn end(&mut self) -> Result<()> {
        let rest = self.splitter.as_mut().map(Splitter::rest).unwrap_or_default();
        self.write(&rest).await?;
        self.sink.shutdown().await
    }

    /// Writes, and cuts where that is due.
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let allowed = self.allowed(bytes.len());
        self.sink.write_all(&bytes[..allowed.unwrap_or(bytes.len())]).await?;
        if allowed.is_some() {
            self.sink.shutdown().await?;
            return Err(Error::other("cut"));
        }
        Ok(())
    }

    /// How many of these bytes may pass before the connection is cut; `None` if it is not.
    fn allowed(&self, count: usize) -> Option<usize> {
        let left = match self.way {
            Way::Requests => &self.shared.requests_left,
            Way::Answers => &self.shared.answers_left,
        };
        let mut left = left.lock().unwrap();
        let allowed = (*left)?;
        let count = count as u64;
        *left = (count < allowed).then(|| allowed - count);
        if left.is_none() { usize::try_from(allowed).ok() } else { None }
    }
}
