//! What the model does that no real server can be made to do at will: its clock, its end, its lost writes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use simulation::scripts::Scripts;
use simulation::server::{ClientId, Interpreter, Reply, Role, Script, Server, ServerError, Value};

const NOW: u64 = 1_700_000_000_000_000;
const SECOND: u64 = 1_000_000;

fn script(text: &str) -> Script {
    Interpreter::new().unwrap().compile(text).unwrap()
}

fn set(server: &mut Server, words: &str) -> Result<Reply, ServerError> {
    let words: Vec<&[u8]> = ["SET"].into_iter().chain(words.split(' ')).map(str::as_bytes).collect();
    server.command(&words)
}

fn get(server: &mut Server, key: &str) -> Reply {
    server.command(&[b"GET", key.as_bytes()]).unwrap()
}

fn text(text: &str) -> Reply {
    Reply::Text(text.into())
}

/// The millisecond that a lease ends in still belongs to it.
#[test]
fn a_key_ends_after_its_last_millisecond() {
    let mut server = Server::new(NOW);
    set(&mut server, "key value PX 1000").unwrap();
    server.set_time(NOW + SECOND + 999);
    assert_eq!(get(&mut server, "key"), text("value"));
    assert_eq!(server.command(&[b"PTTL", b"key"]), Ok(Reply::Integer(0)));
    server.set_time(NOW + SECOND + 1000);
    assert_eq!(get(&mut server, "key"), Reply::Nil);
}

/// A clock that goes back gives a key more time, unless the server has noticed before that it had ended.
#[test]
fn a_clock_that_goes_back() {
    let mut server = Server::new(NOW);
    for key in ["looked-at", "removed", "left"] {
        set(&mut server, &format!("{key} value PX 1000")).unwrap();
    }
    server.set_time(NOW + 2 * SECOND);
    assert_eq!(server.entries().count(), 0);
    assert_eq!(get(&mut server, "looked-at"), Reply::Nil);
    server.set_time(NOW - SECOND);
    assert_eq!(get(&mut server, "looked-at"), Reply::Nil);
    assert_eq!(server.command(&[b"PTTL", b"left"]), Ok(Reply::Integer(2000)));
    server.set_time(NOW + 2 * SECOND);
    server.expire();
    server.set_time(NOW);
    assert_eq!(server.entries().count(), 0);
}

#[test]
fn a_replica_leaves_it_to_its_master_to_remove_what_ended() {
    let mut server = Server::new(NOW);
    set(&mut server, "key value PX 1000").unwrap();
    server.set_role(Role::Replica);
    server.set_time(NOW + 2 * SECOND);
    assert_eq!(get(&mut server, "key"), Reply::Nil);
    server.expire();
    server.set_time(NOW);
    assert_eq!(get(&mut server, "key"), text("value"));
}

/// In a script the clock stands still, unless it is told to go on as that of Redis 7.0 does.
#[test]
fn the_clock_in_a_script() {
    let script = script("return { redis.call('TIME')[2], redis.call('TIME')[2], redis.call('TIME')[2] }");
    let mut server = Server::new(NOW);
    let told = |server: &mut Server| server.eval(&script, &[], &[]).unwrap();
    assert_eq!(told(&mut server), Reply::List(vec![text("0"), text("0"), text("0")]));
    server.set_times_in_script(&[NOW + 1, NOW + 2]);
    assert_eq!(told(&mut server), Reply::List(vec![text("1"), text("2"), text("2")]));
    assert_eq!(told(&mut server), Reply::List(vec![text("0"), text("0"), text("0")]), "for one script");
}

