//! What was done, and what was found.
//!
//! [`RunReport`], [`ControlReport`] and [`MutantsReport`] are the figures of their commands, flat, as JSON and as text; [`evidence`] makes
//! one document of those and of other tools' figures.

mod control;
mod document;
mod evidence;
mod mutants;
mod properties;
mod run;
mod text;

pub(crate) use control::ControlReport;
pub(crate) use evidence::evidence;
pub(crate) use mutants::{MutantsReport, Rejection};
pub(crate) use run::RunReport;
