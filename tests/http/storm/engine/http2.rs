//! An HTTP/2 client, frame by frame: concurrent streams on connections that may break at any byte.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::LIMIT;
use super::faults::{Breaking, connect};
use super::ledger::Ledger;
use super::plan::{Conduct, Random};

pub(super) async fn client(
    address: SocketAddr,
    ids: impl Iterator<Item = usize>,
    mut random: Random,
    ledger: Arc<Ledger>,
) {
    let mut ids = ids.peekable();
    while ids.peek().is_some() {
        let stream = connect(address, &mut random).await;
        let stream = match random.below(4) {
            0 => Breaking::at(stream, usize::try_from(random.below(800)).unwrap(), usize::MAX),
            1 => Breaking::at(stream, usize::MAX, usize::try_from(random.below(60_000)).unwrap()),
            _ => Breaking::never(stream),
        };
        let mut requests = JoinSet::new();
        let handshake = timeout(LIMIT, h2::client::handshake(stream)).await.expect("no handshake");
        let connected =
            handshake.ok().map(|(sender, connection)| (sender, tokio::spawn(async move { drop(connection.await) })));
        // The requests of one connection, a few at a time.
        for _ in 0..=random.below(30) {
            let Some((sender, connection)) = &connected else { break };
            // A request may find the connection broken; the one after it goes to the next connection.
            if connection.is_finished() {
                break;
            }
            let Some(id) = ids.next() else { break };
            let (ledger, sender) = (ledger.clone(), sender.clone());
            let (path, conduct) = (random.path(id), random.conduct());
            let random = Random::new(random.below(u64::MAX));
            let url = format!("http://{address}{path}");
            requests.spawn(async move {
                let answer = timeout(LIMIT, exchange(sender, &url, conduct, random)).await;
                let answer = answer.unwrap_or_else(|_| panic!("{path}, {conduct:?}: no answer"));
                if let Some(status) = answer {
                    ledger.answered(id, status);
                }
            });
            while requests.len() >= 6 {
                requests.join_next().await.unwrap().unwrap();
            }
        }
        // Some connections end with requests in flight.
        let left = usize::try_from(random.below(3)).unwrap();
        while requests.len() > left {
            requests.join_next().await.unwrap().unwrap();
        }
        if let Some((_, connection)) = connected {
            connection.abort();
        }
        while let Some(request) = requests.join_next().await {
            request.unwrap();
        }
    }
}

/// One request. The status, if all of the answer was read.
async fn exchange(sender: SendRequest<Bytes>, url: &str, conduct: Conduct, mut random: Random) -> Option<u16> {
    let mut sender = sender.ready().await.ok()?;
    let ends = conduct != Conduct::CutsRequest;
    let (answer, mut request) = sender.send_request(Request::get(url).body(()).unwrap(), ends).ok()?;
    if matches!(conduct, Conduct::CutsRequest | Conduct::Leaves) {
        random.dawdle().await;
        request.send_reset(h2::Reason::CANCEL);
        return None;
    }
    let (head, mut body) = answer.await.ok()?.into_parts();
    let mut left = if conduct == Conduct::CutsAnswer { random.below(100_000) } else { u64::MAX };
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        left = left.checked_sub(data.len() as u64)?;
        if conduct == Conduct::ReadsSlowly {
            random.dawdle().await;
        }
        body.flow_control().release_capacity(data.len()).ok()?;
    }
    Some(head.status.as_u16())
}
