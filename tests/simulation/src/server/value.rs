//! [`Reply`]: what commands and scripts answer, and what Lua makes of it.

use std::fmt;

use mlua::Lua;

/// A reply of the server.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing: the null of a text or of a list.
    Nil,
    /// A number.
    Integer(i64),
    /// A text of any bytes.
    Text(Vec<u8>),
    /// A status, such as `OK`.
    Status(Vec<u8>),
    /// An error within a list: its text, which begins with its code.
    Error(String),
    /// A list.
    List(Vec<Reply>),
}

impl Reply {
    pub(super) const OK: &'static [u8] = b"OK";

    pub(super) fn ok() -> Self {
        Self::Status(Self::OK.to_owned())
    }

    pub(super) fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// As `redis.call` returns it.
    pub(super) fn into_lua(self, lua: &Lua) -> mlua::Result<mlua::Value> {
        Ok(match self {
            Self::Nil => mlua::Value::Boolean(false),
            Self::Integer(number) => mlua::Value::Number(to_double(number)),
            Self::Text(text) => mlua::Value::String(lua.create_string(text)?),
            Self::Status(status) => table_with(lua, "ok", &status)?,
            Self::Error(text) => table_with(lua, "err", text.as_bytes())?,
            Self::List(replies) => {
                let table = lua.create_table_with_capacity(replies.len(), 0)?;
                for (at, reply) in replies.into_iter().enumerate() {
                    table.raw_set(at + 1, reply.into_lua(lua)?)?;
                }
                mlua::Value::Table(table)
            }
        })
    }

    /// Of what a script returned.
    pub(super) fn from_lua(value: mlua::Value) -> mlua::Result<Self> {
        Ok(match value {
            mlua::Value::String(text) => Self::Text(text.as_bytes().to_vec()),
            mlua::Value::Boolean(true) => Self::Integer(1),
            mlua::Value::Integer(number) => Self::Integer(number),
            mlua::Value::Number(number) => Self::Integer(truncated(number)),
            mlua::Value::Table(table) => {
                if let mlua::Value::String(text) = table.raw_get("err")? {
                    return Ok(Self::Error(in_one_line(&text.as_bytes())));
                }
                if let mlua::Value::String(status) = table.raw_get("ok")? {
                    return Ok(Self::Status(in_one_line(&status.as_bytes()).into_bytes()));
                }
                let mut replies = Vec::new();
                loop {
                    match table.raw_get(replies.len() + 1)? {
                        mlua::Value::Nil => break Self::List(replies),
                        reply => replies.push(Self::from_lua(reply)?),
                    }
                }
            }
            _ => Self::Nil,
        })
    }
}

/// Lua's numbers are of this kind, and a reply that has more digits loses them.
#[expect(clippy::cast_precision_loss, reason = "Lua has no other numbers")]
fn to_double(number: i64) -> f64 {
    number as f64
}

/// As a server's processor does it: towards zero, and the smallest number for what fits in none.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit was asked for before")]
fn truncated(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// No end of a line may be within a status or an error.
pub(super) fn in_one_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(['\r', '\n'], " ")
}

fn table_with(lua: &Lua, field: &str, text: &[u8]) -> mlua::Result<mlua::Value> {
    let table = lua.create_table()?;
    table.raw_set(field, lua.create_string(text)?)?;
    Ok(mlua::Value::Table(table))
}

/// Texts as texts, since a failure prints them.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Self::Status(status) => write!(f, "+{}", status.escape_ascii()),
            Self::Error(text) => write!(f, "-{text}"),
            Self::List(replies) => f.debug_list().entries(replies).finish(),
        }
    }
}
