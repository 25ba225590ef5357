//! [`OnDisconnect`], and the two types of layer.

/// What happens to a handler whose client is gone. See
/// [`HttpLockLayer::on_disconnect`](crate::HttpLockLayer::on_disconnect).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDisconnect {
    /// It is dropped at its current `.await`, and then the lock is freed. The default.
    #[default]
    Cancel,
    /// It runs to its response under the lock. The response is dropped with its body, and then the lock is freed.
    Finish,
}

/// Marks a layer whose handlers end with their clients. Every layer is one until
/// [`on_disconnect`](crate::HttpLockLayer::on_disconnect) is called.
#[derive(Debug, Clone, Copy)]
pub struct Attached;

/// Marks a layer whose handlers may outlive their clients, and therefore must be `Send + 'static`. Made by
/// [`on_disconnect`](crate::HttpLockLayer::on_disconnect).
#[derive(Debug, Clone, Copy)]
pub struct Detachable;
