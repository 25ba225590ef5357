//! [`BackendId`]: tells two backends apart.

/// Identifies the backend that granted a lease. It is valid while the backend lives, and each lease keeps its backend
/// alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendId(usize);

impl BackendId {
    /// The id of the backend at this address.
    pub fn of<B: ?Sized>(backend: &B) -> Self {
        Self(std::ptr::from_ref(backend).addr())
    }
}
