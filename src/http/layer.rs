//! [`HttpLockLayer`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::Response;
use ::http::request::Parts;
use bytes::Bytes;
use tower_layer::Layer;

use super::settings::Settings;
use super::{HoldUntil, HttpLockService, Refusal};
use crate::{DistributedLockProvider, LockOptions, Locking, OnLost};

/// What [`HttpLockLayer::on_refusal`] was given.
pub(super) type OnRefusal = Arc<dyn Fn(&Refusal, &Parts) -> Response<Bytes> + Send + Sync>;

/// Runs HTTP requests under a lock.
///
#[doc = include_str!("guide.md")]
///
/// `K` is the key that names the resource of a request: a [`Key`](super::key::Key), or a closure
/// `Fn(&Request<B>) -> impl IntoResource`.
#[must_use]
pub struct HttpLockLayer<K> {
    pub(super) provider: Arc<dyn DistributedLockProvider>,
    pub(super) key: Arc<K>,
    pub(super) settings: Settings,
    pub(super) on_refusal: Option<OnRefusal>,
}

impl<K> HttpLockLayer<K> {
    /// A layer that takes its locks from `provider`, with the default [`LockOptions`].
    ///
    /// [`Locking::http_layer`] does the same with a registered provider and the registered options.
    pub fn new(provider: impl DistributedLockProvider, key: K) -> Self {
        Self::with(Arc::new(provider), key, LockOptions::default())
    }

    fn with(provider: Arc<dyn DistributedLockProvider>, key: K, options: LockOptions) -> Self {
        Self { provider, key: Arc::new(key), settings: Settings::new(options), on_refusal: None }
    }

    /// How long a request waits for its lock, 10 s by default; then it is refused with 503. A shorter
    /// `grpc-timeout` of the request goes before. [`Duration::ZERO`]: it does not wait, and is refused with 409.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.common.wait = wait;
        self
    }

    /// The length of the lease, 10 ms to 24 h. See [`LockOptions::ttl`].
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.common = self.settings.common.ttl(ttl);
        self
    }

    /// All options of the lock. With options out of range each request is refused with 500.
    pub fn options(mut self, options: LockOptions) -> Self {
        self.settings.common = self.settings.common.options(options);
        self
    }

    /// How many requests may wait for one resource in this process, 1024 by default, the one that holds the lock not
    /// counted; one more is refused with 429. With 0 nobody waits.
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.settings.common.max_waiters = max_waiters;
        self
    }

    /// What happens if the lock is lost while the handler runs or the body is produced; [`OnLost::Cancel`] by default:
    /// the handler is dropped and the answer is 500, a body that has begun ends with an error.
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.settings.common.on_lost = on_lost;
        self
    }

    /// Until when the lock is held; [`HoldUntil::BodyEnd`] by default.
    pub fn hold_until(mut self, hold_until: HoldUntil) -> Self {
        self.settings.hold_until = hold_until;
        self
    }

    /// How long an answer is kept back for the release of its lock to be confirmed, 5 s by default. After that the
    /// client is answered, and the release goes on in the background.
    pub fn release_timeout(mut self, release_timeout: Duration) -> Self {
        self.settings.release_timeout = release_timeout;
        self
    }

    /// Writes the answer to refused requests, gRPC calls included, in place of the layer. Its body is anything that
    /// [`Bytes`] can be made from, such as a `String` or a `Vec<u8>`; axum's `Body`, which may be a stream, is not.
    ///
    /// The head of every request that needs a lock is cloned for this, since the handler has it by the time of a loss.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// use http::Response;
    /// use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockError, key};
    ///
    /// // 423 Locked, where the layer would answer 409 or 503 because somebody else holds the lock.
    /// let layer = HttpLockLayer::new(InMemoryLockProvider::new(), key::path()).on_refusal(|refusal, _request| {
    ///     let mut response = Response::new(refusal.error().to_string());
    ///     *response.status_mut() = match refusal.error() {
    ///         LockError::Busy { .. } => http::StatusCode::LOCKED,
    ///         _ => refusal.status(),
    ///     };
    ///     response
    /// });
    /// # let _ = layer; }
    /// ```
    pub fn on_refusal<F, T>(mut self, answer: F) -> Self
    where
        F: Fn(&Refusal, &Parts) -> Response<T> + Send + Sync + 'static,
        T: Into<Bytes>,
    {
        self.on_refusal = Some(Arc::new(move |refusal, request| answer(refusal, request).map(Into::into)));
        self
    }
}

impl Locking {
    /// A layer that runs HTTP requests under this provider's locks. See [`HttpLockLayer`].
    ///
    /// `key` names the resource of a request: one of [`key`](crate::key), or a closure from `&Request<B>` that returns
    /// what [`IntoResource`](crate::IntoResource) lists.
    pub fn http_layer<K>(&self, key: K) -> HttpLockLayer<K> {
        HttpLockLayer::with(self.provider(), key, self.default_options())
    }
}

impl<S, K> Layer<S> for HttpLockLayer<K> {
    type Service = HttpLockService<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpLockService { inner, layer: self.clone() }
    }
}

impl<K> Clone for HttpLockLayer<K> {
    fn clone(&self) -> Self {
        Self {
            provider: Arc::clone(&self.provider),
            key: Arc::clone(&self.key),
            settings: self.settings,
            on_refusal: self.on_refusal.clone(),
        }
    }
}

impl<K> fmt::Debug for HttpLockLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLockLayer")
            .field("provider", &self.provider)
            .field("settings", &self.settings)
            .field("on_refusal", &self.on_refusal.is_some())
            .finish_non_exhaustive()
    }
}
