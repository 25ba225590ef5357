//! [`BackendId`]: by which two backends are told apart.

/// Which backend granted a lease. It means something while the backend lives, which a lease of it sees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendId(usize);

impl BackendId {
    /// That of the backend at this place.
    pub fn of<B: ?Sized>(backend: &B) -> Self {
        Self(std::ptr::from_ref(backend).addr())
    }
}
