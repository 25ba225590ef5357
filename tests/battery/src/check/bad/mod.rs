//! Histories that are right, and what is wrong with each of many wrong ones.

#![allow(clippy::indexing_slicing)]

mod dice;
mod edits;
mod failovers;
mod layer;
mod mutants;
mod right;
mod tests;

pub(super) use dice::Dice;
