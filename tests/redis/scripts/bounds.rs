//! S6: the work of one call, however many hold the lock or wait for it.

use super::table::{Answer, Table, exclusive, permit, shared};
use super::{HOLDERS, KEYS};

/// Puts so many holders there, whose leases end so many milliseconds from now. Permits are those below `of`.
fn hold(table: &mut Table, count: usize, ends: i64, of: Option<u32>) {
    let text = "local ends = redis.call('TIME')[1] * 1000 + ARGV[2]
        for index = 0, ARGV[1] - 1 do
          local token = string.format('%s%026x', ARGV[3], index)
          redis.call('ZADD', KEYS[1], ends, token)
          if ARGV[4] == '1' then redis.call('ZADD', KEYS[1], index, '#' .. token) end
        end";
    let begin = of.map_or("00000000000000aa.s00000".to_owned(), |of| format!("00000000000000aa.p{of:05x}"));
    let (count, ends, permits) = (count.to_string(), ends.to_string(), if of.is_some() { "1" } else { "0" });
    let _: redis::Value = table.ask(&["EVAL", text, "1", HOLDERS, &count, &ends, &begin, permits]).unwrap();
}

fn set(table: &mut Table, value: &str) {
    let _: String = table.ask(&["SET", KEYS[0], value, "PX", "60000"]).unwrap();
}

/// How many holders there are, live or not.
fn count(table: &mut Table) -> usize {
    table.ask(&["ZCARD", HOLDERS]).unwrap()
}

/// Readers that died while another one lives on. Each call that lets one in removes some of them, and none removes all.
#[test]
fn dead_readers_are_removed_some_at_a_time() {
    const DEAD: usize = 10_000;
    let mut table = Table::new();
    set(&mut table, "shared:7");
    hold(&mut table, DEAD, -60_000, None);
    hold(&mut table, 1, 60_000, None);
    let mut before = count(&mut table);
    let mut calls = 0;
    while before > 100 {
        assert_eq!(table.attempt(&shared(1_000_000 + calls)).number(), 7);
        let now = count(&mut table);
        assert!(now < before && before - now <= 600, "{before} and then {now}");
        before = now;
        calls += 1;
    }
    assert!(calls >= DEAD / 600);
}

/// The same of permits. None is given before all are removed, since the lowest that is free is not known before.
#[test]
fn dead_permits_are_removed_some_at_a_time() {
    const DEAD: usize = 20_000;
    let mut table = Table::new();
    set(&mut table, "permits");
    hold(&mut table, DEAD, -60_000, Some(1_000_000));
    let _: i64 = table.ask(&["ZADD", HOLDERS, "20000", "#another", "9999999999999", "another"]).unwrap();
    let mut calls = 0;
    let answer = loop {
        let before = count(&mut table);
        match table.attempt(&permit(1_000_000, 7)) {
            Answer::Unfinished => {}
            answer => break answer,
        }
        let now = count(&mut table);
        assert!(now < before && before - now <= 1_200, "{before} and then {now}");
        calls += 1;
    };
    assert_eq!(answer.permit(), 0);
    assert!(calls >= DEAD / 600, "{calls}");
    // One that waits is told to ask again at once.
    hold(&mut table, DEAD, -60_000, Some(1_000_000));
    assert_eq!(table.join(&permit(1_000_000, 8)), Answer::Queued(0));
}

/// A hundred thousand permits: a call looks at few of them.
#[test]
fn a_free_permit_is_found_among_many() {
    const MANY: u32 = 100_000;
    let mut table = Table::new();
    set(&mut table, "permits");
    hold(&mut table, MANY as usize, 600_000, Some(MANY));
    let token = |number: usize| permit(MANY, number);
    assert!(matches!(table.attempt(&token(1_000_000)), Answer::Busy(_)));
    for free in [99_999, 0, 31_415, 65_536] {
        assert!(table.release(&token(free)));
        let _: redis::Value = table.ask(&["CONFIG", "RESETSTAT"]).unwrap();
        assert_eq!(table.attempt(&token(free)).permit(), i64::try_from(free).unwrap());
        let statistics: String = table.ask(&["INFO", "commandstats"]).unwrap();
        let calls = |name: &str| {
            let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
            line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
        };
        let all: i64 = ["zrange", "zscore", "zcount", "zadd", "zrem"].into_iter().map(calls).sum();
        assert!(all < 30, "{all}: {statistics}");
    }
}

/// One script grants the lock to 64 at most. Their first commands go on.
#[test]
fn many_readers_are_let_in_64_at_a_time() {
    let mut table = Table::new();
    let mut inbox = table.listen();
    table.join(&exclusive(1)).number();
    for number in 0..200 {
        assert!(matches!(table.join(&shared(number)), Answer::Queued(_)));
    }
    assert!(table.release(&exclusive(1)));
    let mut granted = inbox.granted(&mut table);
    assert_eq!(granted.len(), 64);
    let mut confirmed = 0;
    while confirmed < granted.len() {
        let token = granted[confirmed].0.clone();
        let before = table.queue().len();
        table.renew(&token, &["60000", "e"]).unwrap();
        let more = inbox.granted(&mut table);
        assert!(more.len() <= 64 && more.len() == before.min(64), "{} of {before}", more.len());
        granted.extend(more);
        confirmed += 1;
    }
    assert_eq!((granted.len(), table.queue().len()), (200, 0));
    assert!(granted.iter().all(|(_, number, _)| *number == granted[0].1));
}
