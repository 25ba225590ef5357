//! One of several servers: the primary that Sentinel names, or the one of a list that says it is one.

mod disagreement;
pub(crate) mod fake;
mod frozen;
mod killed;
mod lies;
mod locks;
mod passwords;
mod permissions;
mod scene;
mod several;
mod swapped;
mod unanswered;
mod warnings;
