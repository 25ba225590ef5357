//! How many calls of scripts one core runs in a second.
#![allow(clippy::unwrap_used, missing_docs)]

use divan::Bencher;
use divan::counter::ItemsCount;
use simulation::scripts::{Framed, Scripts};
use simulation::server::{ClientId, Reply, Server};

const LOCK: &[u8] = b"p:a";
const QUEUE: &[u8] = b"{p:a}:q";
const HOLDERS: &[u8] = b"{p:a}{h}:q";
const FENCE: &[u8] = b"p:{}:f";
const INBOXES: &[u8] = b"p:inbox:";
const NOW: u64 = 1_700_000_000_000_000;

fn main() {
    divan::main();
}

fn token(number: usize) -> Vec<u8> {
    format!("{number:016x}.{number:032x}").into_bytes()
}

fn server() -> Server {
    let mut server = Server::new(NOW);
    for client in 0..8 {
        let inbox = format!("p:inbox:{client:016x}");
        server.subscribe(ClientId(client), inbox.as_bytes());
    }
    server
}

fn call(server: &mut Server, script: &Framed, token: &[u8], rest: &[&[u8]]) -> Reply {
    let args = [&[INBOXES, token], rest].concat();
    server.set_time(server.time() + 50);
    server.eval(script.for_locks(1), &[LOCK, QUEUE, HOLDERS, FENCE], &args).unwrap()
}

/// An acquire of a free lock, and its release.
#[divan::bench]
fn free_lock(bencher: Bencher<'_, '_>) {
    let scripts = Scripts::compile().unwrap();
    let mut server = server();
    let me = token(1);
    bencher.counter(ItemsCount::new(2_u32)).bench_local(|| {
        call(&mut server, &scripts.acquire, &me, &[b"30000", b"m5000"]);
        call(&mut server, &scripts.release, &me, &[])
    });
}

/// An acquire that joins the queue of a taken lock, and the release that hands the lock on.
#[divan::bench]
fn hand_over(bencher: Bencher<'_, '_>) {
    let scripts = Scripts::compile().unwrap();
    let mut server = server();
    let tokens = [1, 2, 3, 4].map(token);
    for token in &tokens {
        call(&mut server, &scripts.acquire, token, &[b"30000", b"m5000"]);
    }
    let mut turns = tokens.iter().cycle();
    bencher.counter(ItemsCount::new(2_u32)).bench_local(|| {
        let holder = turns.next().unwrap();
        call(&mut server, &scripts.release, holder, &[]);
        call(&mut server, &scripts.acquire, holder, &[b"30000", b"m5000"]);
        server.take_published()
    });
}

/// A renewal.
#[divan::bench]
fn renewal(bencher: Bencher<'_, '_>) {
    let scripts = Scripts::compile().unwrap();
    let mut server = server();
    let me = token(1);
    call(&mut server, &scripts.acquire, &me, &[b"30000", b"m5000"]);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        server.set_time(server.time() + 10_000);
        call(&mut server, &scripts.renew, &me, &[b"30000"])
    });
}

/// What a seed costs before it begins, with the interpreter there.
#[divan::bench]
fn copy_of_a_server(bencher: Bencher<'_, '_>) {
    let scripts = Scripts::compile().unwrap();
    let mut server = server();
    for number in 1..5 {
        call(&mut server, &scripts.acquire, &token(number), &[b"30000", b"m5000"]);
    }
    bencher.bench_local(|| server.clone());
}
