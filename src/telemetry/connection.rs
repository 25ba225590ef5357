//! Events of a provider's connection to its server. The longer an outage lasts, the fewer of them are logged.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first logged failure of an outage. It doubles with each logged failure, up to
/// [`LONGEST_SILENCE`].
const FIRST_SILENCE: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// A connection that breaks sooner belongs to the outage before it. [`min_uptime`] raises it for long time-outs.
const MIN_UPTIME: Duration = Duration::from_secs(10);

/// At most this many connections are logged at level info in one outage.
const MAX_LOGGED_CONNECTIONS: usize = 3;

/// Logs and counts the events of one provider's connection.
#[derive(Debug)]
pub(crate) struct ConnectionEvents<'a> {
    server: &'a str,
    key_prefix: &'a str,
    /// The prefix of this process's owner tokens: it links a token in a lock's key to the process's log lines.
    inbox: String,
    /// A connection that breaks sooner belongs to the outage before it.
    min_uptime: Duration,
    /// The present outage, or the latest.
    outage: Option<Outage>,
    /// When the latest connection was made.
    up_since: Option<Instant>,
}

/// From the break of a connection, or the first attempt that fails, until a connection lasts.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Attempts that failed, and connections that broke.
    failures: usize,
    /// Connections that were made during the outage.
    connections: usize,
    /// No failure is logged as a warning before this time.
    silent_until: Instant,
    silence: Duration,
}

impl Outage {
    fn new(now: Instant) -> Self {
        Self { since: now, failures: 0, connections: 0, silent_until: now, silence: FIRST_SILENCE }
    }

    /// Whether a failure is logged as a warning now.
    fn logs_failure(&mut self, now: Instant) -> bool {
        if now < self.silent_until {
            return false;
        }
        self.silent_until = now + self.silence;
        self.silence = (self.silence * 2).min(LONGEST_SILENCE);
        true
    }
}

impl<'a> ConnectionEvents<'a> {
    /// `response_timeout` is how long the server may take for a reply.
    pub(crate) fn new(server: &'a str, key_prefix: &'a str, inbox: &dyn Display, response_timeout: Duration) -> Self {
        Self {
            server,
            key_prefix,
            inbox: inbox.to_string(),
            min_uptime: min_uptime(response_timeout),
            outage: None,
            up_since: None,
        }
    }

    /// A connection was made, to this one where there are several servers. `refusal`: why the server sends no notifications, if
    /// that is not known from an earlier connection.
    pub(crate) fn made(&mut self, refusal: Option<&dyn Display>, node: Option<&dyn Display>) {
        count("connected");
        let now = Instant::now();
        self.up_since = Some(now);
        let (mut failures, mut lasted, mut connections) = (0, Duration::ZERO, 0);
        if let Some(outage) = &mut self.outage {
            outage.connections += 1;
            (failures, lasted, connections) = (outage.failures, now - outage.since, outage.connections);
        }
        // Connections that break at once can be many.
        let logged = connections <= MAX_LOGGED_CONNECTIONS;
        #[cfg(feature = "tracing")]
        {
            let Self { server, key_prefix, inbox, .. } = self;
            let node = node.map(tracing::field::display);
            if logged {
                tracing::info!(server, node, key_prefix, inbox, failures, outage = ?lasted, "connected to the lock server");
            } else {
                tracing::debug!(server, node, key_prefix, inbox, failures, outage = ?lasted, "connected to the lock server");
            }
            if let Some(reason) = refusal {
                tracing::warn!(server, key_prefix, inbox, %reason, "waiters poll the server instead of being notified");
            }
        }
        let _ = (failures, lasted, logged, refusal, node);
    }

    /// A connection broke.
    pub(crate) fn broke(&mut self, error: &dyn Display) {
        count("broken");
        let now = Instant::now();
        if self.up_since.is_some_and(|since| now - since >= self.min_uptime) {
            self.outage = None;
        }
        let outage = self.outage.get_or_insert_with(|| Outage::new(now));
        outage.failures += 1;
        // The break does not start the pause: the first failed attempt after it often shows the reason.
        let logged = outage.failures == 1 || outage.logs_failure(now);
        self.warn(logged, "the connection to the lock server broke", error);
    }

