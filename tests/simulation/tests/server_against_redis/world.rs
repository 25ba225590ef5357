//! A model and a real server that take the same steps.

use std::collections::{BTreeMap, BTreeSet};

use simulation::scripts::Scripts;
use simulation::server::{ClientId, OtherType, Reply, Role, Script, Server, ServerError, Value};

use super::compare;
use super::seen;
use super::step::{
    Call, FENCE, INBOXES, Known, LOCKS, Step, holders_key, inbox, is_of_another_mode, lock_key, queue_key, token,
};
use super::support::Client;
use super::times::times;

/// Milliseconds. A call ends within this after it began, or it is not compared.
const SOON: i64 = 40;
/// By how many milliseconds the ends of leases may differ between the two.
const APART: i64 = 5;

/// All inboxes are one client's.
const SUBSCRIBER: ClientId = ClientId(0);

pub(crate) struct World {
    client: Client,
    scripts: Scripts,
    model: Server,
    /// The deadlines that acquires were answered, by lock and token.
    answered: BTreeMap<(usize, usize), i64>,
    seen: BTreeSet<String>,
    calls: u64,
}

/// How a case ended.
pub(crate) enum Ended {
    Alike,
    /// The machine was so slow that a lease may have ended before a call on one side, and after it on the other.
    Unsure,
    Apart(String),
}

/// What one step is on both sides.
struct Asked<'a> {
    words: Words,
    /// The script, its keys and its arguments. `None` is a plain command.
    script: Option<(&'a Script, Words, Words)>,
}

type Words = Vec<Vec<u8>>;

impl World {
    pub(crate) fn new(mut client: Client) -> Self {
        let scripts = Scripts::compile().unwrap();
        for script in scripts.all() {
            let digest = client.ask(&[b"SCRIPT", b"LOAD", script.text().as_bytes()]);
            assert_eq!(digest, Reply::Text(script.digest().into()), "the server knows it by the same name");
        }
        let model = Server::new(client.time());
        Self { client, scripts, model, answered: BTreeMap::new(), seen: BTreeSet::new(), calls: 0 }
    }

    /// How many calls of scripts were compared.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// What kinds of replies and messages there were.
    pub(crate) fn seen(&self) -> &BTreeSet<String> {
        &self.seen
    }

    /// Takes the steps, from a server without keys on.
    pub(crate) fn run(&mut self, steps: &[Step]) -> Ended {
        self.start_anew();
        for step in steps {
            match self.take(step) {
                Ended::Alike => {}
                ended => return ended,
            }
        }
        Ended::Alike
    }

    fn start_anew(&mut self) {
        self.set_memory_full(false);
        self.set_replica(false);
        self.client.ask(&[b"FLUSHALL"]);
        for client in 0..INBOXES {
            self.client.unsubscribe(inbox(client).as_bytes());
        }
        self.client.take_messages();
        self.model = Server::new(self.client.time());
        self.answered.clear();
    }

    fn set_memory_full(&mut self, full: bool) {
        self.client.ask(&[b"CONFIG", b"SET", b"maxmemory", if full { b"1" } else { b"0" }]);
        self.model.set_memory_full(full);
    }

    fn set_replica(&mut self, replica: bool) {
        // Nothing answers there: it stays a replica that has lost its master.
        let (host, port): (&[u8], &[u8]) = if replica { (b"127.0.0.1", b"1") } else { (b"NO", b"ONE") };
        self.client.ask(&[b"REPLICAOF", host, port]);
        self.model.set_role(if replica { Role::Replica } else { Role::Master });
    }

    fn take(&mut self, step: &Step) -> Ended {
        match step {
            Step::Subscribe(client) => {
                self.client.subscribe(inbox(*client).as_bytes());
                self.model.subscribe(SUBSCRIBER, inbox(*client).as_bytes());
                return Ended::Alike;
            }
            Step::Unsubscribe(client) => {
                self.client.unsubscribe(inbox(*client).as_bytes());
                self.model.unsubscribe(SUBSCRIBER, inbox(*client).as_bytes());
                return Ended::Alike;
            }
            Step::MemoryFull(full) => {
                self.set_memory_full(*full);
                return Ended::Alike;
            }
            Step::Replica(replica) => {
                self.set_replica(*replica);
                return Ended::Alike;
            }
            Step::PutHash(key) => {
                self.client.ask(&[b"DEL", key.as_bytes()]);
                // Refused where the model would refuse it too, had it such a command.
                if !matches!(self.client.ask(&[b"HSET", key.as_bytes(), b"field", b"value"]), Reply::Error(_)) {
                    self.model.put(key.as_bytes(), Value::Other(OtherType::Hash));
                } else if let Err(error) = self.model.command(&[b"DEL", key.as_bytes()]) {
                    assert_eq!(error.code(), Some("READONLY"));
                }
                return Ended::Alike;
            }
            Step::Command(_) | Step::Enqueue { .. } | Step::Hold { .. } | Step::Call { .. } => {}
        }
        let before = self.wait_until_no_lease_is_about_to_end();
        let scripts = self.scripts.clone();
        let asked = self.asked(step, &scripts, before);
        self.ask_both(&asked, step, before)
    }

