//! [`CutOff`]: the body of an answer that has to end its HTTP/1 connection with an error.
//!
//! # Why
//!
//! hyper prepares an upgrade when a request asks for one, and hands the connection over when it is done with it. It does so
//! whatever the answer was: a client that sends `Connection: close`, or leaves after a refusal, would set the handler's
//! task going, without a lock. Only a connection that ends with an error is not handed over. So the refusal is sent
//! whole, and its body then fails in place of an end.

use std::mem;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::BoxError;

#[derive(Debug)]
pub(super) enum CutOff {
    Bytes(Bytes),
    /// The server writes to the client while the body is pending, and drops what it has not written at an error.
    Flush,
    Error,
}

impl CutOff {
    /// The bytes, or the error after them.
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
