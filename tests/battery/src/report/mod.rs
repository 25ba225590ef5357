//! What was done, and what was found.
//!
//! [`RunReport`] and [`ControlReport`] are the figures of their commands, flat, as JSON and as text; [`evidence`] makes
//! one document of those and of other tools' figures.

mod control;
mod document;
mod evidence;
mod properties;
mod run;
mod text;

pub(crate) use control::ControlReport;
pub(crate) use evidence::evidence;
pub(crate) use run::RunReport;
