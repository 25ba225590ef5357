//! Every command of the model, with odd arguments too, beside the same of a real server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use simulation::server::{ClientId, Interpreter, OtherType, Reply, Role, Script, Server, ServerError, Value};
use support::{Client, RedisServer};

/// A model and a real server that are asked the same.
struct Both {
    model: Server,
    interpreter: Interpreter,
    client: Client,
    _server: RedisServer,
}

impl Both {
    fn start() -> Self {
        let server = RedisServer::start();
        let mut client = server.client();
        let model = Server::new(client.time());
        Self { model, interpreter: Interpreter::new().unwrap(), client, _server: server }
    }

    fn compile(&self, text: &str) -> Script {
        self.interpreter.compile(text).unwrap()
    }

    /// Asserts that both answer a script alike, and returns what.
    fn eval(&mut self, text: &str, keys: &[&[u8]], args: &[&[u8]]) -> Reply {
        let script = self.compile(text);
        let count = keys.len().to_string();
        let real = self.client.ask(&[&[b"EVAL", text.as_bytes(), count.as_bytes()], keys, args].concat());
        self.model.set_time(self.client.time());
        let of_model = as_reply(self.model.eval(&script, keys, args));
        assert_eq!(of_model, real, "{text} {:?} {:?}", shown(keys), shown(args));
        real
    }

