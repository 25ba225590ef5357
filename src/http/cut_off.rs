//! [`CutOff`]: the body of an answer that ends its HTTP/1 connection with an error.
//!
//! # Why
//!
//! hyper prepares an upgrade when a request asks for one, and hands the connection over when it has finished with it,
//! after any answer. A client that sends `Connection: close`, or that leaves after a refusal, would so start the
//! handler's task without a lock. hyper does not hand over a connection that ends with an error. So the whole refusal is
//! sent, and the body fails where it would end.

use std::mem;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::BoxError;

#[derive(Debug)]
pub(super) enum CutOff {
    Bytes(Bytes),
    /// Pending once, so that the server writes the bytes. At an error it drops what it has not written.
    Flush,
    Error,
}

impl CutOff {
    /// The bytes, then the error.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, BoxError>> {
        match mem::replace(self, Self::Error) {
            Self::Bytes(bytes) => {
                *self = Self::Flush;
                Poll::Ready(Ok(bytes))
            }
            Self::Flush => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Error => Poll::Ready(Err("the connection is not upgraded".into())),
        }
    }
}
