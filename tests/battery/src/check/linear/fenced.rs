//! A lock with fences, as what it does one after the other.

use todc_utils::specifications::Specification;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Is granted, with a fence.
    Acquire(u64),
    /// Is answered.
    Release {
        fence: u64,
        yes: bool,
    },
    Extend {
        fence: u64,
        yes: bool,
    },
    /// Ends without an answer that says so: by its lease, or by a release whose answer was not heard.
    Ends(u64),
}

/// Who has it, and the highest fence so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    owner: Option<u64>,
    highest: u64,
}

pub(super) struct Fenced;

impl Specification for Fenced {
    type State = State;
    type Operation = Step;

    fn init() -> State {
        State { owner: None, highest: 0 }
    }

    fn apply(step: &Step, state: &State) -> (bool, State) {
        let State { owner, highest } = *state;
        let free = State { owner: None, highest };
        match *step {
            Step::Acquire(fence) => (owner.is_none() && fence > highest, State { owner: Some(fence), highest: fence }),
            Step::Release { fence, yes: true } | Step::Ends(fence) => (owner == Some(fence), free),
            Step::Extend { fence, yes: true } => (owner == Some(fence), *state),
            Step::Release { fence, yes: false } | Step::Extend { fence, yes: false } => (owner != Some(fence), *state),
        }
    }
}
