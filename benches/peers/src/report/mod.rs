//! What a run says: tables, plots, and the goals.

mod document;
mod goals;
mod plot;
mod tables;

pub(crate) use document::write_between;
pub(crate) use goals::{Measured, from_results, write_goals};
pub(crate) use plot::{Panel, write_plot};
pub(crate) use tables::{MemoryResult, Notes, RedisResult, memory_table, plots, redis_tables};
