//! [`Inside`]: in debug builds, whether this thread is inside a critical section of ours.
//!
//! Code of a user's (a waker that is woken, cloned or dropped, the drop of a task that it keeps) must never run under a
//! mutex of ours: it may drop a guard, and the release then waits for that mutex for ever. How locks are built sees to it;
//! in debug builds, so in every test, it is also checked where such code is about to run. Release builds do neither.

#[cfg(all(debug_assertions, not(orchestrix_loom)))]
thread_local! {
    static DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Kept beside the guard of a mutex under which no code of a user's may run.
#[cfg(feature = "redis")]
#[derive(Debug)]
pub(crate) struct Inside(());

#[cfg(feature = "redis")]
impl Inside {
    #[inline]
    pub(crate) fn enter() -> Self {
        #[cfg(all(debug_assertions, not(orchestrix_loom)))]
        DEPTH.set(DEPTH.get() + 1);
        Self(())
    }
}

#[cfg(feature = "redis")]
impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        #[cfg(all(debug_assertions, not(orchestrix_loom)))]
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Code of a user's runs next.
#[inline]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn assert_outside() {
    #[cfg(all(debug_assertions, not(orchestrix_loom)))]
    assert!(DEPTH.get() == 0, "code of a user's under a mutex of a provider's");
}
