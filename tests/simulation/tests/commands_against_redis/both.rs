//! [`Both`]: a model and a real server that are asked the same.

use simulation::server::{Interpreter, OtherType, Reply, Script, Server, ServerError, Value};

use super::support::{Client, RedisServer};

/// A model and a real server that are asked the same.
pub(crate) struct Both {
    pub(crate) model: Server,
    interpreter: Interpreter,
    pub(crate) client: Client,
    pub(crate) server: RedisServer,
}

impl Both {
    pub(crate) fn start() -> Self {
        let server = RedisServer::start();
        let mut client = server.client();
        let model = Server::new(client.time());
        Self { model, interpreter: Interpreter::new().unwrap(), client, server }
    }

    fn compile(&self, text: &str) -> Script {
        self.interpreter.compile(text).unwrap()
    }

    /// Asserts that both answer a script alike, and returns what.
    pub(crate) fn eval(&mut self, text: &str, keys: &[&[u8]], args: &[&[u8]]) -> Reply {
        let script = self.compile(text);
        let count = keys.len().to_string();
        let real = self.client.ask(&[&[b"EVAL", text.as_bytes(), count.as_bytes()], keys, args].concat());
        self.model.set_time(self.client.time());
        let of_model = as_reply(self.model.eval(&script, keys, args));
        assert_eq!(of_model, real, "{text} {:?} {:?}", shown(keys), shown(args));
        real
    }

    /// Asserts that both answer a command alike, from a client and from a script.
    pub(crate) fn command(&mut self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let real = self.client.ask(&words);
        self.model.set_time(self.client.time());
        let of_model = as_reply(self.model.command(&words));
        assert_eq!(of_model, real, "{:?}", shown(&words));
        self.eval("return redis.call(unpack(ARGV))", &[], &words);
        self.eval("return redis.pcall(unpack(ARGV))", &[], &words);
        self.assert_same_keys(&shown(&words));
        real
    }

    /// Asserts that both answer a command from a script alike.
    pub(crate) fn in_script(&mut self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let reply = self.eval("return redis.pcall(unpack(ARGV))", &[], &words);
        self.assert_same_keys(&shown(&words));
        reply
    }

    /// Nothing that was done changed the two differently.
    pub(crate) fn assert_same_keys(&mut self, after: &[String]) {
        let Reply::List(mut names) = self.client.ask(&[b"KEYS", b"*"]) else { panic!("KEYS answers with a list") };
        names.sort_by_key(|name| format!("{name:?}"));
        let of_model: Vec<_> = self.model.entries().map(|(key, _)| Reply::Text(key.to_owned())).collect();
        assert_eq!(of_model, names, "after {after:?}");
        for (key, entry) in self.model.entries() {
            let list = |client: &mut Client| client.ask(&[b"LRANGE", key, b"0", b"-1"]);
            let (of_model, real) = match &entry.value {
                Value::Text(text) => (Reply::Text(text.clone()), self.client.ask(&[b"GET", key])),
                Value::List(texts) => {
                    (Reply::List(texts.iter().cloned().map(Reply::Text).collect()), list(&mut self.client))
                }
                Value::SortedSet(set) => {
                    let flat = set.iter().flat_map(|(score, member)| [member.clone(), score.to_string().into_bytes()]);
                    let all: &[u8] = b"return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')";
                    (Reply::List(flat.map(Reply::Text).collect()), self.client.ask(&[b"EVAL", all, b"1", key]))
                }
                Value::Other(_) => (Reply::Status(entry.value.type_name().into()), self.client.ask(&[b"TYPE", key])),
            };
            assert_eq!(of_model, real, "{} after {after:?}", key.escape_ascii());
        }
    }

    /// A key of a type that the model has no commands for.
    fn put_hash(&mut self, key: &str) {
        self.client.ask(&[b"HSET", key.as_bytes(), b"field", b"value"]);
        self.model.put(key.as_bytes(), Value::Other(OtherType::Hash));
    }

    pub(crate) fn start_anew(&mut self) {
        self.client.ask(&[b"FLUSHALL"]);
        self.model.restart_without_data();
    }

    /// A string, a list of numbers and texts, a sorted set, a hash; `none` is not there.
    pub(crate) fn put_one_of_each(&mut self) {
        self.start_anew();
        self.command(&["SET", "text", "value"]);
        self.put_hash("hash");
        self.command(&["ZADD", "sorted", "1", "b", "1", "a", "3", "c", "-2", "d", "1795886248086864", "e"]);
        for entry in ["a", "b", "1", "a", "01", "c", "a"] {
            self.client.ask(&[b"RPUSH", b"list", entry.as_bytes()]);
            self.model.command(&[b"RPUSH", b"list", entry.as_bytes()]).unwrap();
        }
    }
}

fn as_reply(outcome: Result<Reply, ServerError>) -> Reply {
    match outcome {
        Ok(reply) => reply,
        Err(ServerError::Refused(text)) => Reply::Error(text),
        Err(error) => panic!("{error}"),
    }
}

fn shown(words: &[&[u8]]) -> Vec<String> {
    words.iter().map(|word| word.escape_ascii().to_string()).collect()
}
