//! [`Interpreter`] and [`Script`]: how a script is run.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use mlua::{Function, Lua, LuaOptions, MultiValue, StdLib, Table};

use super::value::in_one_line;
use super::{Reply, Server, ServerError, commands};

/// What a script is called in Lua's messages.
const CHUNK: &str = "@user_script";

/// Lua, as a server sets it up. One does for any number of servers, one after the other.
#[derive(Clone)]
pub struct Interpreter(Rc<Inner>);

struct Inner {
    lua: Lua,
    globals: Table,
    /// Calls a script and returns whether it ended well, and what it returned or failed with.
    run: Function,
    running: Rc<RefCell<Option<Running>>>,
}

/// What the commands of a script work on.
struct Running {
    server: Server,
    /// It has called a command that writes, so that none is refused from now on.
    wrote: bool,
    /// Also if the script has caught the error.
    not_modelled: Option<String>,
}

/// A script, compiled.
#[derive(Clone)]
pub struct Script {
    text: Rc<str>,
    digest: Rc<str>,
    function: Function,
    interpreter: Interpreter,
}

impl Interpreter {
    /// One without scripts.
    ///
    /// # Errors
    ///
    /// If Lua has no memory.
    pub fn new() -> mlua::Result<Self> {
        let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::new())?;
        let running: Rc<RefCell<Option<Running>>> = Rc::default();
        let (raising, telling) = (Rc::clone(&running), Rc::clone(&running));
        let call = lua.create_function(move |lua, words| {
            let outcome = command(lua, words, &mut raising.borrow_mut())?;
            outcome.map_err(mlua::Error::external)?.into_lua(lua)
        })?;
        let pcall = lua.create_function(move |lua, words| {
            let outcome = command(lua, words, &mut telling.borrow_mut())?;
            outcome.unwrap_or_else(|error| Reply::Error(error.to_string())).into_lua(lua)
        })?;
        let text_of = lua.create_function(|lua, problem| lua.create_string(told(&problem)))?;
        let complete = lua.create_function(complete)?;
        let run = lua.load(include_str!("sandbox.lua")).set_name("@sandbox").call((call, pcall, text_of, complete))?;
        Ok(Self(Rc::new(Inner { globals: lua.globals(), lua, run, running })))
    }

    /// Makes a script of its text.
    ///
    /// # Errors
    ///
    /// If it is not Lua.
    pub fn compile(&self, text: &str) -> mlua::Result<Script> {
        Ok(Script {
            text: text.into(),
            digest: sha1_smol::Sha1::from(text).digest().to_string().into(),
            function: self.0.lua.load(text).set_name(CHUNK).into_function()?,
            interpreter: self.clone(),
        })
    }
}

impl Script {
    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// By what a server knows it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub(super) fn run(&self, server: &mut Server, keys: &[&[u8]], args: &[&[u8]]) -> Result<Reply, ServerError> {
        let interpreter = &*self.interpreter.0;
        let running = Running { server: std::mem::take(server), wrote: false, not_modelled: None };
        interpreter.running.replace(Some(running));
        let ended = interpreter.call(&self.function, keys, args);
        let not_modelled = interpreter.running.take().and_then(|running| {
            *server = running.server;
            running.not_modelled
        });
        if let Some(what) = not_modelled {
            return Err(ServerError::NotModelled(what));
        }
        match ended.and_then(|(done, value)| self.reply(done, value)) {
            Ok(Reply::Error(text)) => Err(ServerError::Refused(text)),
            Ok(reply) => Ok(reply),
            // Lua itself: it has no memory, or the model is wrong.
            Err(error) => Err(ServerError::NotModelled(error.to_string())),
        }
    }

    /// Of what the script returned, or failed with.
    fn reply(&self, done: bool, value: mlua::Value) -> mlua::Result<Reply> {
        let problem = match value {
            mlua::Value::Table(problem) if !done => problem,
            value => return Reply::from_lua(value),
        };
        let text: Option<mlua::LuaString> = problem.get("err")?;
        let mut told = text.map(|text| in_one_line(&text.as_bytes())).unwrap_or_default();
        let (source, line): (Option<String>, Option<u32>) = (problem.get("source")?, problem.get("line")?);
        if let (Some(source), Some(line)) = (source, line) {
            told = format!("{told} script: {}, on {source}:{line}.", self.digest);
        }
        Ok(Reply::Error(told))
    }
}

