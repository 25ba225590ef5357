//! [`LayerConfig`]: the settings of an HTTP layer.

use std::time::Duration;

use ::http::Method;

use super::OnDisconnect;
use crate::tower::LayerConfig as Common;
use crate::{LockMode, LockOptions, OnLost};

/// Until when a request holds its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HoldUntil {
    /// Until the response body has ended, so that a streamed answer is produced under the lock. The default.
    ///
    /// After an upgrade (101, or a successful CONNECT) until the last clone of the request's
    /// [`LockHandle`](crate::LockHandle) is dropped. If the handler keeps none, the upgrade is refused with 500. See
    /// "Upgraded connections" at [`HttpLockLayer`](crate::HttpLockLayer#upgraded-connections).
    #[default]
    BodyEnd,
    /// Until the handler has returned its response. The body is produced without the lock, and an upgraded connection is
    /// served without it.
    Response,
}

/// Small and `Copy`, so that cloning a layer or a service costs nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerConfig {
    pub(super) common: Common,
    /// Whether the method of a request says its mode.
    pub(super) shared_for_safe_methods: bool,
    pub(super) hold_until: HoldUntil,
    pub(super) release_timeout: Duration,
    pub(super) on_disconnect: OnDisconnect,
}

/// The settings that are needed once the lock is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) hold_until: HoldUntil,
    pub(super) release_timeout: Duration,
    /// Whether a loss ends the handler and the body.
    pub(super) cancels: bool,
}

impl LayerConfig {
    pub(super) fn new(options: LockOptions) -> Self {
        let common = Common::new(options);
        Self {
            common,
            shared_for_safe_methods: false,
            hold_until: HoldUntil::default(),
            release_timeout: Duration::from_secs(5),
            on_disconnect: OnDisconnect::default(),
        }
    }

    /// The common settings for a request with this method.
    #[inline]
    pub(super) fn common_for(&self, method: &Method) -> Common {
        match self.shared_for_safe_methods {
            false => self.common,
            true if is_safe(method) => self.common.mode(LockMode::Shared),
            true => self.common.mode(LockMode::Exclusive),
        }
    }

    pub(super) fn ending(&self) -> Ending {
        let Self { common, hold_until, release_timeout, .. } = *self;
        Ending { hold_until, release_timeout, cancels: common.on_lost == OnLost::Cancel }
    }
}

/// Whether the method is one of RFC 9110, section 9.2.1. `Method::is_safe` knows more of them, such as QUERY, in some versions
/// of its crate: who holds a lock beside whom must not depend on that.
fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method)
}
