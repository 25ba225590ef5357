//! [`ServerSide`]: the server, and what it does with what comes to it.

use std::collections::BTreeMap;

use orchestrix_locking::simulation::{Action, Command};

use super::events::Event;
use super::world::World;
use super::{MILLISECOND, Time};
use crate::history::{Holder, Key, Property, Ran, Record, Waiting};
use crate::scripts::Scripts;
use crate::server::{ClientId, Reply, Score, Server, ServerError, Snapshot, Value};

/// When the server's clock begins, in microseconds since 1970.
const BEGINNING: u64 = 1_700_000_000_000_000;

/// The counter of grants.
pub(super) const FENCE: &[u8] = b"p:{}:f";

/// Scores of holders below this are numbers of permits.
const ENDS_FROM: i64 = 1 << 20;

/// For how long an entry of the wait queue counts as alive, in microseconds.
const LIFETIMES: [(u8, u64); 2] = [(b'm', 15_000_000), (b'p', 3_000_000)];

/// The server.
#[derive(Debug)]
pub(super) struct ServerSide {
    pub(super) server: Server,
    /// By how much its clock was set.
    pub(super) offset: i64,
    /// By how much it was set back in all.
    pub(super) set_back: Time,
    /// It does nothing until then.
    paused_until: Option<Time>,
    /// It is not there until then.
    down_until: Option<Time>,
    held: Vec<Event>,
    pub(super) takes_no_writes_until: Time,
    /// As a replica has it, by the number of the fault that makes that one the server; and how many moves of slots there had
    /// been.
    pub(super) snapshots: BTreeMap<usize, (Snapshot, usize)>,
}

