//! Decides from a history whether the locks kept their promises.