    /// Returns the time then.
    fn wait_until_no_lease_is_about_to_end(&mut self) -> u64 {
        loop {
            let now = self.client.time();
            self.model.set_time(now);
            let ends = self.model.entries().filter_map(|(_, entry)| entry.expires_at);
            let Some(last) = ends.filter(|end| *end <= milliseconds(now) + SOON).max() else { return now };
            // Only the server's clock says that it is over.
            while milliseconds(self.client.time()) <= last + APART {}
        }
    }

    fn asked<'a>(&self, step: &Step, scripts: &'a Scripts, now: u64) -> Asked<'a> {
        let bytes = |words: Vec<String>| words.into_iter().map(String::into_bytes).collect();
        let (call, locks, publishes) = match step {
            Step::Call { call, locks, publishes } => (call, locks, *publishes),
            Step::Enqueue { lock, token: of, deadline, rest, count } => {
                let entry = format!("{}:{rest}:{}", milliseconds(now) + deadline, token(*of));
                let mut words = vec!["RPUSH".to_owned(), queue_key(*lock)];
                words.extend(std::iter::repeat_n(entry, *count));
                return Asked { words: bytes(words), script: None };
            }
            Step::Hold { lock, ends, count } => {
                let mut words = vec!["ZADD".to_owned(), holders_key(*lock)];
                for holder in 0..*count {
                    words.extend([(milliseconds(now) + ends).to_string(), format!("another {holder}")]);
                }
                return Asked { words: bytes(words), script: None };
            }
            Step::Command(words) => return Asked { words: bytes(words.clone()), script: None },
            other => panic!("{other:?} asks nothing"),
        };
        let mut keys: Vec<String> = locks.iter().flat_map(|(lock, _)| [lock_key(*lock), queue_key(*lock)]).collect();
        if let [(lock, _)] = locks.as_slice() {
            keys.push(holders_key(*lock));
        }
        let modes = locks.iter().any(|(_, of)| is_of_another_mode(*of));
        if modes || !matches!(call, Call::Renew { .. }) {
            keys.push(FENCE.to_owned());
        }
        let mut args = vec![if publishes { "p:inbox:".to_owned() } else { String::new() }];
        args.extend(locks.iter().map(|(_, of)| token(*of)));
        let framed = match call {
            Call::Acquire { lease, mode, known } => {
                args.extend([(*lease).to_owned(), mode.clone()]);
                let deadline = self.deadline(*known, locks[0], now);
                if modes {
                    args.extend([deadline.unwrap_or_default(), "modes".to_owned()]);
                } else {
                    args.extend(deadline);
                }
                &scripts.acquire
            }
            Call::Release { keep } => {
                args.extend(keep.map(str::to_owned));
                &scripts.release
            }
            Call::Renew { lease, exactly } => {
                args.push((*lease).to_owned());
                args.extend(exactly.then(|| "e".to_owned()));
                &scripts.renew
            }
            Call::Cancel { known, keep } => {
                let known = known.and_then(|(known, rest)| Some((self.deadline(known, locks[0], now)?, rest)));
                let entry = known.map(|(deadline, rest)| format!("{deadline}:{rest}"));
                args.extend(entry.or_else(|| keep.map(|_| String::new())));
                args.extend(keep.map(str::to_owned));
                &scripts.cancel
            }
        };
        let script = framed.for_locks(locks.len());
        let (keys, args): (Vec<_>, Vec<_>) = (bytes(keys), bytes(args));
        let head = [b"EVALSHA".to_vec(), script.digest().into(), keys.len().to_string().into()];
        let words = head.into_iter().chain(keys.iter().cloned()).chain(args.iter().cloned()).collect();
        Asked { words, script: Some((script, keys, args)) }
    }

    fn deadline(&self, known: Known, of: (usize, usize), now: u64) -> Option<String> {
        match known {
            Known::Nothing => None,
            Known::AsAnswered => self.answered.get(&of).map(ToString::to_string),
            Known::FromNow(length) => Some((milliseconds(now) + length).to_string()),
            Known::Odd(text) => Some(text.to_owned()),
        }
    }

    fn ask_both(&mut self, asked: &Asked<'_>, step: &Step, before: u64) -> Ended {
        let words: Vec<&[u8]> = asked.words.iter().map(Vec::as_slice).collect();
        let reply = self.client.ask(&words);
        let after = self.client.time();
        let dump = self.client.ask(&[b"EVAL", compare::DUMP.as_bytes(), b"0"]);
        let at = milliseconds(self.client.time());
        let messages = self.client.take_messages();
        let took = milliseconds(after) - milliseconds(before);
        self.note(step, &reply, &messages);

        let mut apart = None;
        // All but an acquire may look at the clock for each lock, and the clock of Redis 7.0 goes on in a script.
        let looks = match step {
            Step::Call { call: Call::Release { .. } | Call::Renew { .. } | Call::Cancel { .. }, locks, .. } => {
                locks.len()
            }
            _ => 1,
        };
        for times in times(before, after, looks, &reply, &dump, &messages) {
            let mut model = self.model.clone();
            model.set_time(times[0]);
            model.set_times_in_script(&times);
            let of_model = match ask_model(&mut model, asked) {
                Ok(reply) => reply,
                Err(ServerError::Refused(text)) => Reply::Error(text),
                Err(error) => return Ended::Apart(error.to_string()),
            };
            let heard = model.take_published().into_iter().filter(|message| !message.receivers.is_empty());
            let heard: Vec<_> = heard.map(|message| (message.channel, message.payload)).collect();
            let outcome = if !compare::replies(&of_model, &reply, took) {
                Err(format!("the model answers {of_model:?}, the server {reply:?}"))
            } else if heard != messages {
                Err(format!("the model tells {}, the server {}", shown(&heard), shown(&messages)))
            } else {
                compare::keys(&model, &dump, at, took)
            };
            match outcome {
                Ok(()) => {
                    compare::align(&mut model, &dump);
                    self.model = model;
                    return Ended::Alike;
                }
                Err(problem) => _ = apart.get_or_insert(problem),
            }
        }
        let in_time = at - milliseconds(before) < SOON - APART;
        let apart = apart.unwrap_or_default();
        let told = format!("{apart}; answered {reply:?} between {before} and {after}, looked at in {at}");
        if in_time { Ended::Apart(told) } else { Ended::Unsure }
    }

    /// Remembers what is asked with again, and that it was seen.
    fn note(&mut self, step: &Step, reply: &Reply, messages: &[(Vec<u8>, Vec<u8>)]) {
        self.seen.extend(seen::messages(messages));
        let Step::Call { call, locks, .. } = step else { return };
        self.calls += 1;
        self.seen.extend(seen::replies(call, locks.len(), reply));
        for (of, reply) in locks.iter().zip(seen::of_each(reply, locks.len())) {
            if let Reply::List(parts) = reply
                && let [Reply::Integer(0 | 3), _, _, Reply::Integer(deadline)] = parts.as_slice()
            {
                self.answered.insert(*of, *deadline);
            }
        }
    }
}

fn milliseconds(time: u64) -> i64 {
    i64::try_from(time / 1000).unwrap()
}

fn shown(messages: &[(Vec<u8>, Vec<u8>)]) -> String {
    let one =
        |(channel, payload): &(Vec<u8>, Vec<u8>)| format!("{} {}", channel.escape_ascii(), payload.escape_ascii());
    format!("{:?}", messages.iter().map(one).collect::<Vec<_>>())
}

fn ask_model(model: &mut Server, asked: &Asked<'_>) -> Result<Reply, ServerError> {
    fn slices(texts: &[Vec<u8>]) -> Vec<&[u8]> {
        texts.iter().map(Vec::as_slice).collect()
    }
    match &asked.script {
        Some((script, keys, args)) => model.eval(script, &slices(keys), &slices(args)),
        None => model.command(&slices(&asked.words)),
    }
}

const _: () = assert!(LOCKS == 3, "the keys have these many names");
