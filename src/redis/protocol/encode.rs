//! [`encode`] and [`Answers`]: several commands as one call of a script, and the answer to each of them.

use ::redis::{Cmd, Pipeline, RedisError, RedisResult, Value};

use std::time::Duration;

use super::{ACQUIRE, CANCEL, Publishing, RELEASE, RENEW, Script};
use crate::LockMode;
use crate::engine::{Command, Joining, OwnerToken, Step, TtlMillis};
use crate::redis::keys::{Keys, ResourceKeys};

/// How many locks one call of a script is for at most. A server spends more on the call than on what our scripts do in it: one
/// call for 32 locks costs it half of what 32 calls do. More are hardly better, and the server runs no other command
/// meanwhile.
pub(in crate::redis) const MAX_LOCKS_PER_COMMAND: usize = 64;

/// How the calls of one connection are encoded.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct EncodeOptions {
    pub(in crate::redis) publishing: Publishing,
    /// The longest lease of a grant by notification that its owner has not confirmed.
    pub(in crate::redis) claim: Duration,
    /// There is a counter of grants for each slot of a cluster, instead of one. Then each call is for one lock.
    pub(in crate::redis) fence_per_slot: bool,
}

/// How many arguments and bytes a call has besides the names and the tokens. With these a command's memory is allocated once.
const OTHER_ARGUMENTS: usize = 10;
const OTHER_BYTES: usize = "EVALSHA".len() + 40 + 4 * 20;

/// Appends one call of a script to a pipeline, for several commands of the same step.
pub(in crate::redis) fn encode<'a>(
    commands: impl ExactSizeIterator<Item = &'a Command> + Clone,
    keys: &Keys,
    options: EncodeOptions,
    pipeline: &mut Pipeline,
) {
    let Some(step) = commands.clone().next().map(|first| first.step) else { return };
    let count = commands.len();
    // Collected, since their length has to be known before the first is written.
    let names: Vec<_> = commands.clone().map(|command| keys.of(&command.resource)).collect();
    let fence_of_slot = names.first().filter(|_| options.fence_per_slot).map(|names| keys.fence_in_slot_of(names));
    let fence = fence_of_slot.as_deref().unwrap_or(keys.fence());
    let is_one = count == 1;
    let of_lock = |keys: &ResourceKeys| 2 * keys.queue().len() + if is_one { keys.queue().len() + 3 } else { 0 };
    let bytes = names.iter().map(of_lock).sum::<usize>()
        + fence.len()
        + count * OwnerToken::LENGTH
        + keys.inboxes().len()
        + OTHER_BYTES;
    let mut call = Cmd::with_capacity(3 * count + OTHER_ARGUMENTS, bytes);
    let script = script(step);
    let keeps = matches!(step, Step::Renew { .. } | Step::Reset { .. } | Step::Check);
    let is_exclusive = commands.clone().all(|command| command.token.mode() == LockMode::Exclusive);
    // A call of one of several holders goes on with granting the lock where another call had to stop.
    let may_grant = !keeps || !is_exclusive;
    call.arg("EVALSHA")
        .arg(if is_one { &script.one } else { &script.several }.digest.as_str())
        .arg(2 * count + usize::from(is_one) + usize::from(may_grant));
    for keys in names {
        call.arg(keys.lock()).arg(keys.queue());
        // `several.lua` says why these are not named there.
        if is_one {
            call.arg(keys.holders());
        }
    }
    if may_grant {
        call.arg(fence);
    }
    match options.publishing {
        Publishing::Allowed => call.arg(keys.inboxes()),
        Publishing::Refused => call.arg(""),
    };
    for command in commands {
        call.arg(&command.token.written()[..]);
    }
    match step {
        Step::Acquire { lease, joining, whole } => {
            call.arg(TtlMillis::from(lease).milliseconds());
            let (mode, deadline) = mode(joining, options.publishing);
            if mode == "m" {
                call.arg(format!("m{}", claim(lease, whole, options)));
            } else {
                call.arg(mode);
            }
            match deadline {
                Some(deadline) => _ = call.arg(deadline),
                None if is_exclusive => {}
                None => _ = call.arg(""),
            }
            if !is_exclusive {
                call.arg("modes");
            }
        }
        Step::Leave { lease, whole, deadline, polls } => {
            let joining = if polls { Joining::Poll { deadline } } else { Joining::Queue { deadline: Some(deadline) } };
            let (mode, _) = mode(joining, options.publishing);
            let lease = if mode == "m" { claim(lease.get(), whole, options) } else { lease.milliseconds() };
            call.arg(format!("{deadline}:{lease}:{mode}"));
        }
        Step::Renew { lease } => _ = call.arg(TtlMillis::from(lease).milliseconds()),
        Step::Reset { lease, floor } => {
            let lease = TtlMillis::from(lease).milliseconds();
            call.arg(floor.map_or(lease, |floor| lease.max(floor.milliseconds()))).arg("e");
        }
        Step::Check => _ = call.arg(0),
        Step::Release { keep: Some(keep) } => _ = call.arg(keep.milliseconds()),
        // In place of an entry that is not known.
        Step::Cancel { keep: Some(keep) } => _ = call.arg("").arg(keep.milliseconds()),
        Step::Release { keep: None } | Step::Cancel { keep: None } => {}
    }
    pipeline.add_command(call);
}

