//! What `tests/simulation` runs of this crate's inside. No part of the API: it changes without notice.

pub use crate::redis::simulation::{
    Action, Answer, Caller, Census, Command, Extending, Guard, Node, NodeOptions, Releasing,
};
pub use crate::redis::{ScriptTexts, script_texts};
