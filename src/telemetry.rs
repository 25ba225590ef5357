//! Events with the `tracing` feature, counters with the `metrics` feature.
//!
//! They are recorded where acquires begin and guards end, for every provider alike. Without either feature this compiles to
//! nothing.
//!
//! The name of a resource is in events and never in the labels of a metric, since the number of names has no bound. It is a
//! string field of its own: the subscriber quotes and escapes it, so a name that a client chose cannot look like another
//! field or another line.

#[cfg(feature = "redis")]
pub(crate) mod connection;

#[cfg(any(feature = "tracing", feature = "metrics"))]
pub(crate) use observed::Attempt;
#[cfg(not(any(feature = "tracing", feature = "metrics")))]
pub(crate) use unobserved::Attempt;

use crate::{FencingToken, Resource};

/// A guard ends after its lock was lost.
pub(crate) fn lost(resource: &Resource, fence: FencingToken) {
    #[cfg(feature = "metrics")]
    metrics::counter!("orchestrix_locking_lost_total").increment(1);
    #[cfg(feature = "tracing")]
    tracing::warn!(resource = resource.as_str(), fencing_token = fence.get(), "lock was lost while it was held");
    let _ = (resource, fence);
}

/// A guard ends that was held when its provider was closed: a shutdown, and no loss to look into.
pub(crate) fn closed(resource: &Resource, fence: FencingToken) {
    #[cfg(feature = "metrics")]
    metrics::counter!("orchestrix_locking_closed_total").increment(1);
    #[cfg(feature = "tracing")]
    tracing::info!(resource = resource.as_str(), fencing_token = fence.get(), "lock was held when its provider closed");
    let _ = (resource, fence);
}

/// A live waiter has lost its place in the server's wait queue several times.
#[cfg(feature = "redis")]
pub(crate) fn not_notified(server: &str, resource: &Resource) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        server,
        resource = resource.as_str(),
        "notifications do not reach this waiter, which polls from now on: do providers with different prefixes share the \
         key of this lock?"
    );
    let _ = (server, resource);
}

/// A request was answered with an internal error because of a mistake in the program. The answer does not describe the
/// mistake, so it is logged for the operator.
///
/// Logged for each such request, like a 500 in a trace layer: the mistake stays until the program is fixed.
#[cfg(feature = "http")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Misconfigured<'a> {
    /// `HttpLockLayer`, the extractor `LockHandle`, or a `handler` that returned the error.
    by: &'static str,
    /// The request's method and path, if they are known.
    request: Option<(&'a http::Method, &'a str)>,
    resource: Option<&'a Resource>,
}

#[cfg(feature = "http")]
impl<'a> Misconfigured<'a> {
    pub(crate) fn found_by(by: &'static str) -> Self {
        Self { by, request: None, resource: None }
    }

    pub(crate) fn request(self, method: &'a http::Method, path: &'a str) -> Self {
        Self { request: Some((method, path)), ..self }
    }

    pub(crate) fn resource(self, resource: &'a Resource) -> Self {
        Self { resource: Some(resource), ..self }
    }

    #[cold]
    pub(crate) fn report(self, error: &dyn std::fmt::Display) {
        #[cfg(feature = "tracing")]
        tracing::error!(
            by = self.by,
            method = self.request.map(|(method, _)| method.as_str()),
            path = self.request.map(|(_, path)| path),
            resource = self.resource.map(Resource::as_str),
            %error,
            "the program uses locks wrongly: a request was answered with an internal error"
        );
        let _ = (self.by, self.request, self.resource, error);
    }
}

/// Warns of an option that is allowed but may not be intended.
#[cfg(feature = "redis")]
pub(crate) fn advise(server: &str, key_prefix: &str, advice: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(server, key_prefix, "{advice}");
    let _ = (server, key_prefix, advice);
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
mod observed {
    use tokio::time::Instant;

    use crate::{FencingToken, LockError, Resource};

    /// One acquire, until its answer or its cancellation. `None` after that.
    #[derive(Debug)]
    pub(crate) struct Attempt(Option<Started>);

    #[derive(Debug)]
    struct Started {
        #[cfg(feature = "tracing")]
        resource: Resource,
        since: Instant,
    }

    impl Attempt {
        pub(crate) fn begin(resource: &Resource) -> Self {
            let _ = resource;
            Self(Some(Started {
                #[cfg(feature = "tracing")]
                resource: resource.clone(),
                since: Instant::now(),
            }))
        }

        /// `fence` tells the token of what was granted.
        pub(crate) fn end<G>(&mut self, answer: &Result<Option<G>, LockError>, fence: impl FnOnce(&G) -> FencingToken) {
            let Some(started) = self.0.take() else { return };
            let waited = started.since.elapsed();
            match answer {
                Ok(Some(granted)) => {
                    #[cfg(feature = "metrics")]
                    metrics::histogram!("orchestrix_locking_wait_seconds").record(waited.as_secs_f64());
                    #[cfg(feature = "tracing")]
                    tracing::debug!(
                        resource = started.resource.as_str(),
                        fencing_token = fence(granted).get(),
                        ?waited,
                        "lock acquired"
                    );
                    #[cfg(not(feature = "tracing"))]
                    let _ = (fence, granted);
                    count("granted");
                }
                Ok(None) => {
                    #[cfg(feature = "tracing")]
                    tracing::debug!(resource = started.resource.as_str(), ?waited, "lock is held by another caller");
                    count("busy");
                }
                Err(error) => {
                    #[cfg(feature = "tracing")]
                    tracing::warn!(resource = started.resource.as_str(), ?waited, %error, "lock could not be acquired");
                    count(match error {
                        LockError::TooManyWaiters => "too_many_waiters",
                        LockError::TooManyWaitersInTotal => "too_many_waiters_in_total",
                        LockError::Unavailable { .. } => "unavailable",
                        LockError::Closed => "closed",
                        _ => "error",
                    });
                }
            }
            let _ = waited;
        }
    }

    impl Drop for Attempt {
        fn drop(&mut self) {
            let Some(started) = self.0.take() else { return };
            #[cfg(feature = "tracing")]
            tracing::debug!(resource = started.resource.as_str(), waited = ?started.since.elapsed(), "acquire was cancelled");
            let _ = started;
            count("cancelled");
        }
    }

    fn count(outcome: &'static str) {
        #[cfg(feature = "metrics")]
        metrics::counter!("orchestrix_locking_acquires_total", "outcome" => outcome).increment(1);
        let _ = outcome;
    }
}

#[cfg(not(any(feature = "tracing", feature = "metrics")))]
mod unobserved {
    use crate::{FencingToken, LockError, Resource};

    /// An acquire that is not observed.
    #[derive(Debug)]
    pub(crate) struct Attempt;

    impl Attempt {
        #[inline]
        pub(crate) fn begin(_: &Resource) -> Self {
            Self
        }

        #[inline]
        #[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "the same signature as in `observed`")]
        pub(crate) fn end<G>(&mut self, _: &Result<Option<G>, LockError>, _: impl FnOnce(&G) -> FencingToken) {}
    }
}