/// A process that takes the place of another knows no script and has no subscribers.
#[test]
fn a_server_that_was_replaced() {
    type Replacement = fn(&mut Server);
    let script = script("return redis.call('PUBLISH', 'inbox', 'message')");
    let client = ClientId(1);
    let call = |server: &mut Server| server.eval_by_digest(&script, &[], &[]);
    let replacements: [(Replacement, bool); 3] = [
        (Server::restart_with_data, true),
        (Server::restart_without_data, false),
        (|server| server.restore(server.snapshot()), true),
    ];
    for (replace, keeps) in replacements {
        let mut server = Server::new(NOW);
        let code = call(&mut server).unwrap_err().code().map(str::to_owned);
        assert_eq!(code.as_deref(), Some("NOSCRIPT"));
        server.load_script(&script);
        server.subscribe(client, b"inbox");
        assert_eq!(call(&mut server), Ok(Reply::Integer(1)));
        assert_eq!(server.take_published()[0].receivers, [client]);
        set(&mut server, "key value").unwrap();

        replace(&mut server);
        assert_eq!(get(&mut server, "key"), if keeps { text("value") } else { Reply::Nil });
        assert!(call(&mut server).is_err());
        server.load_script(&script);
        assert_eq!(call(&mut server), Ok(Reply::Integer(0)));
        assert_eq!(server.time(), NOW);
    }
}

/// What was written after the snapshot is lost, what was deleted is there again.
#[test]
fn a_failover_that_lost_the_last_writes() {
    let mut server = Server::new(NOW);
    set(&mut server, "deleted value PX 5000").unwrap();
    let snapshot = server.snapshot();
    server.command(&[b"DEL", b"deleted"]).unwrap();
    set(&mut server, "written value").unwrap();
    server.set_time(NOW + SECOND);
    server.restore(snapshot);
    assert_eq!(get(&mut server, "written"), Reply::Nil);
    assert_eq!(server.command(&[b"PTTL", b"deleted"]), Ok(Reply::Integer(4000)));
}

/// Nothing is taken back of what a script did before it failed.
#[test]
fn a_script_that_fails_has_done_what_it_did() {
    let script = script("redis.call('SET', 'key', 'value')\nredis.call('LLEN', 'key')\nredis.call('DEL', 'key')");
    let mut server = Server::new(NOW);
    assert_eq!(server.eval(&script, &[], &[]).unwrap_err().code(), Some("WRONGTYPE"));
    assert_eq!(get(&mut server, "key"), text("value"));
}

/// The model never makes up what a server would do, whatever the script makes of it.
#[test]
fn what_is_not_modelled_is_told() {
    let mut server = Server::new(NOW);
    for text in [
        "return redis.call('HSET', 'key', 'field', 'value')",
        "return pcall(redis.call, 'HSET', 'key', 'field', 'value')",
        "redis.pcall('SET', 'key', 'value', 'EX', '10') return 1",
        "redis.pcall('PEXPIRE', 'key', '10', 'NX') return 1",
        "redis.pcall('LPOS', 'key', 'entry', 'RANK', '2') return 1",
    ] {
        let outcome = server.eval(&script(text), &[], &[]);
        assert!(matches!(outcome, Err(ServerError::NotModelled(_))), "{text}: {outcome:?}");
    }
    assert_eq!(server.entries().count(), 0);
    assert_eq!(server.eval(&script("return 1"), &[], &[]), Ok(Reply::Integer(1)), "the next is not concerned");
}

/// Servers share an interpreter and nothing else; a copy is one of its own.
#[test]
fn servers_have_nothing_in_common() {
    let script = script("redis.call('RPUSH', KEYS[1], ARGV[1])\nreturn redis.call('LRANGE', KEYS[1], 0, -1)");
    let mut one = Server::new(NOW);
    let mut another = Server::new(NOW);
    let push = |server: &mut Server, entry: &[u8]| server.eval(&script, &[b"list"], &[entry]).unwrap();
    push(&mut one, b"a");
    assert_eq!(push(&mut another, b"b"), Reply::List(vec![text("b")]));
    let mut copy = one.clone();
    push(&mut copy, b"c");
    assert_eq!(push(&mut one, b"d"), Reply::List(vec![text("a"), text("d")]));
    let Some(Value::List(of_copy)) = copy.entry(b"list").map(|entry| &entry.value) else { panic!("a list") };
    assert_eq!(of_copy.len(), 2);
}