impl ServerSide {
    pub(super) fn new() -> Self {
        Self {
            server: Server::new(BEGINNING),
            offset: 0,
            set_back: 0,
            paused_until: None,
            down_until: None,
            held: Vec::new(),
            takes_no_writes_until: 0,
            snapshots: BTreeMap::new(),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    pub(super) fn is_down(&self) -> bool {
        self.down_until.is_some()
    }

    pub(super) fn resumes_at(&self, now: Time) -> Time {
        self.paused_until.or(self.down_until).unwrap_or(now)
    }

    /// Lets its clock say what it says at a time.
    pub(super) fn set_clock(&mut self, now: Time) {
        self.server.set_time((BEGINNING + now).saturating_add_signed(self.offset));
    }

    /// A connection is made: the scripts are loaded, and its inbox is subscribed.
    pub(super) fn welcome(&mut self, client: ClientId, inbox: Option<&String>, scripts: &Scripts) {
        self.load(scripts);
        if let Some(inbox) = inbox {
            self.server.subscribe(client, inbox.as_bytes());
        }
    }

    /// The scripts are loaded.
    pub(super) fn load(&mut self, scripts: &Scripts) {
        for script in scripts.all() {
            self.server.load_script(script);
        }
    }

    pub(super) fn pause(&mut self, until: Time) -> bool {
        if self.is_paused() || self.is_down() {
            return false;
        }
        self.paused_until = Some(until);
        true
    }

    pub(super) fn go_down(&mut self, until: Time) -> bool {
        if self.is_paused() || self.is_down() {
            return false;
        }
        self.down_until = Some(until);
        true
    }

    /// It goes on, or is there again. Returns what it was sent meanwhile.
    pub(super) fn resume(&mut self) -> Vec<Event> {
        (self.paused_until, self.down_until) = (None, None);
        std::mem::take(&mut self.held)
    }

    /// The number of the latest grant.
    fn latest_grant(&self, counter: &[u8]) -> Option<u64> {
        match &self.server.entry(counter)?.value {
            Value::Text(number) => std::str::from_utf8(number).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// A lock and its queue, as they are.
    pub(super) fn key(&self, [lock, queue, holders, _]: &[String; 4]) -> Key {
        let now = self.server.time();
        let left = |expires_at: Option<i64>| Some(expires_at?.saturating_sub_unsigned(now / 1_000));
        let mut key = Key::default();
        if let Some(entry) = self.server.entry(lock.as_bytes())
            && let Value::Text(value) = &entry.value
        {
            let phase = value.strip_prefix(b"shared:").and_then(|phase| std::str::from_utf8(phase).ok()?.parse().ok());
            if phase.is_some() || value == b"permits" {
                key.holders = self.holders(holders.as_bytes());
            }
            if key.holders.is_empty() {
                let (token, expires_at) = (value.clone(), entry.expires_at);
                key.holders.push(Holder { token, expires_at, left: left(expires_at), permit: None });
            } else {
                key.phase = phase;
                for holder in &mut key.holders {
                    // What it means ends with the lock.
                    holder.expires_at = entry.expires_at.and(holder.expires_at);
                    holder.left = left(holder.expires_at);
                }
            }
        }
        if let Some(entry) = self.server.entry(queue.as_bytes())
            && let Value::List(entries) = &entry.value
        {
            key.queue = entries.iter().filter_map(|entry| self.waiting(entry, now)).collect();
        }
        key
    }

    /// Those that hold a lock together: scores above [`ENDS_FROM`] are the ends of leases, the others numbers of permits.
    fn holders(&self, holders: &[u8]) -> Vec<Holder> {
        let Some(Value::SortedSet(set)) = self.server.entry(holders).map(|entry| &entry.value) else {
            return Vec::new();
        };
        let number = |score: &Score| score.to_string().parse::<i64>().unwrap_or(0);
        let present = i64::try_from(self.server.time() / 1_000).unwrap_or(i64::MAX);
        let ends = set.iter().map(|(score, token)| (number(score), token));
        let live = ends.filter(|(ends, _)| *ends > ENDS_FROM && *ends > present);
        live.map(|(ends, token)| {
            let name = [b"#".as_slice(), token].concat();
            let permit = set.iter().find(|(_, member)| *member == name);
            let permit = permit.and_then(|(score, _)| u32::try_from(number(score)).ok());
            Holder { token: token.clone(), expires_at: Some(ends), left: None, permit }
        })
        .collect()
    }

    /// `deadline:claim:mode:token`
    fn waiting(&self, entry: &[u8], now: u64) -> Option<Waiting> {
        let text = std::str::from_utf8(entry).ok()?;
        let mut parts = text.splitn(4, ':');
        let deadline = parts.next()?.parse::<u64>().ok()?.saturating_mul(1_000);
        let claim = parts.next()?.parse().ok()?;
        let mode = *parts.next()?.as_bytes().first()?;
        let token = parts.next()?.as_bytes().to_vec();
        let (_, lifetime) = LIFETIMES.into_iter().find(|(of, _)| *of == mode)?;
        let inbox = [b"p:inbox:", token.get(..16)?].concat();
        let is_heard = self.server.is_heard(&inbox);
        let polls = mode == b'p';
        let in_time = deadline >= now && deadline <= now + 2 * lifetime;
        Some(Waiting { token, claim, is_alive: in_time && (is_heard || polls), is_heard, polls })
    }
}

impl World<'_> {
    /// A command comes to the server.
    pub(super) fn arrive(&mut self, process: usize, number: usize, command: Box<Command>) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(number) else { return };
        let server = connection.server;
        let Some(of) = self.servers.get_mut(server) else { return };
        if connection.requests_lost {
            return;
        }
        if now < connection.not_before {
            let at = connection.not_before;
            return self.events.add(at, Event::Arrive { process, connection: number, command });
        }
        if of.is_paused() {
            of.held.push(Event::Arrive { process, connection: number, command });
            return;
        }
        let mut late = None;
        if let Some((closed, arriving)) = &mut connection.closed {
            if *arriving == 0 || of.is_down() {
                return;
            }
            *arriving -= 1;
            late = Some(now - *closed);
        }
        if of.is_down() {
            return;
        }
        if command.loads_scripts {
            of.load(self.scripts);
        }
        let reply = self.execute(server, process, &command, late);
        let mut bytes = Vec::new();
        write(&mut bytes, &reply);
        self.publish(server);
        if let Some(at) = self.way_back(number, true) {
            self.events.add(at, Event::Reply { process, connection: number, number: command.number, reply: bytes });
        }
    }

    /// Runs a command, and records what it did. `late`: so long after its connection was closed.
    fn execute(
        &mut self,
        server: usize,
        process: usize,
        command: &Command,
        late: Option<Time>,
    ) -> Result<Reply, ServerError> {
        let now = self.now;
        let Some(of) = self.servers.get_mut(server) else {
            return Err(ServerError::NotModelled("no server".to_owned()));
        };
        of.set_clock(now);
        if let Some(redirection) = self.redirection(server, command) {
            self.counts.redirected += 1;
            self.note(Some(process), None, || {
                format!("server {server} does not run command {}: {redirection}", command.number)
            });
            if redirection.starts_with("CROSSSLOT") {
                self.broken(Property::R, None, "a command has keys of several slots".to_owned());
            }
            return Err(ServerError::Refused(redirection));
        }
        let Some(script) = self.scripts.by_digest(&command.digest) else {
            self.broken(Property::R, None, "a script that is none of ours".to_owned());
            return Err(ServerError::NotModelled("a script".to_owned()));
        };
        let (keys, args): (Vec<&[u8]>, Vec<&[u8]>) =
            (command.keys.iter().map(Vec::as_slice).collect(), command.args.iter().map(Vec::as_slice).collect());
        let locks: Vec<_> = command.locks().map(|(lock, token)| (self.number_of(lock), token)).collect();
        let names: Vec<_> = locks.iter().filter_map(|(resource, _)| self.keys.get(*resource).cloned()).collect();
        let look = |server: &ServerSide| -> Vec<Key> { names.iter().map(|names| server.key(names)).collect() };
        let resource = locks.first().map_or(usize::MAX, |(resource, _)| *resource);
        let of_slot = names.first().filter(|_| self.cluster.is_some());
        let counter = of_slot.map_or(FENCE, |[.., counter]| counter.as_bytes());
        let Some(of) = self.servers.get_mut(server) else {
            return Err(ServerError::NotModelled("no server".to_owned()));
        };
        let before = look(of);
        let reply = of.server.eval_by_digest(script, &keys, &args);
        let after = look(of);
        let granted = of.latest_grant(counter);
        self.counts.scripts += 1;
        if let Some(number) = granted {
            self.granted_at.entry((self.counter_of(resource), number)).or_insert(now);
        }
        if let Err(ServerError::NotModelled(what)) = &reply {
            self.broken(Property::R, None, format!("not modelled: {what}"));
        }
        // What runs so long after its connection was given up is not looked for any more. An entry in the queue that comes
        // late is not either: it lasts longer than the lease, and is cancelled when its process hears of the grant.
        let lease = args.get(1 + locks.len()).and_then(|lease| std::str::from_utf8(lease).ok()?.parse::<u64>().ok());
        let looked_for = lease.unwrap_or(0).saturating_mul(1_000).min(self.response_timeout());
        let mut ran: Vec<Ran> = Vec::new();
        // A script that was stopped, since its keys are being moved, may have freed the lock and told no process.
        let stopped = reply.as_ref().is_err_and(|error| error.to_string().contains("non local key"));
        let may_publish = !stopped && args.first().is_some_and(|inboxes| !inboxes.is_empty());
        let longest_claim = i64::try_from(self.longest_claim() / MILLISECOND).unwrap_or(i64::MAX);
        for (((resource, token), before), after) in locks.iter().zip(before).zip(after) {
            let resource = *resource;
            let is_owner = after.holders.iter().any(|holder| holder.token == *token);
            if command.action == Action::Acquire && late.is_some_and(|late| late >= looked_for || !is_owner) {
                self.excused.insert(token.to_vec());
            }
            let (holders, waiting) = (after.holders.clone(), after.queue.len());
            self.note(Some(process), Some(resource), || {
                let owners = holders.iter().map(|holder| short(&holder.token)).collect::<Vec<_>>().join(" ");
                let owner = if owners.is_empty() { "free".to_owned() } else { format!("owned by {owners}") };
                let late = if late.is_some() { " late" } else { "" };
                format!("server runs {:?} {}{late}: {reply:?}; {owner}, {waiting} wait", command.action, short(token))
            });
            match ran.iter_mut().find(|ran| ran.resource == resource) {
                Some(ran) => ran.tokens.push(token.to_vec()),
                None => ran.push(Ran {
                    resource,
                    action: command.action,
                    tokens: vec![token.to_vec()],
                    may_publish,
                    longest_claim,
                    before,
                    after,
                }),
            }
        }
        for ran in ran {
            self.see(Record::Ran(Box::new(ran)));
        }
        reply
    }

    /// Notifications that were published go on their way.
    fn publish(&mut self, server: usize) {
        let in_order = self.plan.sets_clock_back();
        let published = self.servers.get_mut(server).map(|of| of.server.take_published());
        for published in published.into_iter().flatten() {
            let text = String::from_utf8_lossy(&published.payload).into_owned();
            let mut receivers = published.receivers;
            // The nodes of a cluster pass it on to each other.
            for of in self.servers.iter().enumerate().filter(|(other, of)| *other != server && !of.is_down()) {
                receivers.extend(of.1.server.receivers(&published.channel));
            }
            for receiver in receivers {
                let Ok(connection) = usize::try_from(receiver.0) else { continue };
                let Some(process) = self.connections.get(connection).map(|connection| connection.process) else {
                    continue;
                };
                let lost = self.random.u64(0..1_000) < self.plan.network.lost_notifications;
                let (often, by) = self.plan.network.late_notifications;
                let late = if self.random.u64(0..1_000) < often && !in_order { self.random.u64(0..=by) } else { 0 };
                if let Some(at) = self.way_back(connection, in_order).filter(|_| !lost) {
                    self.events.add(at + late, Event::Notify { process, connection, text: text.clone() });
                }
            }
        }
    }

    /// The server goes on, or is there again.
    pub(super) fn server_resumes(&mut self, server: usize) {
        self.note(None, None, || format!("server {server} goes on"));
        let Some(of) = self.servers.get_mut(server) else { return };
        let was_down = of.is_down();
        for event in of.resume() {
            self.events.add(self.now, event);
        }
        if was_down {
            self.serves_again(server);
        }
    }
}

/// A reply in the bytes of the protocol.
fn write(bytes: &mut Vec<u8>, reply: &Result<Reply, ServerError>) {
    match reply {
        Ok(reply) => write_reply(bytes, reply),
        Err(error) => line(bytes, b'-', error.to_string().as_bytes()),
    }
}

fn write_reply(bytes: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Nil => bytes.extend_from_slice(b"_\r\n"),
        Reply::Integer(number) => line(bytes, b':', number.to_string().as_bytes()),
        Reply::Text(text) => {
            line(bytes, b'$', text.len().to_string().as_bytes());
            bytes.extend_from_slice(text);
            bytes.extend_from_slice(b"\r\n");
        }
        Reply::Status(status) => line(bytes, b'+', status),
        Reply::Error(error) => line(bytes, b'-', error.as_bytes()),
        Reply::List(replies) => {
            line(bytes, b'*', replies.len().to_string().as_bytes());
            for reply in replies {
                write_reply(bytes, reply);
            }
        }
    }
}

fn line(bytes: &mut Vec<u8>, kind: u8, text: &[u8]) {
    bytes.push(kind);
    bytes.extend_from_slice(text);
    bytes.extend_from_slice(b"\r\n");
}

/// An owner token in few letters: its process and the beginning of its secret.
pub(super) fn short(token: &[u8]) -> String {
    let text = String::from_utf8_lossy(token);
    match text.split_once('.') {
        Some((inbox, secret)) => {
            // The number of permits is behind the letter of the mode.
            let random = if matches!(secret.get(..1), Some("s" | "p")) { 6 } else { 0 };
            let mode = secret.get(..random / 6).unwrap_or_default();
            format!("{}.{mode}{}", inbox.trim_start_matches('0'), secret.get(random..random + 4).unwrap_or_default())
        }
        None => text.into_owned(),
    }
}
