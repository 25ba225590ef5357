//! [`LockBody`]: a response body that is produced under the lock.
//!
//! # How it works
//!
//! The body owns the guards. It keeps the last frame back until the lock is released: a client that has its whole answer
//! finds the lock free. These frames are the last one:
//!
//! - trailers, an error, and the end of the stream;
//! - a frame after which the inner body says that it has ended. Waiting for the end of the stream would be too late:
//!   servers mark that frame as the last one, and do not poll the body again;
//! - the frame that completes the announced length, for the same reason. Over HTTP/1 the server also announces the exact
//!   size hint of a body.
//!
//! An answer that is complete with its head does not come here with a guard: see [`Framing`].
//!
//! No frame is polled ahead, so backpressure works as for the inner body.

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
use crate::lock::Held;
use crate::{BoxError, LockError, Lost};

/// A response body that holds the lock until it has ended. See [`HttpLockLayer`](crate::HttpLockLayer).
///
/// The lock is freed at the end of the stream, with the trailers, at an error, or when the body is dropped. If the lock is
/// lost before that, the body ends with [`LockError::Lost`], unless the layer is set to
/// [`OnLost::Continue`](crate::OnLost::Continue).
#[pin_project]
pub struct LockBody<B: Body> {
    /// `None` once it has ended. Declared before the guard, so that it is dropped while the lock is held.
    #[pin]
    inner: Option<B>,
    stage: Stage<B::Data>,
}

enum Stage<D> {
    /// Passes the inner body on, without a lock, until it has ended.
    Unlocked,
    /// The answer to a refused request.
    Refusal(Bytes),
    /// The same, for a connection that must end with it.
    CutOff(CutOff),
    Locked(Locked),
    /// The last frame is kept back until the release is done. `None` is the end of the stream.
    Releasing {
        release: BoundedRelease,
        cancels: bool,
        frame: Option<Result<Frame<D>, BoxError>>,
    },
}

struct Locked {
    held: Held,
    ending: Ending,
    /// Made when the inner body is pending for the first time.
    lost: Option<Lost>,
    /// How many bytes are missing to the announced length, if the answer has one.
    bytes_left: Option<u64>,
}

impl<B: Body> LockBody<B> {
    /// A body without a lock.
    pub(super) fn unlocked(inner: B) -> Self {
        Self { inner: Some(inner), stage: Stage::Unlocked }
    }

    /// The body of the answer to a refused request.
    pub(super) fn refusal(bytes: Bytes) -> Self {
        Self { inner: None, stage: if bytes.is_empty() { Stage::Unlocked } else { Stage::Refusal(bytes) } }
    }

    /// The same, with an error at its end.
    pub(super) fn cut_off(bytes: Bytes) -> Self {
        let cut_off = if bytes.is_empty() { CutOff::Flush } else { CutOff::Bytes(bytes) };
        Self { inner: None, stage: Stage::CutOff(cut_off) }
    }

    pub(super) fn held(inner: B, held: Held, ending: Ending, framing: &Framing) -> Self {
        let locked = Locked { held, ending, lost: None, bytes_left: framing.length() };
        Self { inner: Some(inner), stage: Stage::Locked(locked) }
    }
}