/// The same calls at the same times come to the same, in another interpreter too.
#[test]
fn runs_are_repeated_exactly() {
    let run = || {
        let scripts = Scripts::compile().unwrap();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut server = Server::new(NOW);
        server.subscribe(ClientId(1), b"p:inbox:0000000000000001");
        let mut replies = Vec::new();
        for _ in 0..2000 {
            let random = rng.u32(..5);
            let token = match rng.u32(..3) {
                0 => format!("{:016x}.{random:032x}", 1),
                1 => format!("{:016x}.s00000{random:026x}", 1),
                _ => format!("{:016x}.p00002{random:026x}", 1),
            };
            server.set_time(server.time() + rng.u64(..SECOND));
            let (script, rest): (_, &[&[u8]]) = match rng.u32(..4) {
                0 | 1 => (&scripts.acquire, &[b"30000", b"m5000", b"", b"modes"]),
                2 => (&scripts.release, &[]),
                _ => (&scripts.cancel, &[]),
            };
            let args = [&[b"p:inbox:", token.as_bytes()], rest].concat();
            replies.push(server.eval(script.for_locks(1), &[b"p:a", b"{p:a}:q", b"{p:a}{h}:q", b"p:{}:f"], &args));
        }
        let keys: Vec<_> = server.entries().map(|(key, entry)| (key.to_owned(), entry.clone())).collect();
        (replies, server.take_published(), keys)
    };
    assert_eq!(run(), run());
}

/// A server that is moving the slot stops a script which looks for a key that it has removed. Whatever the script does after
/// that, the lock is free.
#[test]
fn the_last_of_several_holders_frees_the_lock_while_its_slot_moves() {
    let scripts = Scripts::compile().unwrap();
    let keys: [&[u8]; 4] = [b"lock", b"{lock}:q", b"{lock}{h}:q", b"{}:f"];
    for mode in ["s00000", "p00002"] {
        let token = format!("{:016x}.{mode}{:026x}", 1, 1).into_bytes();
        let mut server = Server::new(NOW);
        let acquire: [&[u8]; 6] = [b"p:inbox:", &token, b"30000", b"n", b"", b"modes"];
        server.eval(scripts.acquire.for_locks(1), &keys, &acquire).unwrap();
        let waiter = format!("{:016x}.{:032x}", 2, 1).into_bytes();
        let wait: [&[u8]; 4] = [b"p:inbox:", &waiter, b"30000", b"p"];
        server.eval(scripts.acquire.for_locks(1), &keys, &wait).unwrap();
        server.set_moving(keys.iter().map(|key| key.to_vec()).collect());
        _ = server.eval(scripts.release.for_locks(1), &keys, &[b"p:inbox:", &token]);
        assert!(server.entry(keys[0]).is_none(), "{mode}");
    }
}

/// An acquire that was sent again, and ran late as well, leaves two entries in the queue.
#[test]
fn a_token_with_two_entries_is_granted_one_permit() {
    let scripts = Scripts::compile().unwrap();
    let keys: [&[u8]; 4] = [b"lock", b"{lock}:q", b"{lock}{h}:q", b"{}:f"];
    let owner = format!("{:016x}.{:032x}", 1, 1).into_bytes();
    let token = format!("{:016x}.p00002{:026x}", 2, 1).into_bytes();
    let mut server = Server::new(NOW);
    server.subscribe(ClientId(2), b"p:inbox:0000000000000002");
    let acquire = |server: &mut Server, token: &[u8]| {
        let args: [&[u8]; 6] = [b"p:inbox:", token, b"30000", b"m5000", b"", b"modes"];
        server.eval(scripts.acquire.for_locks(1), &keys, &args).unwrap()
    };
    for token in [&owner, &token, &token] {
        acquire(&mut server, token);
    }
    server.eval(scripts.release.for_locks(1), &keys, &[b"p:inbox:", &owner]).unwrap();
    let told: Vec<_> = server.take_published().into_iter().map(|message| message.payload).collect();
    let granted = told.iter().filter(|text| text.starts_with(b"granted:")).collect::<Vec<_>>();
    assert_eq!(granted.len(), 1, "{told:?}");
    let permit = server.command(&[b"ZSCORE", keys[2], &[b"#", token.as_slice()].concat()]);
    assert_eq!(permit, Ok(text("0")));
    assert!(server.entry(keys[1]).is_none(), "the second entry is gone");
}
