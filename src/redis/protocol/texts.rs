//! [`ScriptTexts`]: the scripts as a server is told them, for the simulation.

use super::by_file;

/// One script, in both of its frames.
#[derive(Debug, Clone, Copy)]
pub struct ScriptTexts {
    /// The file that it stands in, such as `acquire.lua`.
    pub file: &'static str,
    /// What a call for one lock runs.
    pub one: &'static str,
    /// What a call for several locks runs.
    pub several: &'static str,
}

/// Every script that a server is told of.
pub fn script_texts() -> Vec<ScriptTexts> {
    let texts = by_file().into_iter();
    texts.map(|(file, script)| ScriptTexts { file, one: &script.one.text, several: &script.several.text }).collect()
}
