//! Notices that Sentinel names another primary than the one that is connected to.
//!
//! A primary that was taken out of service by a failover is closed or made a replica by Sentinel, which its clients notice. One
//! that is frozen, or cut off, says nothing. So one sentinel is subscribed to.

use std::time::Duration;

use ::redis::{Msg, RedisError};
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::address;
use super::sentinels::{Primary, Sentinels, asks_for_password, client};
use crate::redis::connection_string::{SentinelTarget, Server};
use crate::redis::settings::Settings;

/// What a sentinel publishes after a failover: the service, the old address and the new one.
const CHANNEL: &str = "+switch-master";

/// How often another sentinel is subscribed to, and all are asked, in case the present one is frozen or was cut off from the
/// others.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);

/// The pause after a round in which each sentinel has ended the subscription, or refused it.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Waits until another server is named as the primary.
///
/// # Cancel safety
///
/// Safe.
pub(in crate::redis) async fn switched(
    sentinels: &Sentinels,
    settings: &Settings,
    target: &SentinelTarget,
    present: &Primary,
) -> Server {
    let mut asked_for_password = false;
    loop {
        for sentinel in sentinels.known(target) {
            match listen(sentinels, settings, target, present, &sentinel, asked_for_password).await {
                Ok(Some(new)) => return new,
                Ok(None) => {}
                Err(error) => asked_for_password |= asks_for_password(settings, target, &error),
            }
        }
        // Where no subscription is permitted, this is all that there is.
        if let Some(new) = other_than(present, sentinels, settings, target).await {
            return new;
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Listens to one sentinel. `None` when its connection ends, or it is another one's turn.
async fn listen(
    sentinels: &Sentinels,
    settings: &Settings,
    target: &SentinelTarget,
    present: &Primary,
    sentinel: &Server,
    asked_for_password: bool,
) -> Result<Option<Server>, RedisError> {
    let client = client(settings, target, sentinel, asked_for_password)?;
    let subscribed = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(CHANNEL).await?;
        Ok::<_, RedisError>(subscription)
    };
    let Ok(subscription) = timeout(settings.connect_timeout, subscribed).await else { return Ok(None) };
    let mut messages = subscription?.into_on_message();
    // After the subscription, so that no failover is missed in between.
    if let Some(new) = other_than(present, sentinels, settings, target).await {
        return Ok(Some(new));
    }
    let switch = next_switch(&mut messages, present, target);
    Ok(timeout(RECHECK_INTERVAL, switch).await.unwrap_or_default())
}

/// Asks all sentinels. `None` if they name the present primary, or none.
async fn other_than(
    present: &Primary,
    sentinels: &Sentinels,
    settings: &Settings,
    target: &SentinelTarget,
) -> Option<Server> {
    let named = sentinels.primary(settings, target, Some(&present.server)).await.ok()?;
    (named.server != present.server && named.epoch >= present.epoch).then_some(named.server)
}

/// The next other server that is announced as the service's primary. `None` when there are no more messages.
async fn next_switch(
    messages: &mut (impl StreamExt<Item = Msg> + Unpin),
    present: &Primary,
    target: &SentinelTarget,
) -> Option<Server> {
    loop {
        let message = messages.next().await?;
        if let Some(new) = read(&message.get_payload::<String>().unwrap_or_default(), &target.service, target.tls)
            && new != present.server
        {
            return Some(new);
        }
    }
}

/// Reads `service old-host old-port new-host new-port`.
fn read(message: &str, service: &str, tls: bool) -> Option<Server> {
    match message.split(' ').collect::<Vec<_>>().as_slice() {
        [name, _, _, host, port] if *name == service => address(host, port, tls),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_of_the_service_are_read() {
        let new = read("locks 10.0.0.1 6379 10.0.0.2 6380", "locks", true);
        assert_eq!(new, Some(Server::Tcp { host: "10.0.0.2".to_owned(), port: 6380, tls: true }));
        for other in
            ["other 10.0.0.1 6379 10.0.0.2 6380", "locks 10.0.0.1 6379 10.0.0.2", "locks a 1 b 0", "locks a 1 b x", ""]
        {
            assert_eq!(read(other, "locks", false), None, "{other}");
        }
    }
}
