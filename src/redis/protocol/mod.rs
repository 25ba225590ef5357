//! The Lua scripts, what they are called with, and what they answer.
//!
//! The rules that they keep are numbered in `head.lua`, which is the beginning of each. Each is there twice, in the
//! frames `one.lua` and `several.lua`: for one lock, and for several that are asked for at the same time.

mod command;
mod encode;
mod notification;
mod reply;

pub(super) use command::Publishing;
pub(super) use encode::{Answers, MOST_IN_A_CALL, Manner, write};
pub(super) use notification::Message;
pub(super) use reply::{acquired, cancel_reply, owner_reply};

use std::sync::LazyLock;

/// A script, for one lock and for several. Most calls are for one, and cost less without what several need.
pub(super) struct Script {
    one: Text,
    several: Text,
}

/// What the server is told of a script, and the digest by which it knows it afterwards.
struct Text {
    text: String,
    digest: String,
}

impl Script {
    /// The script of this text: after the beginning that all share, with what it includes, and in the frame of each kind.
    fn new(body: &str) -> Self {
        let body = body
            .replace("--#include grant.lua", include_str!("grant.lua"))
            .replace("--#include queue.lua", include_str!("queue.lua"));
        let for_each = "--#for each lock";
        let several = format!("{}\nend", body.replace(for_each, "local function one()"));
        Self {
            one: Text::new(&include_str!("one.lua").replace("--#script", &body.replace(for_each, ""))),
            several: Text::new(&include_str!("several.lua").replace("--#script", &several)),
        }
    }

    /// The commands that make it known to the server.
    fn load(&self) -> impl Iterator<Item = ::redis::Cmd> {
        [&self.one, &self.several].into_iter().map(|script| {
            let mut load = ::redis::cmd("SCRIPT");
            load.arg("LOAD").arg(script.text.as_str());
            load
        })
    }
}

impl Text {
    fn new(framed: &str) -> Self {
        let text = format!("{}\n{framed}", include_str!("head.lua"));
        let digest = ::redis::Script::new(&text).get_hash().to_owned();
        Self { text, digest }
    }
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $(
            $(#[$doc])*
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
Script::new(include_str!($file))
            });
        )*

        /// Loads every script, as is to be done before the first is used. Returns how many commands that takes.
        pub(super) fn load_all(pipeline: &mut ::redis::Pipeline) -> usize {
            let loads = [$(&*$name),*].into_iter().flat_map(|script: &Script| script.load());
            loads.map(|load| _ = pipeline.add_command(load)).count()
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
    UNDO = "cancel.lua";
}
