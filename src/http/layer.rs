//! [`HttpLockLayer`].

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ::http::Response;
use ::http::request::Parts;
use bytes::Bytes;
use tower_layer::Layer;

use super::config::LayerConfig;
use super::refusal_response::OnRefusal;
use super::{Attached, Detachable, HoldUntil, HttpLockService, OnDisconnect, Refusal};
use crate::{DistributedLockProvider, LockMode, LockOptions, Locking, OnLost};

/// Runs HTTP requests under a lock.
///
#[doc = include_str!("guide.md")]
///
/// `K` is the key that names the locks of a request: a [`Key`](super::key::Key), [`key::all`](super::key::all), or a closure
/// `Fn(&Request<B>) -> impl IntoResource`. `D` says whether [`on_disconnect`](Self::on_disconnect) was set.
#[must_use]
pub struct HttpLockLayer<K, D = Attached> {
    pub(super) provider: Arc<dyn DistributedLockProvider>,
    pub(super) key: Arc<K>,
    pub(super) settings: LayerConfig,
    pub(super) on_refusal: Option<OnRefusal>,
    pub(super) kind: PhantomData<D>,
}

impl<K> HttpLockLayer<K> {
    /// A layer that takes its locks from `provider`, with the default [`LockOptions`].
    ///
    /// [`Locking::http_layer`] does the same with a registered provider and the registered options.
    pub fn new(provider: impl DistributedLockProvider, key: K) -> Self {
        Self::with(Arc::new(provider), key, LockOptions::default())
    }

    fn with(provider: Arc<dyn DistributedLockProvider>, key: K, options: LockOptions) -> Self {
        let settings = LayerConfig::new(options);
        Self { provider, key: Arc::new(key), settings, on_refusal: None, kind: PhantomData }
    }
}

impl<K, D> HttpLockLayer<K, D> {
    /// How long a request waits for its lock, 10 s by default. Then it is refused with 503. A shorter `grpc-timeout` of the
    /// request takes precedence. With [`Duration::ZERO`] a request does not wait, and is refused with 409.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.common.wait = wait;
        self
    }

    /// The length of the lease, 10 ms to 24 h. See [`LockOptions::ttl`].
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.common = self.settings.common.ttl(ttl);
        self
    }

    /// All options of the lock. With an option out of range every request is refused with 500.
    pub fn options(mut self, options: LockOptions) -> Self {
        self.settings.common = self.settings.common.options(options);
        self
    }

    /// Who may hold the lock at the same time. See [`LockMode`]. A [`LockRequest`](crate::LockRequest) of the key may set
    /// another mode.
    pub fn mode(mut self, mode: LockMode) -> Self {
        self.settings.common = self.settings.common.mode(mode);
        self.settings.shared_for_safe_methods = false;
        self
    }

    /// Requests for one resource run at the same time, and exclude those of layers without this: readers beside writers. The
    /// same as [`mode`](Self::mode) with [`LockMode::Shared`].
    pub fn shared(self) -> Self {
        self.mode(LockMode::Shared)
    }

    /// Requests with a safe method, which are not meant to change anything, share the lock: GET, HEAD, OPTIONS and TRACE
    /// (RFC 9110, section 9.2.1). All others exclude. Of this and [`mode`](Self::mode) the last call counts.
    pub fn shared_for_safe_methods(mut self) -> Self {
        self.settings.shared_for_safe_methods = true;
        self
    }

    /// At most `n` requests for one resource run at the same time, over all processes. 1 to 1 000 000. The same as
    /// [`mode`](Self::mode) with [`LockMode::Permits`]. One more is refused with 429 after its wait.
    pub fn permits(self, n: u32) -> Self {
        self.mode(LockMode::permits(n))
    }

    /// How many requests may wait for one resource in this process, 1024 by default. The holder does not count. One more
    /// is refused with 429. With 0 no request waits.
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.settings.common.max_waiters = max_waiters;
        self
    }

    /// What happens if the lock is lost while the handler runs or the body is produced. With [`OnLost::Cancel`], the
    /// default, the handler is dropped and the answer is 500. A body that has begun ends with an error.
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.settings.common.on_lost = on_lost;
        self
    }

    /// Until when the lock is held. [`HoldUntil::BodyEnd`] by default.
    pub fn hold_until(mut self, hold_until: HoldUntil) -> Self {
        self.settings.hold_until = hold_until;
        self
    }

    /// How long an answer waits for the reply to the release of its lock, 5 s by default. After that the answer is sent,
    /// and the release goes on in the background.
    pub fn release_timeout(mut self, release_timeout: Duration) -> Self {
        self.settings.release_timeout = release_timeout;
        self
    }

    /// What happens to a handler whose client is gone. [`OnDisconnect::Cancel`] by default.
    ///
    /// With [`OnDisconnect::Finish`] a handler that has begun runs to its response under its lock, in a task that the layer
    /// spawns when the server drops the request. The same happens when a time-out outside the layer drops it. The
    /// response has no reader then: its body is dropped unread, and the lock is freed.
    ///
    /// - A request that still waits for its lock leaves the wait queue.
    /// - A body that is being sent is dropped.
    /// - A panic reaches the caller while there is one, and ends the task otherwise.
    /// - A loss ends the handler in the task too, unless [`OnLost::Continue`] is set.
    /// - The handler cannot read the rest of the request's body.
    /// - A server's graceful shutdown does not wait for the task. [`DistributedLockProvider::close`] ends it as a loss, and
    ///   the end of the runtime ends it too. `docs/middleware.md` has the order in which to stop a server and its locks.
    ///
    /// The new layer requires that the inner service, its future and the bodies are `Send + 'static`.
    pub fn on_disconnect(self, on_disconnect: OnDisconnect) -> HttpLockLayer<K, Detachable> {
        let Self { provider, key, settings, on_refusal, .. } = self;
        HttpLockLayer {
            provider,
            key,
            settings: LayerConfig { on_disconnect, ..settings },
            on_refusal,
            kind: PhantomData,
        }
    }

    /// Writes the answer to refused requests, gRPC calls included, in place of the layer. Its body is anything that
    /// [`Bytes`] can be made from, such as a `String` or a `Vec<u8>`. axum's `Body` is not, since it may be a stream.
    ///
    /// If an upgrade is refused after its handler has run, a status below 400 becomes 500: the client could take it for the
    /// upgrade.
    ///
    /// The head of every request that needs a lock is cloned for this, since a loss comes after the request was passed on.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// use http::Response;
    /// use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockError, key};
    ///
    /// // 423 Locked, where the layer would answer 409 or 503 because another request holds the lock.
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

impl<S, K, D> Layer<S> for HttpLockLayer<K, D> {
    type Service = HttpLockService<S, K, D>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpLockService { inner, layer: Arc::new(self.clone()) }
    }
}

impl<K, D> Clone for HttpLockLayer<K, D> {
    fn clone(&self) -> Self {
        Self {
            provider: Arc::clone(&self.provider),
            key: Arc::clone(&self.key),
            settings: self.settings,
            on_refusal: self.on_refusal.clone(),
            kind: PhantomData,
        }
    }
}

impl<K, D> fmt::Debug for HttpLockLayer<K, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLockLayer")
            .field("provider", &self.provider)
            .field("settings", &self.settings)
            .field("on_refusal", &self.on_refusal.is_some())
            .finish_non_exhaustive()
    }
}
