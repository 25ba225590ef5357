//! What was done, and what was found.
