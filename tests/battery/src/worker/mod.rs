//! One of the processes under test.

mod protocol;

pub(crate) use protocol::{Load, Order, Quiet, Setup};
