//! What `tests/simulation` runs of this crate's inside. No part of the API: it changes without notice.

pub use crate::redis::simulation::{
    Action, Answer, Caller, Command, Extending, Guard, LinkId, Node, NodeCounts, NodeOptions, Releasing,
};
pub use crate::redis::{ScriptTexts, script_texts};