impl Inner {
    fn call(&self, script: &Function, keys: &[&[u8]], args: &[&[u8]]) -> mlua::Result<(bool, mlua::Value)> {
        self.globals.raw_set("KEYS", self.list(keys)?)?;
        self.globals.raw_set("ARGV", self.list(args)?)?;
        self.run.call(script)
    }

    fn list(&self, texts: &[&[u8]]) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(texts.len(), 0)?;
        for (at, text) in texts.iter().enumerate() {
            table.raw_set(at + 1, self.lua.create_string(text)?)?;
        }
        Ok(table)
    }
}

/// Runs a command of a script.
fn command(lua: &Lua, words: MultiValue, running: &mut Option<Running>) -> mlua::Result<Result<Reply, ServerError>> {
    let Some(Running { server, wrote, not_modelled }) = running else {
        return Err(mlua::Error::runtime("no script runs"));
    };
    let outcome = written(lua, words)?.and_then(|words| {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        commands::run_for_script(server, &words, wrote)
    });
    if let Err(ServerError::NotModelled(what)) = &outcome {
        *not_modelled = Some(what.clone());
    }
    Ok(outcome)
}

/// The words of a command, as a server makes them of what a script gave it.
fn written(lua: &Lua, words: MultiValue) -> mlua::Result<Result<Vec<Vec<u8>>, ServerError>> {
    if words.is_empty() {
        return Ok(refused("ERR Please specify at least one argument for this redis lib call"));
    }
    let mut texts = Vec::with_capacity(words.len());
    for word in words {
        texts.push(match word {
            mlua::Value::String(text) => text.as_bytes().to_vec(),
            mlua::Value::Integer(number) => written_number(lua, number, word)?,
            mlua::Value::Number(_) => formatted(lua, word)?,
            _ => return Ok(refused("ERR Lua redis lib command arguments must be strings or integers")),
        });
    }
    Ok(Ok(texts))
}

fn refused<T>(text: &str) -> Result<T, ServerError> {
    Err(ServerError::Refused(text.to_owned()))
}

/// A whole number. Of up to 17 digits it is written as it is. (But that -0 has lost its sign on the way here.)
fn written_number(lua: &Lua, number: mlua::Integer, word: mlua::Value) -> mlua::Result<Vec<u8>> {
    const MANY_DIGITS: u64 = 100_000_000_000_000_000;
    if number.unsigned_abs() < MANY_DIGITS { Ok(number.to_string().into_bytes()) } else { formatted(lua, word) }
}

/// By the C library, as a server does it.
fn formatted(lua: &Lua, number: mlua::Value) -> mlua::Result<Vec<u8>> {
    let format: Function = lua.globals().get::<Table>("string")?.get("format")?;
    let text: mlua::LuaString = format.call(("%.17g", number))?;
    Ok(text.as_bytes().to_vec())
}

/// Makes a table of any error that a script did not catch, and adds the place in the script where it was raised.
fn complete(lua: &Lua, problem: mlua::Value) -> mlua::Result<Table> {
    let table = match problem {
        mlua::Value::Table(table) => table,
        problem => {
            let code: &[u8] = if matches!(problem, mlua::Value::Error(_)) { b"" } else { b"ERR " };
            let table = lua.create_table()?;
            table.raw_set("err", lua.create_string([code, told(&problem).as_slice()].concat())?)?;
            table
        }
    };
    let mut level = 0;
    while let Some(line) = lua.inspect_stack(level, |frame| {
        let here = frame.source().source.as_deref() == Some(CHUNK);
        here.then(|| frame.current_line()).flatten()
    }) {
        if let Some(line) = line {
            table.raw_set("source", CHUNK)?;
            table.raw_set("line", line)?;
            break;
        }
        level += 1;
    }
    Ok(table)
}

/// The text of an error: of a command, or of Lua's own.
fn told(problem: &mlua::Value) -> Vec<u8> {
    match problem {
        mlua::Value::String(text) => text.as_bytes().to_vec(),
        mlua::Value::Error(error) => match error.downcast_ref::<ServerError>() {
            Some(refused) => refused.to_string().into_bytes(),
            None => error.to_string().into_bytes(),
        },
        other => other.to_string().unwrap_or_default().into_bytes(),
    }
}

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpreter").finish_non_exhaustive()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("digest", &self.digest).finish_non_exhaustive()
    }
}
