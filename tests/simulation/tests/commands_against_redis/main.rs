//! Every command of the model, with odd arguments too, beside the same of a real server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod both;
mod lua;
#[path = "../support/mod.rs"]
mod support;

use simulation::server::{ClientId, Reply, Role};

use both::Both;
use support::Client;

const KEYS: [&str; 5] = ["text", "list", "sorted", "hash", "none"];

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
        both.put_one_of_each();
        both.command(&["UNLINK", key, "text", key]);
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

#[test]
fn sorted_sets_on_every_type() {
    let mut both = Both::start();
    let forms: [&[&str]; 14] = [
        &["ZADD", "key", "7", "new"],
        &["ZADD", "key", "7", "a", "0", "new", "8", "new"],
        &["ZADD", "key", "1", "a", "x", "new"],
        &["ZADD", "key", "1", "a", "2"],
        &["ZREM", "key", "a"],
        &["ZREM", "key", "a", "nowhere", "b", "a"],
        &["ZREM", "key", "a", "b", "c", "d", "e"],
        &["ZSCORE", "key", "e"],
        &["ZSCORE", "key", "nowhere"],
        &["ZCOUNT", "key", "-inf", "+inf"],
        &["ZCOUNT", "key", "(1", "1795886248086864"],
        &["ZRANGE", "key", "0", "-1", "withscores"],
        &["ZRANGE", "key", "-1", "-1"],
        &["ZRANGE", "key", "1", "(1795886248086864", "BYSCORE", "LIMIT", "1", "2"],
    ];
    for form in forms {
        for key in KEYS {
            both.put_one_of_each();
            let words: Vec<_> = form.iter().map(|word| if *word == "key" { key } else { word }).collect();
            both.in_script(&words);
        }
    }
    for words in [
        &["ZADD"][..],
        &["ZADD", "sorted", "1"],
        &["ZREM", "sorted"],
        &["ZSCORE", "sorted"],
        &["ZSCORE", "sorted", "a", "b"],
        &["ZCOUNT", "sorted", "1"],
        &["ZRANGE", "sorted", "1"],
        &["UNLINK"],
    ] {
        both.in_script(words);
    }
}

/// Scores, ranks and ranges that are odd.
#[test]
fn numbers_in_every_place_of_a_sorted_set() {
    let mut both = Both::start();
    // A server also reads numbers to the base of 16, which the model does not.
    for number in
        NUMBERS.into_iter().filter(|number| *number != "0x1").chain(["inf", "-inf", "nan", "(1", "(-2", "(", "1e17"])
    {
        for key in ["sorted", "text", "none"] {
            for words in [
                &["ZADD", key, number, "new"][..],
                &["ZADD", key, number, "a"],
                &["ZCOUNT", key, number, "+inf"],
                &["ZCOUNT", key, "-inf", number],
                &["ZRANGE", key, number, "-1"],
                &["ZRANGE", key, "1", number, "WITHSCORES"],
                &["ZRANGE", key, number, "+inf", "BYSCORE", "LIMIT", "0", "3"],
                &["ZRANGE", key, "-inf", number, "BYSCORE", "LIMIT", "1", "1"],
            ] {
                // In a range a server reads nothing as zero, and skips spaces; the model refuses both.
                let is_range = words[0] == "ZCOUNT" || words.contains(&"BYSCORE");
                if is_range && ["", " 1", "("].contains(&number) {
                    continue;
                }
                both.put_one_of_each();
                both.in_script(words);
                both.in_script(&["ZSCORE", key, "new"]);
                both.in_script(&["ZSCORE", key, "a"]);
            }
        }
    }
}

/// As long as a queue gets that has been left to itself.
#[test]
fn a_long_list() {
    let mut both = Both::start();
    let entries: Vec<String> = (0..700).map(|number| (number % 300).to_string()).collect();
    let push: Vec<&str> = ["RPUSH", "list"].into_iter().chain(entries.iter().map(String::as_str)).collect();
    for words in [
        &["LRANGE", "list", "188", "699"][..],
        &["LPOS", "list", "299"],
        &["LINDEX", "list", "-1"],
        &["LSET", "list", "650", "new"],
        &["LREM", "list", "1", "250"],
        &["LREM", "list", "-1", "250"],
        &["LREM", "list", "0", "250"],
        &["LPOP", "list", "300"],
        &["LPOP", "list", "9999"],
    ] {
        both.start_anew();
        both.command(&push);
        both.command(words);
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
        "redis.call('ZREM', 'none', 'x')",
        "redis.call('UNLINK', 'none')",
        "redis.pcall('ZADD', 'sorted', 1, 'x')",
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
            "ZADD sorted 1 new",
            "ZREM sorted a",
            "DEL text",
            "UNLINK text",
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
        "ZADD sorted 1 x",
        "ZREM none x",
        "UNLINK none",
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
    let mut other = both.server.client();
    let (first, second) = (ClientId(1), ClientId(2));
    assert_eq!(both.command(&["PUBLISH", "inbox", "none"]), Reply::Integer(0));
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
