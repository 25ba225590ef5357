//! The connection of a provider to its server: events that name the provider, and fewer of them the longer an outage lasts.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// For how long the events of an outage are held back after the first ones; then twice as long, and so on.
const FIRST_SILENCE: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// A connection that ends before this is part of the outage before it; with long time-outs, see [`lasts`], later.
const LASTS: Duration = Duration::from_secs(10);

/// So many connections that do not last are told of in one outage.
const MOST_CONNECTIONS: usize = 3;

/// What is told of one provider's connection.
#[derive(Debug)]
pub(crate) struct ConnectionEvents<'a> {
    server: &'a str,
    key_prefix: &'a str,
    /// What this process's tokens begin with, so that a token in a lock's key leads to its process in the logs.
    inbox: String,
    /// A connection that ends before this is part of the outage before it.
    lasts: Duration,
    /// The present one, or the latest.
    outage: Option<Outage>,
    up: Option<Instant>,
}

/// From the break of a connection, or the first attempt that fails, until a connection lasts.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Attempts that failed, and connections that did not last.
    failures: usize,
    /// Connections that were made meanwhile.
    connections: usize,
    /// Failures are told again from this time on.
    silent_until: Instant,
    silence: Duration,
}

impl Outage {
    fn new(now: Instant) -> Self {
        Self { since: now, failures: 0, connections: 0, silent_until: now, silence: FIRST_SILENCE }
    }

    /// Whether a failure is told now.
    fn tells(&mut self, now: Instant) -> bool {
        if now < self.silent_until {
            return false;
        }
        self.silent_until = now + self.silence;
        self.silence = (self.silence * 2).min(LONGEST_SILENCE);
        true
    }
}

impl<'a> ConnectionEvents<'a> {
    /// Events of a connection on which an answer may take as long as `response_timeout`.
    pub(crate) fn new(server: &'a str, key_prefix: &'a str, inbox: &dyn Display, response_timeout: Duration) -> Self {
        Self { server, key_prefix, inbox: inbox.to_string(), lasts: lasts(response_timeout), outage: None, up: None }
    }

    /// There is a connection. Without messages, it is told that there are none.
    pub(crate) fn made(&mut self, messages: bool) {
        count("connected");
        let now = Instant::now();
        self.up = Some(now);
        let (mut failures, mut lasted, mut connections) = (0, Duration::ZERO, 0);
        if let Some(outage) = &mut self.outage {
            outage.connections += 1;
            (failures, lasted, connections) = (outage.failures, now - outage.since, outage.connections);
        }
        // Those that break at once come again and again.
        let told = connections <= MOST_CONNECTIONS;
        #[cfg(feature = "tracing")]
        {
            let Self { server, key_prefix, inbox, .. } = self;
            if told {
                tracing::info!(server, key_prefix, inbox, failures, outage = ?lasted, "connected to the lock server");
            } else {
                tracing::debug!(server, key_prefix, inbox, failures, outage = ?lasted, "connected to the lock server");
            }
            if !messages {
                tracing::warn!(
                    server,
                    key_prefix,
                    inbox,
                    "the user has no permission for channels: waiting locks ask again and again instead of being told"
                );
            }
        }
        let _ = (failures, lasted, told, messages);
    }

    /// A connection broke.
    pub(crate) fn broke(&mut self, error: &dyn Display) {
        count("broken");
        let now = Instant::now();
        if self.up.is_some_and(|up| now - up >= self.lasts) {
            self.outage = None;
        }
        let outage = self.outage.get_or_insert_with(|| Outage::new(now));
        outage.failures += 1;
        // The first does not silence the first attempt after it, which often has the reason.
        let told = outage.failures == 1 || outage.tells(now);
        self.warn(told, "the connection to the lock server broke", error);
    }

    /// An attempt to connect failed.
    pub(crate) fn failed(&mut self, error: &dyn Display) {
        count("failed");
        let now = Instant::now();
        let outage = self.outage.get_or_insert_with(|| Outage::new(now));
        outage.failures += 1;
        let told = outage.tells(now);
        self.warn(told, "no connection to the lock server", error);
    }

    fn warn(&self, told: bool, what: &'static str, error: &dyn Display) {
        let Self { server, key_prefix, inbox, outage, .. } = self;
        let failures = outage.as_ref().map_or(0, |outage| outage.failures);
        #[cfg(feature = "tracing")]
        if told {
            tracing::warn!(server, key_prefix, inbox, failures, %error, "{what}");
        } else {
            tracing::debug!(server, key_prefix, inbox, failures, %error, "{what}");
        }
        let _ = (told, what, error, server, key_prefix, inbox, failures);
    }
}

/// How long a connection has to last to end an outage. A server that accepts connections and answers nothing keeps each
/// of them up for as long as an answer may take, so that it has to be clearly longer than that.
fn lasts(response_timeout: Duration) -> Duration {
    LASTS.max(response_timeout.saturating_mul(2))
}

fn count(event: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("orchestrix_locking_connections_total", "event" => event).increment(1);
    let _ = event;
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;
    use std::sync::{Arc, Mutex};

    use tokio::time::advance;

    use super::*;

    const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of level information and above.
    async fn told(tell: impl AsyncFnOnce(&mut ConnectionEvents<'_>)) -> Vec<String> {
        let written = Written::default();
        let make = written.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || make.clone()).finish();
        let guard = tracing::subscriber::set_default(subscriber);
        tell(&mut ConnectionEvents::new("redis:6379", "app:", &"0123", RESPONSE_TIMEOUT)).await;
        drop(guard);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_an_hour_is_some_lines_and_its_end_is_told() {
        let lines = told(async |events| {
            events.made(true);
            advance(Duration::from_secs(60)).await;
            events.broke(&"reset");
            for _ in 0..7200 {
                events.failed(&"refused");
                advance(Duration::from_millis(500)).await;
            }
            events.made(true);
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
    async fn a_connection_that_breaks_again_and_again_is_told_of_seldom() {
        let lines = told(async |events| {
            for _ in 0..200 {
                events.made(true);
                advance(Duration::from_millis(100)).await;
                events.broke(&"readonly");
                advance(Duration::from_millis(400)).await;
            }
            // One that lasts ends the outage.
            events.made(true);
            advance(Duration::from_secs(11)).await;
            events.broke(&"reset");
            events.made(true);
        })
        .await;
        let of = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        assert!(of("connected to") <= 6 && of("broke") <= 8, "{lines:#?}");
        assert!(lines.last().unwrap().contains("connected to") && of("reset") == 1, "{lines:#?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_connects_and_answers_nothing_for_minutes_is_some_lines() {
        let lines = told(async |events| {
            // Each connection ends when the first answer over it is late, which is a little after the time-out.
            for _ in 0..600 {
                events.made(true);
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
            assert!(lasts(timeout) > timeout + timeout / 2, "{timeout:?}");
        }
        assert_eq!(lasts(RESPONSE_TIMEOUT), LASTS);
    }
}
