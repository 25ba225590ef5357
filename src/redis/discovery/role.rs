//! `ROLE`: whether a server is a primary.

use ::redis::aio::ConnectionLike;
use ::redis::{RedisError, RedisResult, Value};

use super::no_primary;
use crate::redis::connection_string::Server;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) enum Role {
    Primary,
    /// With the address of its primary.
    Replica(String),
    /// A sentinel, or something else without locks.
    Other(String),
    /// The user may not ask. A replica still refuses the first write.
    NotPermitted,
}

/// Asks a server for its role, as the first command on a connection.
pub(in crate::redis) async fn ask(connection: &mut impl ConnectionLike) -> RedisResult<Role> {
    match connection.req_packed_command(&::redis::cmd("ROLE")).await.and_then(Value::extract_error) {
        Ok(reply) => Ok(read(&reply)),
        Err(error) if error.code() == Some("NOPERM") => Ok(Role::NotPermitted),
        Err(error) => Err(error),
    }
}

fn read(reply: &Value) -> Role {
    let parts = match reply {
        Value::Array(parts) => parts.as_slice(),
        _ => &[],
    };
    let part = |at: usize| match parts.get(at) {
        Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(Value::SimpleString(text)) => text.clone(),
        Some(Value::Int(number)) => number.to_string(),
        _ => String::new(),
    };
    match part(0).as_str() {
        "master" => Role::Primary,
        "slave" | "replica" => Role::Replica(format!("{}:{}", part(1), part(2))),
        other => Role::Other(other.to_owned()),
    }
}

impl Role {
    /// The error of a server that should be a primary, if it is none.
    pub(in crate::redis) fn error(&self, server: &Server) -> Option<RedisError> {
        match self {
            Self::Primary | Self::NotPermitted => None,
            Self::Replica(primary) => Some(no_primary(format!("{server} is a replica of {primary}"))),
            Self::Other(role) => Some(no_primary(format!("{server} is no primary; its role is {role:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_and_what_is_none_is_no_primary() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let primary = Value::Array(vec![text("master"), Value::Int(7), Value::Array(Vec::new())]);
        assert_eq!(read(&primary), Role::Primary);
        let replica =
            Value::Array(vec![text("slave"), text("10.0.0.1"), Value::Int(6379), text("connected"), Value::Int(7)]);
        assert_eq!(read(&replica), Role::Replica("10.0.0.1:6379".to_owned()));
        let sentinel = Value::Array(vec![text("sentinel"), Value::Array(vec![text("mymaster")])]);
        assert_eq!(read(&sentinel), Role::Other("sentinel".to_owned()));
        for other in [Value::Nil, Value::Okay, Value::Array(Vec::new()), Value::Array(vec![Value::Nil])] {
            assert_eq!(read(&other), Role::Other(String::new()));
        }
        let server = Server::Tcp { host: "h".to_owned(), port: 1, tls: false };
        assert!(Role::Primary.error(&server).is_none() && Role::NotPermitted.error(&server).is_none());
        let error = Role::Replica("10.0.0.1:6379".to_owned()).error(&server).map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.contains("h:1 is a replica of 10.0.0.1:6379")));
    }
}
