//! [`LockBody`]: a response body that is produced under the lock.
//!
//! # How it works
//!
//! The guard lives in the body. When the inner body shows its last frame, that frame is kept back, the lock is
//! released, and only then is the frame passed on: a client that has its whole answer finds the lock free. What is
//! the last frame depends on the inner body:
//!
//! - trailers, an error and the end of the stream are last always;
//! - so is a frame after which the body says that it has ended. Waiting for the end of the stream would be too
//!   late, since servers mark that frame as the last one and never ask again;
//! - so is the frame that completes the announced length, over HTTP/1 also one that the body announces, for the same
//!   reason.
//!
//! An answer that a client has whole as soon as it has the head never gets here with its guard: see [`Framing`].
//!
//! Nothing is polled ahead, so that backpressure is the inner body's.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::bounded_release::BoundedRelease;
use super::config::Ending;
use super::cut_off::CutOff;
use super::framing::Framing;
use crate::{BoxError, LockError, LockGuard, Lost};

/// A response body that holds the lock until it has ended. See [`HttpLockLayer`](crate::HttpLockLayer).
///
/// The lock is freed at the end of the stream, after trailers, at an error, or when the body is dropped. If the lock
/// is lost before and the layer is to cancel then, the body ends with [`LockError::Lost`] as its error.
#[pin_project]
pub struct LockBody<B: Body> {
    /// `None` once nothing more can come of it. Before the lock, so that it is dropped under it.
    #[pin]
    inner: Option<B>,
    stage: Stage<B::Data>,
}

enum Stage<D> {
    /// What the inner body has is passed on, without a lock, until it has ended.
    Free,
    /// An answer of the layer's own.
    Refusal(Bytes),
    /// One after which the connection must not go on.
    CutOff(CutOff),
    Held(Held),
    /// The last frame is kept back until the release has been answered. `None` is the end of the stream.
    Releasing {
        letting_go: BoundedRelease,
        cancels: bool,
        frame: Option<Result<Frame<D>, BoxError>>,
    },
}

/// A lock that the body holds.
struct Held {
    guard: LockGuard,
    ending: Ending,
    /// Made when the inner body first has to be waited for.
    lost: Option<Lost>,
    /// How many bytes complete the answer, where that is known and decides.
    left: Option<u64>,
}

impl<B: Body> LockBody<B> {
    /// A body without a lock.
    pub(super) fn free(inner: B) -> Self {
        Self { inner: Some(inner), stage: Stage::Free }
    }

    /// The body of an answer of the layer's own.
    pub(super) fn refusal(bytes: Bytes) -> Self {
        Self { inner: None, stage: if bytes.is_empty() { Stage::Free } else { Stage::Refusal(bytes) } }
    }

    /// The same, with an error at its end.
    pub(super) fn cut_off(bytes: Bytes) -> Self {
        let cut_off = if bytes.is_empty() { CutOff::Flush } else { CutOff::Bytes(bytes) };
        Self { inner: None, stage: Stage::CutOff(cut_off) }
    }

    pub(super) fn held(inner: B, guard: LockGuard, ending: Ending, framing: &Framing) -> Self {
        let held = Held { guard, ending, lost: None, left: framing.length() };
        Self { inner: Some(inner), stage: Stage::Held(held) }
    }
}

impl Held {
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ending.cancels {
            return Poll::Pending;
        }
        let guard = &self.guard;
        Pin::new(self.lost.get_or_insert_with(|| guard.lost())).poll(cx)
    }

    /// Whether the answer's announced length is complete with this frame.
    fn completed_by<D: Buf>(&mut self, frame: &Frame<D>) -> bool {
        let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) else { return false };
        *left = left.saturating_sub(bytes_of(data));
        *left == 0
    }
}

