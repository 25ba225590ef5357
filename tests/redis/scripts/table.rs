//! One lock on a real server, whose scripts are called with tokens of every mode.

use std::time::Duration;

use redis::{Connection, Value};

use super::{HOLDERS, INBOXES, KEYS, PRESENT, Scripts, Version};
use crate::support::RedisServer;

/// The inbox of a process that listens, and of one that is gone.
const LIVE: &str = "00000000000000aa";
const GONE: &str = "00000000000000cc";

pub(super) fn exclusive(number: usize) -> String {
    format!("{LIVE}.{number:032x}")
}

pub(super) fn shared(number: usize) -> String {
    format!("{LIVE}.s00000{number:026x}")
}

pub(super) fn permit(of: u32, number: usize) -> String {
    format!("{LIVE}.p{of:05x}{number:026x}")
}

/// The same token, of a process that does not listen any more.
pub(super) fn gone(token: &str) -> String {
    token.replacen(LIVE, GONE, 1)
}

/// What an acquire came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Granted {
        number: i64,
        others: i64,
        permit: Option<i64>,
    },
    /// In the queue: to ask again after so many milliseconds.
    Queued(i64),
    Busy(i64),
    Unfinished,
}

impl Answer {
    pub(super) fn number(self) -> i64 {
        let Self::Granted { number, .. } = self else { panic!("granted, not {self:?}") };
        number
    }

    pub(super) fn permit(self) -> i64 {
        let Self::Granted { permit: Some(permit), .. } = self else { panic!("a permit, not {self:?}") };
        permit
    }
}

pub(super) struct Table {
    pub(super) server: RedisServer,
    pub(super) connection: Connection,
    scripts: Scripts,
}

impl Table {
    pub(super) fn new() -> Self {
        Self::of(&PRESENT, false)
    }

    /// Calls of scripts for several locks of which this is one, if `several`.
    pub(super) fn of(version: &Version, several: bool) -> Self {
        let server = RedisServer::start();
        let scripts = Scripts::of(&server, version, several);
        let connection = server.client().get_connection().unwrap();
        Self { server, connection, scripts }
    }

    /// Another version's scripts for the same lock.
    pub(super) fn version(&self, version: &Version) -> Scripts {
        Scripts::of(&self.server, version, false)
    }

    /// Messages to the process that listens. Without this no process does.
    pub(super) fn listen(&self) -> Inbox {
        Inbox::new(&self.server)
    }

    pub(super) fn acquire(&mut self, token: &str, lease: &str, joining: &str) -> Answer {
        let script = self.scripts.acquire.clone();
        match self.scripts.run(&script, &[INBOXES, token, lease, joining, "0", "modes"])[..] {
            [1, number, _, others] => Answer::Granted { number, others, permit: None },
            [1, number, _, others, permit] => Answer::Granted { number, others, permit: Some(permit) },
            [0 | 3, left, _, _] => Answer::Queued(left),
            [2, left, _, 0] => Answer::Busy(left),
            [4, 0, _, 0] => Answer::Unfinished,
            ref other => panic!("no answer of the script: {other:?}"),
        }
    }

    /// For a minute, and with a place in the queue if others hold the lock.
    pub(super) fn join(&mut self, token: &str) -> Answer {
        self.acquire(token, "60000", "m60000")
    }

    /// For a minute, or not at all.
    pub(super) fn attempt(&mut self, token: &str) -> Answer {
        self.acquire(token, "60000", "n")
    }

    pub(super) fn release(&mut self, token: &str) -> bool {
        let script = self.scripts.release.clone();
        self.scripts.run(&script, &[INBOXES, token])[0] == 1
    }

    pub(super) fn release_keeping(&mut self, token: &str, rest: &str) -> bool {
        let script = self.scripts.release.clone();
        self.scripts.run(&script, &[INBOXES, token, rest])[0] == 1
    }

    pub(super) fn cancel(&mut self, token: &str, rest: &[&str]) -> i64 {
        let script = self.scripts.cancel.clone();
        self.scripts.run(&script, &[&[INBOXES, token], rest].concat())[0]
    }