    /// Asserts that both answer a command alike, from a client and from a script.
    fn command(&mut self, words: &[&str]) -> Reply {
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

    /// Nothing that was done changed the two differently.
    fn assert_same_keys(&mut self, after: &[String]) {
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

    fn start_anew(&mut self) {
        self.client.ask(&[b"FLUSHALL"]);
        self.model.restart_without_data();
    }

    /// A string, a list of numbers and texts, a hash; `none` is not there.
    fn put_one_of_each(&mut self) {
        self.start_anew();
        self.command(&["SET", "text", "value"]);
        self.put_hash("hash");
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

const KEYS: [&str; 4] = ["text", "list", "hash", "none"];

/// What a number might be written as.
const NUMBERS: [&str; 26] = [
    "0",
    "1",
    "2",
    "3",
    "6",
    "7",
    "8",
    "-1",
    "-2",
    "-7",
    "-8",
    "-0",
    "+1",
    "01",
    " 1",
    "1 ",
    "",
    "1.0",
    "1e3",
    "x",
    "0x1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "1e+17",
];

#[test]
fn commands_on_every_type() {
    let mut both = Both::start();
    let forms: [&[&str]; 16] = [
        &["GET", "key"],
        &["EXISTS", "key"],
        &["EXISTS", "key", "text", "key"],
        &["TYPE", "key"],
        &["LLEN", "key"],
        &["LINDEX", "key", "1"],
        &["LRANGE", "key", "0", "-1"],
        &["LPOS", "key", "a"],
        &["LPOS", "key", "nowhere"],
        &["LSET", "key", "1", "z"],
        &["LPOP", "key"],
        &["RPUSH", "key", "d", "e"],
        &["LPUSH", "key", "d", "e"],
        &["SET", "key", "new", "GET"],
        &["SET", "key", "new", "NX"],
        &["SET", "key", "new"],
    ];
    for form in forms {
        for key in KEYS {
            both.put_one_of_each();
            let words: Vec<_> = form.iter().map(|word| if *word == "key" { key } else { word }).collect();
            both.command(&words);
        }
    }
    for key in KEYS {
        both.put_one_of_each();
        both.command(&["DEL", key, "text", key]);
    }
}

#[test]
fn numbers_in_every_place() {
    let mut both = Both::start();
    for number in NUMBERS {
        for key in KEYS {
            for words in [
                &["LINDEX", key, number][..],
                &["LRANGE", key, number, "-2"],
                &["LRANGE", key, "1", number],
                &["LRANGE", key, "-3", number],
                &["LRANGE", key, number, "2"],
                &["LREM", key, number, "a"],
                &["LREM", key, number, "1"],
                &["LSET", key, number, "z"],
                &["LPOP", key, number],
            ] {
                both.put_one_of_each();
                both.command(words);
            }
        }
    }
}

/// Lengths that are no number, no time to come, or too long. The others are compared by what is left of them.
#[test]
fn lengths_of_leases() {
    let mut both = Both::start();
    for length in NUMBERS.into_iter().chain(["100000", "9223372036854"]) {
        for key in KEYS {
            // The least of them are over before they can be compared.
            if ["1", "2", "3", "6", "7", "8"].contains(&length) {
                continue;
            }
            both.put_one_of_each();
            both.command(&["PEXPIRE", key, length]);
            both.put_one_of_each();
            both.command(&["SET", key, "new", "PX", length]);
            both.put_one_of_each();
            both.command(&["SET", key, "new", "GET", "PX", length]);
            both.put_one_of_each();
            both.command(&["SET", key, "new", "nx", "px", length]);
        }
    }
    both.put_one_of_each();
    let Reply::Integer(real) = both.client.ask(&[b"PTTL", b"text"]) else { panic!("a number") };
    assert_eq!((both.command(&["PTTL", "text"]), real), (Reply::Integer(-1), -1));
    assert_eq!(both.command(&["PTTL", "none"]), Reply::Integer(-2));
    for words in [&["PEXPIRE", "text", "100000"][..], &["SET", "text", "new", "PX", "100000"]] {
        both.command(words);
        let Reply::Integer(real) = both.client.ask(&[b"PTTL", b"text"]) else { panic!("a number") };
        let Ok(Reply::Integer(of_model)) = both.model.command(&[b"PTTL", b"text"]) else { panic!("a number") };
        assert!((of_model - real).abs() < 10_000 && real <= 100_000, "{of_model} {real}");
    }
    // A value that is set anew has no end, and one that is pushed to keeps it.
    both.command(&["SET", "text", "new"]);
    both.command(&["PTTL", "text"]);
}

#[test]
fn forms_that_are_refused() {
    let mut both = Both::start();
    both.put_one_of_each();
    for words in [
        &["GET"][..],
        &["GET", "a", "b"],
        &["get"],
        &["EXISTS"],
        &["DEL"],
        &["TIME", "now"],
        &["SET", "a"],
        &["SET", "a", "b", "c"],
        &["SET", "a", "b", "PX"],
        &["SET", "a", "b", "PX", "10", "PX", "10"],
        &["SET", "a", "b", "PX", "NX"],
        &["SET", "a", "b", "GET", "oops"],
        &["PEXPIRE", "a"],
        &["PTTL"],
        &["PTTL", "a", "b"],
        &["LINDEX", "a"],
        &["LLEN"],
        &["LRANGE", "a", "0"],
        &["LPOS", "a"],
        &["RPUSH", "a"],
        &["LPUSH", "a"],
        &["LSET", "a", "0"],
        &["LPOP"],
        &["LPOP", "list", "1", "2"],
        &["LREM", "list", "1"],
        &["PUBLISH", "a"],
        &["TYPE"],
    ] {
        both.command(words);
    }
}

/// How Lua's values become the words of a command, and the reply of a script.
#[test]
fn values_of_lua() {
    let mut both = Both::start();
    for value in [
        "0",
        "1",
        "-1",
        "3.99",
        "-3.99",
        "0.1",
        "1e15",
        "123456789012345",
        "9007199254740993",
        "1e16",
        "1e17",
        "-1e17",
        "123456789012345678",
        "1e18",
        "1e19",
        "-1e19",
        "1e300",
        "1/0",
        "-1/0",
        "0/0",
        "2^53",
        "2^63",
        "-2^63",
        "1e-5",
        "1e-10",
        "1/3",
        "100/3",
        "''",
        "'text'",
        "'a\\0b\\255'",
        "true",
        "false",
        "nil",
        "{}",
        "{1,2,3}",
        "{1,nil,3}",
        "{1,false,3}",
        "{1,{2,{3}}}",
        "{'a',1.5,true}",
        "{ok='fine'}",
        "{err='ERR bad'}",
        "{err='BAD'}",
        "{1,{err='ERR bad'},{ok='fine'}}",
        "{err=1}",
        "{ok=1}",
        "{err='ERR in\\ntwo lines'}",
        "{ok='in\\r\\ntwo'}",
        "{x=1}",
        "function() end",
    ] {
        both.eval(&format!("return {value}"), &[], &[]);
        for word in [format!("redis.call('SET', 'key', {value})"), format!("redis.pcall('SET', 'key', {value})")] {
            both.start_anew();
            both.eval(&format!("return {word}"), &[], &[]);
            both.eval("return redis.call('GET', 'key')", &[], &[]);
        }
    }
}

/// What commands answer, as Lua sees it.
#[test]
fn replies_in_lua() {
    let mut both = Both::start();
    both.put_one_of_each();
    for text in [
        "return redis.call('GET', 'none') == false",
        "return redis.call('LPOP', 'none', 3) == false",
        "return redis.call('LINDEX', 'list', 99) == false",
        "return redis.call('LPOS', 'list', 'z') == false",
        "return type(redis.call('LLEN', 'list'))",
        "return #redis.call('LRANGE', 'none', 0, -1)",
        "return redis.call('SET', 'new', 1).ok",
        "return redis.call('SET', 'new', 1, 'NX')",
        "return redis.call('SET', 'new', 2, 'GET')",
        "return redis.pcall('GET', 'list').err",
        "return {pcall(redis.call, 'GET', 'list')}",
        "return {pcall(error, 'plain')}",
        "return {pcall(error, {err = 'BAD table'})}",
        "return {pcall(error, {other = 1})}",
        "return {pcall(error)}",
        "return {pcall(function() error('with a place') end)}",
        "return {pcall(function() return nil + 1 end)}",
        "return {pcall(function() return 1, 2, nil, 4 end)}",
        "return {select('#', pcall(function() return 1, nil end))}",
        "return type(redis.call('TIME')[1]) .. #redis.call('TIME')",
        "return redis.call('get', 'text')",
        "return {KEYS[1], #KEYS, ARGV[1], #ARGV}",
        "return redis.call()",
        "return redis.pcall()",
        "return redis.pcall({})",
        "return redis.call('GET', nil)",
        "return redis.call('GET', {})",
        "return redis.call('GET', true)",
        "return redis.pcall('GET', true).err",
    ] {
        both.eval(text, &[], &[]);
        both.eval(text, &[b"key"], &[b"one", b"two"]);
    }
    both.assert_same_keys(&[]);
}

/// Errors that a script does not catch, with their place in it.
#[test]
fn errors_of_scripts() {
    let mut both = Both::start();
    both.put_one_of_each();
    for text in [
        "\n\nredis.call('GET', 'list')",
        "local function f()\n return redis.call('GET', 'list')\nend\nlocal x = f()\nreturn x",
        "local call = redis.call\nreturn call('GET', 'list')",
        "error('plain')",
        "\nerror('without a place', 0)",
        "error({err = 'BAD table'})",
        "error({err = 'BAD'})",
        "error(12)",
        "return nil + 1",
        "return {} < 1",
        "return nothing",
        "something = 1",
        "local t = nil\nreturn t.x",
        "return string.format('%d', 'x')",
        "return string.rep()",
        "local done, problem = pcall(redis.call, 'GET', 'list')\nerror(problem)",
        "local problem = redis.pcall('GET', 'list')\nerror(problem)",
        "for _, x in ipairs({1}) do\n pcall(redis.call, 'GET', 'list')\n redis.call('LLEN', 'text')\nend",
        "redis.call('SET', 'before', 1)\nredis.call('GET', 'list')\nredis.call('SET', 'after', 1)",
    ] {
        both.eval(text, &[], &[]);
        both.assert_same_keys(&[text.to_owned()]);
    }
}

/// The first write that takes memory is refused, and none after another write.
#[test]
fn memory_that_is_full() {
    let mut both = Both::start();
    both.put_one_of_each();
    both.client.ask(&[b"CONFIG", b"SET", b"maxmemory", b"1"]);
    both.model.set_memory_full(true);
    for first in [
        "redis.call('GET', 'text')",
        "redis.call('PUBLISH', 'inbox', 'message')",
        "redis.pcall('SET', 'text', 'refused')",
        "redis.call('DEL', 'none')",
        "redis.call('PEXPIRE', 'none', '1000')",
        "redis.call('LPOP', 'none')",
        "redis.call('LREM', 'none', 1, 'x')",
        "redis.pcall('LREM', 'text', 1, 'x')",
        "redis.pcall('LREM', 'text')",
    ] {
        for then in [
            "SET new value",
            "SET text value NX",
            "SET text value GET",
            "RPUSH list d",
            "LPUSH list d",
            "LSET list 0 x",
            "LPOP list 1",
            "LREM list 1 a",
            "DEL text",
            "PEXPIRE text 100000",
            "LLEN list",
            "TYPE new",
        ] {
            both.client.ask(&[b"CONFIG", b"SET", b"maxmemory", b"0"]);
            both.model.set_memory_full(false);
            both.put_one_of_each();
            both.client.ask(&[b"CONFIG", b"SET", b"maxmemory", b"1"]);
            both.model.set_memory_full(true);
            let words: Vec<&[u8]> = then.split(' ').map(str::as_bytes).collect();
            both.eval(&format!("{first}\nreturn redis.call(unpack(ARGV))"), &[], &words);
            both.eval(&format!("{first}\nreturn redis.pcall(unpack(ARGV))"), &[], &words);
            both.command(&then.split(' ').collect::<Vec<_>>());
        }
    }
}

/// A replica refuses every write, and publishes.
#[test]
fn replica_that_is_read_only() {
    let mut both = Both::start();
    both.put_one_of_each();
    // Nothing answers there: it stays a replica that has lost its master.
    both.client.ask(&[b"REPLICAOF", b"127.0.0.1", b"1"]);
    both.model.set_role(Role::Replica);
    for words in [
        "GET text",
        "LRANGE list 0 -1",
        "SET text new",
        "SET new value",
        "SET text value NX",
        "DEL text",
        "DEL none",
        "PEXPIRE none 1",
        "RPUSH list d",
        "LPOP list",
        "LPOP none",
        "LREM list 1 a",
        "LSET list 0 x",
        "PUBLISH a b",
    ] {
        both.command(&words.split(' ').collect::<Vec<_>>());
    }
    both.client.ask(&[b"CONFIG", b"SET", b"maxmemory", b"1"]);
    both.model.set_memory_full(true);
    both.command(&["SET", "text", "new"]);
    both.command(&["DEL", "text"]);
    both.client.ask(&[b"REPLICAOF", b"NO", b"ONE"]);
    both.model.set_role(Role::Master);
    both.command(&["SET", "text", "new"]);
    both.command(&["DEL", "text"]);
}

/// A publication tells how many hear it, and each of them once.
#[test]
fn publications_are_counted() {
    let mut both = Both::start();
    let mut other = both._server.client();
    let (first, second) = (ClientId(1), ClientId(2));
    assert_eq!(both.command(&["PUBLISH", "inbox", "nobody"]), Reply::Integer(0));
    both.client.subscribe(b"inbox");
    both.client.subscribe(b"inbox");
    both.model.subscribe(first, b"inbox");
    both.model.subscribe(first, b"inbox");
    assert_eq!(both.command(&["PUBLISH", "inbox", "one"]), Reply::Integer(1));
    other.subscribe(b"inbox");
    both.model.subscribe(second, b"inbox");
    assert_eq!(both.command(&["PUBLISH", "inbox", "two"]), Reply::Integer(2));
    assert_eq!(both.command(&["PUBLISH", "Inbox", "another"]), Reply::Integer(0));
    other.unsubscribe(b"inbox");
    both.model.disconnect(second);
    assert_eq!(both.command(&["PUBLISH", "inbox", "three"]), Reply::Integer(1));
    both.client.unsubscribe(b"inbox");
    both.model.unsubscribe(first, b"inbox");
    assert_eq!(both.command(&["PUBLISH", "inbox", "four"]), Reply::Integer(0));

    let published = both.model.take_published();
    let heard_by = |client| published.iter().filter(move |message| message.receivers.contains(&client));
    let of = |client: &mut Client| client.take_messages().into_iter().map(|(_, payload)| payload).collect::<Vec<_>>();
    let of_model = |client| heard_by(client).map(|message| message.payload.clone()).collect::<Vec<_>>();
    assert_eq!(of_model(first), of(&mut both.client));
    assert_eq!(of_model(second), of(&mut other));
}