impl<B> Body for LockBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();

        if let Stage::Held(held) = this.stage {
            // Asked before every frame, since a body that always has one would never get to wait for the loss.
            let lost = held.ending.cancels && !held.guard.is_held();
            let polled = match this.inner.as_mut().as_pin_mut() {
                _ if lost => Poll::Pending,
                Some(inner) => inner.poll_frame(cx),
                None => Poll::Ready(None),
            };
            let frame = match polled {
                Poll::Ready(frame) => frame.map(|frame| frame.map_err(Into::into)),
                Poll::Pending => {
                    if !lost {
                        ready!(held.poll_lost(cx));
                    }
                    let lost = ended_by_the_loss(this.inner);
                    *this.stage = Stage::Free;
                    return lost;
                }
            };
            let ended = match &frame {
                None | Some(Err(_)) => true,
                Some(Ok(frame)) => {
                    frame.is_trailers() || this.inner.as_ref().as_pin_ref().is_none_or(|it| it.is_end_stream())
                }
            };
            // A complete answer may have an end that is yet to be seen, so the inner body stays.
            let complete = matches!(&frame, Some(Ok(frame)) if held.completed_by(frame));
            if ended {
                this.inner.set(None);
            } else if !complete {
                return Poll::Ready(frame);
            }
            let Stage::Held(Held { mut guard, ending, .. }) = mem::replace(this.stage, Stage::Free) else {
                return Poll::Pending;
            };
            let cancels = ending.cancels;
            match BoundedRelease::at_once(&mut guard) {
                Some(lost) if lost && cancels => return ended_by_the_loss(this.inner),
                Some(_) => return Poll::Ready(frame),
                None => {
                    let letting_go = BoundedRelease::later(&guard, ending.release_timeout);
                    *this.stage = Stage::Releasing { letting_go, cancels, frame };
                }
            }
        }

        if let Stage::Releasing { letting_go, cancels, frame } = this.stage {
            let lost = ready!(Pin::new(letting_go).poll(cx)) && *cancels;
            let frame = frame.take();
            *this.stage = Stage::Free;
            return if lost { ended_by_the_loss(this.inner) } else { Poll::Ready(frame) };
        }

        if let Stage::CutOff(cut_off) = this.stage {
            let frame = ready!(cut_off.poll(cx));
            if frame.is_err() {
                *this.stage = Stage::Free;
            }
            return Poll::Ready(Some(frame.map(|bytes| Frame::data(bytes.into()))));
        }

        if let Stage::Refusal(bytes) = this.stage {
            let bytes = mem::take(bytes);
            *this.stage = Stage::Free;
            return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
        }
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let frame = ready!(inner.poll_frame(cx));
        if frame.is_none() {
            this.inner.set(None);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Free) && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if let Stage::Refusal(bytes) = &self.stage {
            return SizeHint::with_exact(bytes_of(bytes));
        }
        if let Stage::CutOff(_) = &self.stage {
            // An exact length would be announced, and the error after it never be asked for.
            return SizeHint::new();
        }
        let inner = self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        match &self.stage {
            Stage::Releasing { frame: Some(Ok(frame)), .. } => plus(&inner, frame.data_ref().map_or(0, bytes_of)),
            _ => inner,
        }
    }
}

/// A lost lock ends the body.
fn ended_by_the_loss<B, D>(mut inner: Pin<&mut Option<B>>) -> Poll<Option<Result<Frame<D>, BoxError>>> {
    inner.set(None);
    Poll::Ready(Some(Err(LockError::Lost.into())))
}

fn bytes_of(data: &impl Buf) -> u64 {
    u64::try_from(data.remaining()).unwrap_or(u64::MAX)
}

/// The hint of a body with a frame before it.
fn plus(hint: &SizeHint, bytes: u64) -> SizeHint {
    let mut sum = SizeHint::new();
    // The lower bound first: an upper one below it is a panic.
    sum.set_lower(hint.lower().saturating_add(bytes));
    if let Some(upper) = hint.upper() {
        sum.set_upper(upper.saturating_add(bytes));
    }
    sum
}

impl<B: Body> fmt::Debug for LockBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = match &self.stage {
            Stage::Held(held) => Some(&held.guard),
            _ => None,
        };
        f.debug_struct("LockBody").field("held", &guard).finish_non_exhaustive()
    }
}
