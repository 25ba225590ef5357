//! The same question to a general checker: is there one order of all that was done that a lock could have done it in?
//!
//! P1, P2 and P4 together say just that of a resource. Let each grant, and the end of each hold, happen as early as
//! the lines and the grants before it allow. The grant happens in time, before its line, unless something of a lower
//! fence has to come before it that begins later: its asking (P1), its hold up to where it is certain (P2), or an
//! extension or release that was answered with yes (P4). So on any run of consecutive fences both must agree, and they
//! are compared there: [`window`] cuts such runs and asks both.
//!
//! A general checker tries orders, and is good for a dozen operations; ours is good for millions.

mod fenced;
#[cfg(test)]
mod tests;
mod window;

pub(super) use window::judge;
#[cfg(test)]
use window::{is_linearizable, is_ours, makes_sense};
