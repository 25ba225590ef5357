//! The Lua scripts, what they are called with, and what they answer.
//!
//! The rules that they keep are numbered in `head.lua`, which is the beginning of each.

mod answer;
mod command;
mod message;

pub(super) use answer::{Acquired, ServerTime, Undone, acquired, flag, undone};
pub(super) use command::{Command, Joining, Publishing, Step};
pub(super) use message::{Grant, Message};

use std::sync::LazyLock;

use crate::mutant;

/// A script on its way to the server: its text, and the digest by which the server knows it.
pub(super) struct Script {
    text: String,
    digest: String,
}

impl Script {
    /// The script of this file: after the beginning that all share, and with what it includes.
    fn new(file: &str, body: &'static str) -> Self {
        let grant = mutant::script("grant.lua", include_str!("grant.lua"));
        let queue = mutant::script("queue.lua", include_str!("queue.lua"));
        let body =
            mutant::script(file, body).replace("--#include grant.lua", &grant).replace("--#include queue.lua", &queue);
        let text = format!("{}\n{body}", include_str!("head.lua"));
        let digest = ::redis::Script::new(&text).get_hash().to_owned();
        Self { text, digest }
    }

    /// The command that makes it known to the server.
    pub(super) fn load(&self) -> ::redis::Cmd {
        let mut load = ::redis::cmd("SCRIPT");
        load.arg("LOAD").arg(self.text.as_str());
        load
    }
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $(
            $(#[$doc])*
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
Script::new($file, include_str!($file))
            });
        )*

        /// Every script, to be loaded before the first is used.
        pub(super) fn all() -> impl Iterator<Item = &'static Script> {
            [$(&*$name),*].into_iter()
        }
    };
}

scripts! {
    /// Takes the lock, or joins the queue for it.
    ACQUIRE = "acquire.lua";
    /// Lets a lease begin anew.
    RENEW = "renew.lua";
    /// Frees a lock, or hands it on.
    RELEASE = "release.lua";
    /// Takes an acquire back.
    UNDO = "undo.lua";
}
