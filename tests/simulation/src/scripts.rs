//! [`Scripts`]: the scripts of the crate under test, compiled.

use orchestrix_locking::simulation::{ScriptTexts, script_texts};
use thiserror::Error;

use crate::server::{Interpreter, Script};

/// Every script that the protocol calls, as the crate itself would load it.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// `acquire.lua`
    pub acquire: Framed,
    /// `renew.lua`
    pub renew: Framed,
    /// `release.lua`
    pub release: Framed,
    /// `cancel.lua`
    pub cancel: Framed,
}

/// One script in both of its frames.
#[derive(Debug, Clone)]
pub struct Framed {
    one: Script,
    several: Script,
}

/// The crate has no script of this name, or one that does not compile.
#[derive(Debug, Error)]
pub enum NoScript {
    /// The crate's scripts have other names by now.
    #[error("the crate has no script {0}")]
    Missing(&'static str),
    /// It is not valid Lua.
    #[error("a script does not compile")]
    Lua(#[from] mlua::Error),
}

impl Scripts {
    /// All of them, in an interpreter of their own.
    ///
    /// # Errors
    ///
    /// If the crate has no such scripts any more, or Lua refuses one.
    pub fn compile() -> Result<Self, NoScript> {
        let interpreter = Interpreter::new()?;
        let texts = script_texts();
        let framed = |file| Framed::compile(&texts, file, &interpreter);
        Ok(Self {
            acquire: framed("acquire.lua")?,
            renew: framed("renew.lua")?,
            release: framed("release.lua")?,
            cancel: framed("cancel.lua")?,
        })
    }

    /// The script that a server knows by this.
    pub fn by_digest(&self, digest: &str) -> Option<&Script> {
        self.all().find(|script| script.digest() == digest)
    }

    /// Each script in each frame.
    pub fn all(&self) -> impl Iterator<Item = &Script> {
        [&self.acquire, &self.renew, &self.release, &self.cancel].into_iter().flat_map(|of| [&of.one, &of.several])
    }
}

impl Framed {
    fn compile(texts: &[ScriptTexts], file: &'static str, interpreter: &Interpreter) -> Result<Self, NoScript> {
        let texts = texts.iter().find(|texts| texts.file == file).ok_or(NoScript::Missing(file))?;
        Ok(Self { one: interpreter.compile(texts.one)?, several: interpreter.compile(texts.several)? })
    }

    /// The one that a call for this number of locks runs.
    pub fn for_locks(&self, count: usize) -> &Script {
        if count == 1 { &self.one } else { &self.several }
    }
}