/// The mode of an acquire's entry in the queue, and the entry's deadline as far as it is known.
fn mode(joining: Joining, publishing: Publishing) -> (&'static str, Option<u64>) {
    match (joining, publishing) {
        (Joining::No, _) => ("n", None),
        (Joining::Queue { deadline }, Publishing::Allowed) => ("m", deadline),
        (Joining::Queue { deadline }, Publishing::Refused) => ("p", deadline),
        (Joining::Poll { deadline }, _) => ("p", Some(deadline)),
    }
}

/// The lease of a grant by notification until its owner confirms it, in milliseconds.
fn claim(lease: Duration, whole: bool, options: EncodeOptions) -> u32 {
    TtlMillis::from(if whole { lease } else { lease.min(options.claim) }).milliseconds()
}

fn script(step: Step) -> &'static Script {
    match step {
        Step::Acquire { .. } => &ACQUIRE,
        Step::Renew { .. } | Step::Reset { .. } | Step::Check => &RENEW,
        Step::Release { .. } => &RELEASE,
        Step::Cancel { .. } | Step::Leave { .. } => &CANCEL,
    }
}

/// The answers to the commands of one call, in their order. There is one for each if the answer is one of our scripts', and
/// fewer if it is not.
pub(in crate::redis) enum Answers {
    /// The same one for so many commands: the call was for one, or failed before it began with any.
    Same(RedisResult<Value>, usize),
    Each(std::vec::IntoIter<Value>),
}

impl Answers {
    /// The answers to a call for `count` commands.
    pub(in crate::redis) fn new(answer: Option<Value>, count: usize) -> Self {
        match answer {
            Some(Value::Array(answers)) if count > 1 && answers.len() == count => Self::Each(answers.into_iter()),
            Some(Value::ServerError(error)) => Self::Same(Err(error.into()), count),
            Some(answer) if count == 1 => Self::Same(answer.extract_error(), 1),
            Some(_) | None => Self::Each(Vec::new().into_iter()),
        }
    }

    /// Why the whole call was refused, if it was.
    pub(in crate::redis) fn refusal(&self) -> Option<&RedisError> {
        if let Self::Same(Err(error), _) = self { Some(error) } else { None }
    }
}

