//! [`ResponseState`]: a request that runs, and its answer, kept back until its lock is free.

use pin_project::pin_project;

/// `L` is the release that the answer waits for. The fields of each are in the order in which they have to be dropped: an
/// answer under its lock.
#[pin_project(project = ResponseStateProjection, project_replace = ResponseStateTaken)]
pub(crate) enum ResponseState<F, A, L> {
    LockedCall(#[pin] F),
    Releasing(A, L),
    Ended,
}
