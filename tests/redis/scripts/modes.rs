//! All modes against a plain model, as the random walk of exclusive locks.

use std::collections::{BTreeSet, VecDeque};

use super::table::{Answer, Table, exclusive, gone, permit, shared};
use super::{INBOXES, KEYS, PRESENT, Random};
use crate::support::{self, FEWEST_COMMANDS, FEWEST_KEYS, MODE_COMMANDS, RedisServer};

const STEPS: usize = 4_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Exclusive,
    Shared,
    Permits(usize),
}

fn mode(token: &str) -> Mode {
    match token.as_bytes()[17] {
        b's' => Mode::Shared,
        b'p' => Mode::Permits(usize::from_str_radix(&token[18..23], 16).unwrap()),
        _ => Mode::Exclusive,
    }
}

fn is_alive(token: &str) -> bool {
    !token.starts_with("00000000000000cc")
}

/// What the lock should be.
#[derive(Default)]
struct Model {
    holders: Vec<String>,
    queue: VecDeque<String>,
}

impl Model {
    fn holds(&self, me: &str) -> bool {
        self.holders.iter().any(|holder| holder == me)
    }

    fn has_room(&self, me: &str) -> bool {
        let Some(holder) = self.holders.first() else { return true };
        match (mode(me), mode(holder)) {
            (Mode::Shared, Mode::Shared) => true,
            (Mode::Permits(permits), Mode::Permits(_)) => self.holders.len() < permits,
            _ => false,
        }
    }

    /// `looks`: a dead waiter is found out, though there is no room for it.
    fn serve(&mut self, me: &str, mut looks: bool) {
        while let Some(first) = self.queue.front() {
            let (alive, room) = (first == me || is_alive(first), self.has_room(first));
            if !room && (alive || !looks) {
                return;
            }
            let first = self.queue.pop_front().unwrap();
            if alive {
                self.holders.push(first);
                if self.holders.iter().any(|holder| mode(holder) == Mode::Exclusive) {
                    return;
                }
            } else {
                looks = true;
            }
        }
    }

    fn acquire(&mut self, me: &str, joins: bool) -> bool {
        if self.holds(me) {
            return true;
        }
        let stand = |queue: &mut VecDeque<String>| {
            if joins && !queue.iter().any(|other| other == me) {
                queue.push_back(me.to_owned());
            }
        };
        if self.holders.first().is_none_or(|holder| mode(holder) != Mode::Exclusive) {
            let room = self.has_room(me);
            if !room || !self.queue.is_empty() {
                stand(&mut self.queue);
                self.serve(me, room);
            }
            if !self.holds(me) && self.queue.is_empty() && self.has_room(me) {
                self.holders.push(me.to_owned());
            }
        }
        if !self.holds(me) {
            stand(&mut self.queue);
        }
        self.holds(me)
    }

    fn release(&mut self, me: &str) -> bool {
        let held = self.holds(me);
        self.holders.retain(|holder| holder != me);
        if held {
            self.serve("", false);
        }
        held
    }

    fn cancel(&mut self, me: &str) -> bool {
        let found = self.holds(me) || self.queue.iter().any(|other| other == me);
        self.queue.retain(|other| other != me);
        self.holders.retain(|holder| holder != me);
        if found {
            self.serve("", false);
        }
        found
    }

    fn renew(&mut self, me: &str) -> bool {
        if self.holds(me) && mode(me) != Mode::Exclusive {
            self.serve("", false);
        }
        self.holds(me)
    }
}

/// S1, S2 and S3 over all modes: who holds the lock together, who waits in which order, permits that nobody else has, numbers
/// that rise and that readers share. One process of two listens, the other is gone.
#[test]
fn the_scripts_do_what_a_plain_model_does_in_every_mode() {
    for seed in 1..=3 {
        walk(seed, false);
    }
}

#[test]
fn the_scripts_do_the_same_in_every_mode_for_a_lock_among_others() {
    for seed in 4..=5 {
        walk(seed, true);
    }
}