    /// An attempt to connect failed.
    pub(crate) fn failed(&mut self, error: &dyn Display) {
        count("failed");
        let now = Instant::now();
        let outage = self.outage.get_or_insert_with(|| Outage::new(now));
        outage.failures += 1;
        let logged = outage.logs_failure(now);
        self.warn(logged, "no connection to the lock server", error);
    }

    fn warn(&self, logged: bool, event: &'static str, error: &dyn Display) {
        let Self { server, key_prefix, inbox, outage, .. } = self;
        let failures = outage.as_ref().map_or(0, |outage| outage.failures);
        #[cfg(feature = "tracing")]
        if logged {
            tracing::warn!(server, key_prefix, inbox, failures, %error, "{event}");
        } else {
            tracing::debug!(server, key_prefix, inbox, failures, %error, "{event}");
        }
        let _ = (logged, event, error, server, key_prefix, inbox, failures);
    }
}

/// How long a connection has to last to end an outage. A server that accepts connections and never replies keeps each of
/// them up for `response_timeout`, so this has to be clearly longer.
fn min_uptime(response_timeout: Duration) -> Duration {
    MIN_UPTIME.max(response_timeout.saturating_mul(2))
}

fn count(event: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("orchestrix_locking_connections_total", "event" => event).increment(1);
    let _ = event;
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::time::advance;

    use super::*;
    use crate::log::Log;

    const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

    /// The log lines of level info and above.
    async fn logged(tell: impl AsyncFnOnce(&mut ConnectionEvents<'_>)) -> Vec<String> {
        let (log, guard) = Log::of_this_thread(tracing::Level::INFO);
        tell(&mut ConnectionEvents::new("redis:6379", "app:", &"0123", RESPONSE_TIMEOUT)).await;
        drop(guard);
        log.lines("")
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_an_hour_is_few_lines_and_its_end_is_logged() {
        let lines = logged(async |events| {
            events.made(None, None);
            advance(Duration::from_secs(60)).await;
            events.broke(&"reset");
            for _ in 0..7200 {
                events.failed(&"refused");
                advance(Duration::from_millis(500)).await;
            }
            events.made(None, None);
        })
        .await;
        let of = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        assert_eq!((of("broke"), of("connected to")), (1, 2), "{lines:#?}");
        // At once, and after 10, 30, 70, 150, 310, 610 s and so on.
        assert_eq!(of("no connection"), 6 + 10, "{lines:#?}");
        assert!(
            lines.iter().all(|line| line.contains(r#"server="redis:6379" key_prefix="app:" inbox="0123""#)),
            "{lines:#?}"
        );
        assert!(lines.last().unwrap().contains("failures=7201 outage=3600s"), "{lines:#?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_breaks_again_and_again_is_logged_seldom() {
        let lines = logged(async |events| {
            for _ in 0..200 {
                events.made(None, None);
                advance(Duration::from_millis(100)).await;
                events.broke(&"readonly");
                advance(Duration::from_millis(400)).await;
            }
            // One that lasts ends the outage.
            events.made(None, None);
            advance(Duration::from_secs(11)).await;
            events.broke(&"reset");
            events.made(None, None);
        })
        .await;
        let of = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        assert!(of("connected to") <= 6 && of("broke") <= 8, "{lines:#?}");
        assert!(lines.last().unwrap().contains("connected to") && of("reset") == 1, "{lines:#?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_connects_and_never_replies_is_few_lines() {
        let lines = logged(async |events| {
            // Each connection ends when its first reply is late, a little after the time-out.
            for _ in 0..600 {
                events.made(None, None);
                advance(RESPONSE_TIMEOUT + Duration::from_millis(10)).await;
                events.broke(&"timed out");
            }
        })
        .await;
        assert!(lines.len() <= 15, "{} lines: {:#?}", lines.len(), lines.iter().take(20).collect::<Vec<_>>());
    }

    #[test]
    fn no_response_timeout_is_long_enough_for_a_connection_to_last() {
        for timeout in [Duration::from_millis(1), RESPONSE_TIMEOUT, Duration::from_secs(10), Duration::from_secs(60)] {
            assert!(min_uptime(timeout) > timeout + timeout / 2, "{timeout:?}");
        }
        assert_eq!(min_uptime(RESPONSE_TIMEOUT), MIN_UPTIME);
    }
}
