//! One of the processes under test.
//!
//! [`run`] is the process: it starts the tasks, and does what its orders say. Each task takes a name, [acquires](acquiring)
//! it in one way or another, does something with the [`hold`], and lets go; or makes a [request](requests) of a service
//! behind a layer. What they share is in the [`world`].

mod acquiring;
mod failure;
mod hold;
mod process;
mod protocol;
mod random;
mod requests;
mod task;
mod telling;
mod world;

pub(crate) use process::run;
pub(crate) use protocol::{Load, Order, Quiet, Setup};