fn walk(seed: u64, several: bool) {
    let mut table = Table::of(&PRESENT, several);
    let _inbox = table.listen();
    let live = (0..3).flat_map(|number| [exclusive(number), shared(number), permit(3, number), permit(2, number)]);
    let live: Vec<String> = live.collect();
    let tokens: Vec<String> = live.iter().cloned().chain(live.iter().step_by(3).map(|token| gone(token))).collect();
    let mut random = Random(seed);
    let mut model = Model::default();
    let (mut highest, mut phase) = (0, None);
    for step in 0..STEPS {
        let mut me = tokens[random.below(tokens.len())].clone();
        let at = format!("seed {seed}, step {step}, {me}");
        match random.below(8) {
            0..=3 => {
                let joins = random.below(4) > 0;
                let answer = table.acquire(&me, "60000", if joins { "m60000" } else { "n" });
                let granted = model.acquire(&me, joins);
                match answer {
                    Answer::Granted { number, permit, .. } => {
                        assert!(granted, "{answer:?}, {at}");
                        let of_phase = phase.filter(|_| mode(&me) == Mode::Shared);
                        assert!(of_phase.map_or(number > highest, |phase| number == phase), "{answer:?}, {at}");
                        assert_eq!(permit.is_some(), matches!(mode(&me), Mode::Permits(_)), "{at}");
                    }
                    Answer::Queued(_) => assert!(!granted && joins, "{at}"),
                    Answer::Busy(_) => assert!(!granted && !joins, "{at}"),
                    Answer::Unfinished => panic!("{at}"),
                }
            }
            4 | 5 => {
                // Most releases are a holder's.
                if !model.holders.is_empty() && random.below(4) > 0 {
                    me = model.holders[random.below(model.holders.len())].clone();
                }
                assert_eq!(table.release(&me), model.release(&me), "release of {me}, {at}");
            }
            6 => assert_eq!(table.cancel(&me, &[]) > 0, model.cancel(&me), "cancel, {at}"),
            _ => assert_eq!(table.renew(&me, &["60000"]).is_some(), model.renew(&me), "renew, {at}"),
        }
        let value = table.value();
        let number: i64 = table.ask::<Option<i64>>(&["GET", super::FENCE]).unwrap().unwrap_or(0);
        assert!(number >= highest, "{at}");
        highest = number;
        assert_eq!(table.queue(), Vec::from(model.queue.clone()), "{at}");
        phase =
            value.as_deref().and_then(|value| value.strip_prefix("shared:")).map(|phase| phase.parse::<i64>().unwrap());
        let of_model: BTreeSet<&str> = model.holders.iter().map(String::as_str).collect();
        let Some(first) = model.holders.first() else {
            assert_eq!((value, table.holders()), (None, Vec::new()), "{at}");
            continue;
        };
        if mode(first) == Mode::Exclusive {
            assert_eq!(value.as_ref(), Some(first), "{at}");
            continue;
        }
        let holders = table.holders();
        assert_eq!(holders.iter().map(|(token, _)| token.as_str()).collect::<BTreeSet<_>>(), of_model, "{at}");
        if mode(first) == Mode::Shared {
            assert!(phase.is_some() && holders.iter().all(|(_, permit)| permit.is_none()), "{value:?}, {at}");
            continue;
        }
        assert_eq!(value.as_deref(), Some("permits"), "{at}");
        let permits: BTreeSet<i64> = holders.iter().map(|(_, permit)| permit.unwrap()).collect();
        assert_eq!(permits.len(), holders.len(), "each has its own, {at}");
        for (token, permit) in &holders {
            let Mode::Permits(of) = mode(token) else { panic!("{token} among permits, {at}") };
            assert!(
                permit.is_some_and(|permit| (0..of).contains(&usize::try_from(permit).unwrap())),
                "{holders:?}, {at}"
            );
        }
    }
}

/// What docs/redis.md lists for these modes is enough, and no part of it can be left out.
#[test]
fn a_user_needs_few_more_commands() {
    let without = |command: &&str| (FEWEST_COMMANDS.replace(*command, ""), false);
    let all = (FEWEST_COMMANDS.to_owned(), true);
    for (commands, is_enough) in [all].into_iter().chain(MODE_COMMANDS.iter().map(without)) {
        let rules = format!("locks on >secret resetchannels -@all {commands} {FEWEST_KEYS} {}", support::INBOXES);
        let server = RedisServer::builder().user_acl(&rules).start();
        let scripts = super::Scripts::new(&server);
        let mut connection = server.client().get_connection().unwrap();
        redis::cmd("AUTH").arg(&["locks", "secret"]).exec(&mut connection).unwrap();
        let mut run = |script: &redis::Script, token: &str, rest: &[&str]| {
            script
                .prepare_invoke()
                .key(&KEYS[..])
                .arg(INBOXES)
                .arg(token)
                .arg(rest)
                .invoke::<redis::Value>(&mut connection)
        };
        let acquire = ["60000", "m60000", "", "modes"];
        let everything = [
            run(&scripts.acquire, &permit(2, 1), &acquire),
            run(&scripts.acquire, &permit(2, 1), &acquire),
            run(&scripts.acquire, &permit(2, 2), &acquire),
            run(&scripts.acquire, &shared(1), &acquire),
            run(&scripts.renew, &permit(2, 1), &["60000", "e"]),
            run(&scripts.cancel, &permit(2, 1), &[]),
            run(&scripts.release, &permit(2, 2), &[]),
            run(&scripts.cancel, &shared(1), &[]),
        ];
        let refused = everything.iter().find_map(|answer| answer.as_ref().err());
        assert_eq!(refused.is_none(), is_enough, "{commands}: {refused:?}");
    }
}