impl Iterator for Answers {
    type Item = RedisResult<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Same(_, 0) => None,
            Self::Same(answer, 1) => {
                let answer = std::mem::replace(answer, Ok(Value::Nil));
                *self = Self::Each(Vec::new().into_iter());
                Some(answer)
            }
            Self::Same(answer, left) => {
                *left -= 1;
                Some(answer.clone())
            }
            Self::Each(answers) => answers.next().map(Value::extract_error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Resource;
    use crate::engine::InboxId;

    fn error() -> Value {
        let parsed = ::redis::parse_redis_value(b"-NOPERM no\r\n").unwrap();
        assert!(matches!(parsed, Value::ServerError(_)));
        parsed
    }

    fn answers(answer: Option<Value>, count: usize) -> Vec<Result<Value, Option<String>>> {
        Answers::new(answer, count).map(|answer| answer.map_err(|error| error.code().map(str::to_owned))).collect()
    }

    #[test]
    fn the_answer_to_one_command_is_the_whole_answer() {
        let list = || Value::Array(vec![Value::Int(1), Value::Int(2)]);
        assert_eq!(answers(Some(Value::Int(7)), 1), [Ok(Value::Int(7))]);
        assert_eq!(answers(Some(list()), 1), [Ok(list())], "a list as well");
        assert_eq!(answers(Some(error()), 1), [Err(Some("NOPERM".to_owned()))]);
    }

    #[test]
    fn an_error_in_a_list_belongs_to_one_command() {
        let answer = Value::Array(vec![Value::Int(1), error(), Value::Int(3)]);
        assert_eq!(answers(Some(answer), 3), [Ok(Value::Int(1)), Err(Some("NOPERM".to_owned())), Ok(Value::Int(3))]);
    }

    #[test]
    fn an_error_alone_belongs_to_every_command() {
        assert_eq!(answers(Some(error()), 2), [Err(Some("NOPERM".to_owned())), Err(Some("NOPERM".to_owned()))]);
        assert!(Answers::new(Some(error()), 2).refusal().is_some_and(|error| error.code() == Some("NOPERM")));
        assert!(Answers::new(Some(Value::Array(vec![error(), error()])), 2).refusal().is_none());
    }

    /// A number would be a grant if the call had been for one lock. For two it grants neither.
    #[test]
    fn an_answer_that_is_no_list_of_the_right_length_answers_no_command() {
        let list = |length: usize| Value::Array(vec![Value::Int(1); length]);
        for answer in [None, Some(Value::Int(1)), Some(Value::Nil), Some(list(1)), Some(list(3)), Some(list(0))] {
            assert_eq!(answers(answer, 2), []);
        }
        assert_eq!(answers(None, 1), []);
    }

    /// The arguments of the call for these tokens, behind the digest.
    fn sent(step: Step, modes: &[LockMode]) -> Vec<String> {
        let inbox = InboxId::random().unwrap();
        let resource = Resource::try_from("a").unwrap();
        let token = |mode: &LockMode| OwnerToken::random(inbox, *mode).unwrap();
        let commands: Vec<_> =
            modes.iter().map(|mode| Command { resource: resource.clone(), token: token(mode), step }).collect();
        let options =
            EncodeOptions { publishing: Publishing::Allowed, claim: Duration::from_secs(5), fence_per_slot: false };
        let mut pipeline = ::redis::pipe();
        encode(commands.iter(), &Keys::new("p:"), options, &mut pipeline);
        let call = pipeline.cmd_iter().next().unwrap();
        let text = |argument| match argument {
            ::redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        let written = |command: &Command| String::from_utf8_lossy(&command.token.written()).into_owned();
        let tokens: Vec<String> = commands.iter().map(written).collect();
        let named = |argument: String| if tokens.contains(&argument) { "token".to_owned() } else { argument };
        call.args_iter().skip(2).map(text).map(named).collect()
    }

    #[test]
    fn calls_name_their_keys_and_say_what_they_are_for() {
        let (lease, keep) = (Duration::from_secs(30), Some(TtlMillis::from(Duration::from_secs(7))));
        let acquire = Step::Acquire { lease, joining: Joining::Queue { deadline: None }, whole: false };
        let (exclusive, permit) = (LockMode::Exclusive, LockMode::Permits(3));
        let (queue, holders, fence) = ("{p:a}:q", "{p:a}{h}:q", "p:{}:f");
        let one = ["p:a", queue, holders];
        for (step, modes, expected) in [
            (acquire, &[exclusive][..], [&["4"], &one[..], &[fence, "p:inbox:", "token", "30000", "m5000"]].concat()),
            (
                acquire,
                &[permit],
                [&["4"], &one[..], &[fence, "p:inbox:", "token", "30000", "m5000", "", "modes"]].concat(),
            ),
            (
                acquire,
                &[exclusive, LockMode::Shared],
                vec![
                    "5", "p:a", queue, "p:a", queue, fence, "p:inbox:", "token", "token", "30000", "m5000", "", "modes",
                ],
            ),
            (Step::Check, &[exclusive], [&["3"], &one[..], &["p:inbox:", "token", "0"]].concat()),
            (Step::Check, &[permit], [&["4"], &one[..], &[fence, "p:inbox:", "token", "0"]].concat()),
            (Step::Release { keep: None }, &[permit], [&["4"], &one[..], &[fence, "p:inbox:", "token"]].concat()),
            (Step::Release { keep }, &[permit], [&["4"], &one[..], &[fence, "p:inbox:", "token", "7000"]].concat()),
            (Step::Cancel { keep: None }, &[permit], [&["4"], &one[..], &[fence, "p:inbox:", "token"]].concat()),
            (Step::Cancel { keep }, &[permit], [&["4"], &one[..], &[fence, "p:inbox:", "token", "", "7000"]].concat()),
            (
                Step::Reset { lease: Duration::from_secs(5), floor: keep },
                &[exclusive],
                [&["3"], &one[..], &["p:inbox:", "token", "7000", "e"]].concat(),
            ),
            (
                Step::Reset { lease, floor: keep },
                &[exclusive],
                [&["3"], &one[..], &["p:inbox:", "token", "30000", "e"]].concat(),
            ),
        ] {
            assert_eq!(sent(step, modes), expected, "{step:?}");
        }
    }
}
