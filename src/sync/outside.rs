//! [`Inside`]: in debug builds, whether this thread is inside a critical section of the table of a Redis provider's locks.
//!
//! The user's code runs when a waker is woken, cloned or dropped, or when a task is dropped with it. It must never run
//! under a mutex of this crate: it may drop a guard, whose release would wait for that mutex for ever. The structure of
//! the code ensures that. Debug builds, and so all tests, also check it before such code runs. Release builds check
//! nothing.

#[cfg(all(debug_assertions, not(orchestrix_loom)))]
thread_local! {
    static DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Stored with the guard of a mutex under which no code of the user's may run.
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

/// Asserts that this thread is in no critical section. To be called before code of the user's runs.
#[inline]
#[cfg_attr(debug_assertions, track_caller)]
pub(crate) fn assert_outside() {
    #[cfg(all(debug_assertions, not(orchestrix_loom)))]
    assert!(DEPTH.get() == 0, "the user's code under a mutex of a provider");
}