impl Locked {
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ending.cancels {
            return Poll::Pending;
        }
        let held = &self.held;
        Pin::new(self.lost.get_or_insert_with(|| held.lost())).poll(cx)
    }

    /// Whether the answer's announced length is complete with this frame.
    fn completed_by<D: Buf>(&mut self, frame: &Frame<D>) -> bool {
        let (Some(left), Some(data)) = (&mut self.bytes_left, frame.data_ref()) else { return false };
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

        if let Stage::Locked(locked) = this.stage {
            // Checked before every frame: a body that is never pending never polls the loss signal.
            let lost = locked.ending.cancels && !locked.held.is_held();
            let polled = match this.inner.as_mut().as_pin_mut() {
                _ if lost => Poll::Pending,
                Some(inner) => inner.poll_frame(cx),
                None => Poll::Ready(None),
            };
            let frame = match polled {
                Poll::Ready(frame) => frame.map(|frame| frame.map_err(Into::into)),
                Poll::Pending => {
                    if !lost {
                        ready!(locked.poll_lost(cx));
                    }
                    let lost = end_with_loss(this.inner);
                    *this.stage = Stage::Unlocked;
                    return lost;
                }
            };
            let ended = match &frame {
                None | Some(Err(_)) => true,
                Some(Ok(frame)) => {
                    frame.is_trailers() || this.inner.as_ref().as_pin_ref().is_none_or(|it| it.is_end_stream())
                }
            };
            // A complete answer may still have trailers or an end of stream, so the inner body stays.
            let complete = matches!(&frame, Some(Ok(frame)) if locked.completed_by(frame));
            if ended {
                this.inner.set(None);
            } else if !complete {
                return Poll::Ready(frame);
            }
            let Stage::Locked(Locked { mut held, ending, .. }) = mem::replace(this.stage, Stage::Unlocked) else {
                return Poll::Pending;
            };
            let cancels = ending.cancels;
            match BoundedRelease::begin(&mut held, ending.release_timeout) {
                Ok(lost) if lost && cancels => return end_with_loss(this.inner),
                Ok(_) => return Poll::Ready(frame),
                Err(release) => *this.stage = Stage::Releasing { release, cancels, frame },
            }
        }

        if let Stage::Releasing { release, cancels, frame } = this.stage {
            let lost = ready!(Pin::new(release).poll(cx)) && *cancels;
            let frame = frame.take();
            *this.stage = Stage::Unlocked;
            return if lost { end_with_loss(this.inner) } else { Poll::Ready(frame) };
        }

        if let Stage::CutOff(cut_off) = this.stage {
            let frame = ready!(cut_off.poll(cx));
            if frame.is_err() {
                *this.stage = Stage::Unlocked;
            }
            return Poll::Ready(Some(frame.map(|bytes| Frame::data(bytes.into()))));
        }

        if let Stage::Refusal(bytes) = this.stage {
            let bytes = mem::take(bytes);
            *this.stage = Stage::Unlocked;
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
        matches!(self.stage, Stage::Unlocked) && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if let Stage::Refusal(bytes) = &self.stage {
            return SizeHint::with_exact(bytes_of(bytes));
        }
        if let Stage::CutOff(_) = &self.stage {
            // The server would announce an exact length, and would not poll for the error after it.
            return SizeHint::new();
        }
        let inner = self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        match &self.stage {
            Stage::Releasing { frame: Some(Ok(frame)), .. } => with_frame(&inner, frame.data_ref().map_or(0, bytes_of)),
            _ => inner,
        }
    }
}

fn end_with_loss<B, D>(mut inner: Pin<&mut Option<B>>) -> Poll<Option<Result<Frame<D>, BoxError>>> {
    inner.set(None);
    Poll::Ready(Some(Err(LockError::Lost.into())))
}

fn bytes_of(data: &impl Buf) -> u64 {
    u64::try_from(data.remaining()).unwrap_or(u64::MAX)
}

/// The size hint of a body together with the frame before it.
fn with_frame(hint: &SizeHint, bytes: u64) -> SizeHint {
    let mut sum = SizeHint::new();
    // `set_upper` panics below the lower bound, so the lower bound is set first.
    sum.set_lower(hint.lower().saturating_add(bytes));
    if let Some(upper) = hint.upper() {
        sum.set_upper(upper.saturating_add(bytes));
    }
    sum
}

impl<B: Body> fmt::Debug for LockBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = match &self.stage {
            Stage::Locked(locked) => Some(&locked.held),
            _ => None,
        };
        f.debug_struct("LockBody").field("held", &held).finish_non_exhaustive()
    }
}
