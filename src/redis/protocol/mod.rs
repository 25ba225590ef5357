//! The Lua scripts, their arguments and their answers, and the notifications that they publish.
//!
//! The invariants of the scripts are numbered in `head.lua`, with which each script begins. There are two forms of each
//! script, framed by `one.lua` and `several.lua`: for one lock, and for several in one call.

mod command;
mod encode;
mod notification;
mod reply;
#[cfg(feature = "__simulation")]
mod texts;

pub(super) use command::{Publishing, Refusal};
pub(super) use encode::{Answers, EncodeOptions, MAX_LOCKS_PER_COMMAND, encode};
pub(super) use notification::Notification;
pub(super) use reply::{acquired, cancel_reply, owner_reply, publishing};
#[cfg(feature = "__simulation")]
pub use texts::{ScriptTexts, script_texts};

use std::sync::LazyLock;

/// A script, for one lock and for several. Most calls are for one, and cost the server less without what several need.
pub(super) struct Script {
    one: Text,
    several: Text,
}

/// A script's text, and the digest by which the server knows it once it is loaded.
struct Text {
    text: String,
    digest: String,
}

impl Script {
    /// The script of this text, with the files that it includes, in both frames.
    fn new(body: &str) -> Self {
        let body = body
            .replace("--#include grant.lua", include_str!("grant.lua"))
            .replace("--#include holders.lua", include_str!("holders.lua"))
            .replace("--#include queue.lua", include_str!("queue.lua"));
        let for_each = "--#for each lock";
        let several = format!("{}\nend", body.replace(for_each, "local function run()"));
        Self {
            one: Text::framed(
                &include_str!("one.lua").replace("--#script", &with_literal_keys(&body.replace(for_each, ""))),
            ),
            several: Text::framed(&include_str!("several.lua").replace("--#script", &several)),
        }
    }
}

/// The part of a script for one lock in which commands are given `KEYS[n]` in place of the names that `one.lua` declares. Some
/// services refuse a script whose commands have their keys from variables.
fn with_literal_keys(script: &str) -> String {
    let names = [("lock", "KEYS[1]"), ("queue", "KEYS[2]"), ("holders", "KEYS[3]"), ("fence", "KEYS[4]")];
    names.into_iter().fold(script.to_owned(), |script, (name, key)| {
        let script = script.replace(&format!(", {name},"), &format!(", {key},"));
        script.replace(&format!(", {name})"), &format!(", {key})"))
    })
}

impl Text {
    /// The command that loads it.
    fn load(&self) -> ::redis::Cmd {
        let mut load = ::redis::cmd("SCRIPT");
        load.arg("LOAD").arg(self.text.as_str());
        load
    }

    /// A script with the head of all, without comments and indentation: it is sent over each new connection, and a server that
    /// loads its data reads little at a time.
    fn framed(framed: &str) -> Self {
        let lines = include_str!("head.lua").lines().chain(framed.lines()).map(str::trim);
        Self::new(lines.filter(|line| !line.is_empty() && !line.starts_with("--")).collect::<Vec<_>>().join("\n"))
    }

    fn new(text: String) -> Self {
        let digest = ::redis::Script::new(&text).get_hash().to_owned();
        Self { text, digest }
    }
}

/// Finds out whether scripts may publish.
static PROBE: LazyLock<Text> = LazyLock::new(|| Text::new(include_str!("probe.lua").to_owned()));

/// The commands that find out whether scripts may publish to this inbox: the last of them has the [answer](publishing).
/// The key is in a slot of the server.
pub(super) fn probe_publishing(key: &str, inbox: &str) -> ::redis::Pipeline {
    let mut pipeline = ::redis::pipe();
    pipeline.add_command(PROBE.load());
    pipeline.cmd("EVALSHA").arg(PROBE.digest.as_str()).arg(1).arg(key).arg(inbox);
    pipeline
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $(
            $(#[$doc])*
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!($file)));
        )*

        /// Appends the commands that load every script. Returns how many there are.
        pub(super) fn load_all(pipeline: &mut ::redis::Pipeline) -> usize {
            load_for_one(pipeline) + load_for_several(pipeline)
        }

        /// The same of the scripts for one lock.
        pub(super) fn load_for_one(pipeline: &mut ::redis::Pipeline) -> usize {
            [$(&*$name),*].iter().map(|script: &&Script| _ = pipeline.add_command(script.one.load())).count()
        }

        /// The same of the scripts for several locks.
        pub(super) fn load_for_several(pipeline: &mut ::redis::Pipeline) -> usize {
            [$(&*$name),*].iter().map(|script: &&Script| _ = pipeline.add_command(script.several.load())).count()
        }

        /// Every script, by its file.
        #[cfg(feature = "__simulation")]
        fn by_file() -> Vec<(&'static str, &'static Script)> {
            vec![$(($file, &*$name)),*]
        }
    };
}

scripts! {
    /// Takes the lock, or joins the queue for it.
    ACQUIRE = "acquire.lua";
    /// Renews or extends a lease, or checks it.
    RENEW = "renew.lua";
    /// Frees a lock, or hands it on.
    RELEASE = "release.lua";
    /// Cancels an acquire.
    CANCEL = "cancel.lua";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As some services check it: each command of the server that has a key has it from `KEYS`, by a literal number.
    #[test]
    fn the_commands_of_a_script_for_one_lock_have_literal_keys() {
        for script in [&*ACQUIRE, &*RENEW, &*RELEASE, &*CANCEL] {
            let text = &script.one.text;
            let commands: Vec<&str> = text.split("call('").skip(1).collect();
            assert!(commands.len() > 2, "{text}");
            for command in commands {
                let (name, arguments) = command.split_once('\'').unwrap_or_default();
                let has_literal =
                    ["[1]", "[2]", "[3]"].iter().any(|key| arguments.starts_with(&format!(", KEYS{key}")))
                        || name == "SET" && arguments.starts_with(", KEYS[4]");
                assert!(has_literal || ["TIME", "PUBLISH"].contains(&name), "{command}");
                // Its second key, if it has one.
                let line = arguments.lines().next().unwrap_or_default();
                assert!(![", queue)", ", holders)"].iter().any(|key| line.contains(key)), "{command}");
            }
        }
    }
}