    /// How many wait, if the token holds the lock.
    pub(super) fn renew(&mut self, token: &str, lease: &[&str]) -> Option<i64> {
        let script = self.scripts.renew.clone();
        self.scripts.run(&script, &[&[INBOXES, token], lease].concat())[0]
            .checked_sub(1)
            .filter(|waiting| *waiting >= 0)
    }

    pub(super) fn value(&mut self) -> Option<String> {
        self.scripts.owner()
    }

    pub(super) fn queue(&mut self) -> Vec<String> {
        self.scripts.queue()
    }

    /// Who is among the holders, and the numbers of their permits.
    pub(super) fn holders(&mut self) -> Vec<(String, Option<i64>)> {
        let all: Vec<(String, i64)> =
            redis::cmd("ZRANGE").arg(HOLDERS).arg(0).arg(-1).arg("WITHSCORES").query(&mut self.connection).unwrap();
        let number =
            |token: &str| all.iter().find(|(name, _)| name.strip_prefix('#') == Some(token)).map(|(_, number)| *number);
        let holder = |token: &String| (token.clone(), number(token));
        all.iter().map(|(name, _)| name).filter(|name| !name.starts_with('#')).map(holder).collect()
    }

    /// How long the lock lasts, in milliseconds; and its holders, of whom the last has the longest lease, last as long.
    pub(super) fn left(&mut self) -> i64 {
        let [lock, holders] =
            [KEYS[0], HOLDERS].map(|key| redis::cmd("PTTL").arg(key).query::<i64>(&mut self.connection).unwrap());
        assert!(holders == -2 || (lock - holders).abs() < 500, "{lock} and {holders}");
        lock
    }

    /// Waits until a lease of so many milliseconds is over.
    pub(super) fn wait_for(&mut self, lease: u64) {
        let now = |connection: &mut Connection| -> u64 {
            let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(connection).unwrap();
            seconds * 1_000_000 + micros
        };
        let until = now(&mut self.connection) + (lease + 2) * 1_000;
        while now(&mut self.connection) < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn ask<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> redis::RedisResult<T> {
        let [name, rest @ ..] = words else { panic!("a command") };
        redis::cmd(name).arg(rest).query(&mut self.connection)
    }
}

/// The inbox of the process that listens.
pub(super) struct Inbox(Connection);

const END: &str = "the end";

impl Inbox {
    fn new(server: &RedisServer) -> Self {
        let mut connection = server.client().get_connection().unwrap();
        let subscribe = redis::cmd("SUBSCRIBE").arg(format!("{INBOXES}{LIVE}")).get_packed_command();
        connection.send_packed_command(&subscribe).unwrap();
        connection.recv_response().unwrap();
        Self(connection)
    }

    /// What was published until now.
    pub(super) fn told(&mut self, table: &mut Table) -> Vec<String> {
        let _: Value = table.ask(&["PUBLISH", &format!("{INBOXES}{LIVE}"), END]).unwrap();
        let mut told = Vec::new();
        loop {
            let message: (String, String, String) = redis::from_redis_value(self.0.recv_response().unwrap()).unwrap();
            if message.2 == END {
                return told;
            }
            told.push(message.2);
        }
    }

    /// The tokens that were told of a grant, each with its number and that of its permit.
    pub(super) fn granted(&mut self, table: &mut Table) -> Vec<(String, i64, Option<i64>)> {
        let told = self.told(table);
        let grants = told.iter().filter_map(|message| {
            let parts: Vec<&str> = message.strip_prefix("granted:")?.splitn(5, ':').collect();
            let [number, _, _, token, key] = parts[..] else { panic!("{message}") };
            assert_eq!(key, KEYS[0], "{message}");
            let (number, permit) =
                number.split_once('/').map_or((number, None), |(number, permit)| (number, Some(permit)));
            Some((token.to_owned(), number.parse().unwrap(), permit.map(|permit| permit.parse().unwrap())))
        });
        grants.collect()
    }
}
