//! The synchronisation that locks are built from: `parking_lot` and `std`, or loom's models of them.
//!
//! Everything whose interleavings are checked with loom takes its mutex and its atomics from here.

#[cfg(not(orchestrix_loom))]
pub(crate) use std::sync::atomic::AtomicU64;

#[cfg(orchestrix_loom)]
pub(crate) use loom::sync::atomic::AtomicU64;

#[cfg(not(orchestrix_loom))]
pub(crate) use parking_lot::Mutex;

#[cfg(orchestrix_loom)]
pub(crate) use modelled::Mutex;

/// loom's mutex with `parking_lot`'s face: a lock without poisoning.
#[cfg(orchestrix_loom)]
mod modelled {
    use loom::sync::MutexGuard;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            match self.0.lock() {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            }
        }
    }
}
