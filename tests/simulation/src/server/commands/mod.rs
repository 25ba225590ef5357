//! The commands that the scripts call, and what a foreign program does to the same keys.

mod keys;
mod lists;
mod numbers;
mod sorted_sets;
mod strings;

use super::keyspace::{Entry, Score, Value};
use super::{Reply, Role, Server, ServerError};

type Outcome = Result<Reply, ServerError>;

/// A command, as the server's own table has it.
struct Command {
    name: &'static str,
    /// How many words it has with its name; at least so many if negative.
    arity: isize,
    writes: bool,
    /// Whether it is refused while the memory is full.
    takes_memory: bool,
    run: fn(&mut Server, &[&[u8]]) -> Outcome,
}

const fn reads(name: &'static str, arity: isize, run: fn(&mut Server, &[&[u8]]) -> Outcome) -> Command {
    Command { name, arity, writes: false, takes_memory: false, run }
}

/// It writes, and takes no memory for it.
const fn writes(name: &'static str, arity: isize, run: fn(&mut Server, &[&[u8]]) -> Outcome) -> Command {
    Command { name, arity, writes: true, takes_memory: false, run }
}

const fn takes_memory(name: &'static str, arity: isize, run: fn(&mut Server, &[&[u8]]) -> Outcome) -> Command {
    Command { name, arity, writes: true, takes_memory: true, run }
}

/// Those that are called most come first.
const COMMANDS: &[Command] = &[
    reads("GET", 2, strings::get),
    reads("EXISTS", -2, keys::exists),
    reads("TIME", 1, keys::time),
    takes_memory("SET", -3, strings::set),
    reads("PTTL", 2, keys::pttl),
    writes("PEXPIRE", -3, keys::pexpire),
    writes("DEL", -2, keys::del),
    reads("LINDEX", 3, lists::lindex),
    reads("LLEN", 2, lists::llen),
    reads("LRANGE", 4, lists::lrange),
    reads("LPOS", -3, lists::lpos),
    takes_memory("RPUSH", -3, lists::rpush),
    takes_memory("LPUSH", -3, lists::lpush),
    takes_memory("LSET", 4, lists::lset),
    writes("LPOP", -2, lists::lpop),
    writes("LREM", 4, lists::lrem),
    reads("ZSCORE", 3, sorted_sets::zscore),
    reads("ZCOUNT", 4, sorted_sets::zcount),
    reads("ZRANGE", -4, sorted_sets::zrange),
    takes_memory("ZADD", -4, sorted_sets::zadd),
    writes("ZREM", -3, sorted_sets::zrem),
    // The memory is not a part of the model, and so not when it is given back either.
    writes("UNLINK", -2, keys::del),
    reads("PUBLISH", 3, keys::publish),
    reads("TYPE", 2, keys::type_of),
];

/// A command that a script calls. `wrote`: whether the script has called one that writes.
pub(super) fn run_for_script(server: &mut Server, words: &[&[u8]], wrote: &mut bool) -> Outcome {
    let command = find(words)?;
    if !command.takes(words.len()) {
        return refused("ERR Wrong number of args calling Redis command from script");
    }
    // A script that has written anything is let do the rest, whatever it is.
    if !*wrote {
        command.check_allowed(server)?;
    }
    if server.has_moved(command.keys_of(words)) {
        return refused("ERR Script attempted to access a non local key in a cluster node");
    }
    *wrote |= command.writes;
    (command.run)(server, words)
}

/// A command that a client sends.
pub(super) fn run_for_client(server: &mut Server, words: &[&[u8]]) -> Outcome {
    let command = find(words)?;
    if !command.takes(words.len()) {
        return wrong_number_of_arguments(command.name);
    }
    command.check_allowed(server)?;
    (command.run)(server, words)
}

impl Command {
    fn takes(&self, words: usize) -> bool {
        if self.arity < 0 { words >= self.arity.unsigned_abs() } else { words == self.arity.unsigned_abs() }
    }

    fn keys_of<'a>(&self, words: &'a [&'a [u8]]) -> &'a [&'a [u8]] {
        let last = match self.name {
            "TIME" | "PUBLISH" => 1,
            "EXISTS" | "DEL" => words.len(),
            _ => 2,
        };
        words.get(1..last).unwrap_or_default()
    }

    fn check_allowed(&self, server: &Server) -> Result<(), ServerError> {
        if self.writes && server.role == Role::Replica {
            return refused("READONLY You can't write against a read only replica.");
        }
        // A replica does as its master does, which has looked at its own memory.
        if self.takes_memory && server.memory_is_full && server.role == Role::Master {
            return refused("OOM command not allowed when used memory > 'maxmemory'.");
        }
        Ok(())
    }
}

fn find(words: &[&[u8]]) -> Result<&'static Command, ServerError> {
    let name = words.first().copied().unwrap_or_default();
    let found = COMMANDS.iter().find(|command| name.eq_ignore_ascii_case(command.name.as_bytes()));
    found.ok_or_else(|| not_modelled(name))
}

/// The server may have it; the model has not.
fn not_modelled(what: &[u8]) -> ServerError {
    ServerError::NotModelled(what.escape_ascii().to_string())
}

fn refused<T>(text: &str) -> Result<T, ServerError> {
    Err(ServerError::Refused(text.to_owned()))
}

fn wrong_number_of_arguments<T>(name: &str) -> Result<T, ServerError> {
    refused(&format!("ERR wrong number of arguments for '{}' command", name.to_ascii_lowercase()))
}

fn wrong_type<T>() -> Result<T, ServerError> {
    refused("WRONGTYPE Operation against a key holding the wrong kind of value")
}

/// The number of words has been looked at before.
fn no_such_form<T>() -> Result<T, ServerError> {
    Err(ServerError::NotModelled("a command with this number of words".to_owned()))
}
