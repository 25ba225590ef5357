//! [`Round`]: an attempt to acquire several locks at once, without waiting.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::plan::Backends;
use crate::DistributedLock;
use crate::backend::Acquired;
use crate::lock::acquire::Pending;
use crate::types::Wait;

/// Resolves with one result for each lock, in their order.
///
/// Dropping it cancels what has no result, and releases what was granted.
pub(super) struct Round {
    backends: Backends,
    attempts: Vec<Attempt>,
}

enum Attempt {
    Pending(Pending),
    Ended(Acquired),
}

impl Round {
    pub(super) fn begin(locks: &[DistributedLock], backends: &Backends) -> Self {
        let mut round = Self { backends: backends.clone(), attempts: Vec::with_capacity(locks.len()) };
        let mut rest = locks.iter();
        let mut begin = || {
            while let Some(lock) = rest.next() {
                let mut answer = Ok(None);
                let pending = lock.begin(Wait::No, &mut answer);
                if pending.is_none() && !matches!(answer, Ok(Some(_))) {
                    // What comes behind a missing one would be given back. Until then it would keep others from it, who may
                    // be the ones that have this one.
                    rest = [].iter();
                }
                round.attempts.push(pending.map_or(Attempt::Ended(answer), Attempt::Pending));
            }
        };
        backends.together(&mut begin);
        // Does nothing, unless a backend has not run the calls as it should.
        begin();
        round
    }
}

impl Future for Round {
    type Output = Vec<Acquired>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut is_pending = false;
        for attempt in &mut self.attempts {
            if let Attempt::Pending(pending) = attempt {
                match Pin::new(pending).poll(cx) {
                    Poll::Ready(answer) => *attempt = Attempt::Ended(answer),
                    Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending {
            return Poll::Pending;
        }
        let ended = |attempt| match attempt {
            Attempt::Ended(answer) => answer,
            Attempt::Pending(_) => Ok(None),
        };
        Poll::Ready(mem::take(&mut self.attempts).into_iter().map(ended).collect())
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        let Self { backends, attempts } = self;
        if !attempts.is_empty() {
            backends.together(&mut || attempts.clear());
        }
    }
}
