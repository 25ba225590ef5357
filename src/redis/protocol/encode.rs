//! [`write`] and [`Answers`]: commands that go out as one call of a script, and what each is answered.

use ::redis::{Cmd, Pipeline, RedisError, RedisResult, Value};

use std::time::Duration;

use super::{ACQUIRE, Publishing, RELEASE, RENEW, Script, UNDO};
use crate::engine::OwnerToken;
use crate::engine::{Command, Joining, Step, TtlMillis};
use crate::redis::keys::Keys;

/// How many locks one call is for at most. A server spends more on the call of a script than on what ours do in it, so
/// that one call for 32 costs it half of what 32 calls do, and more are hardly better; and nobody else's command is
/// served meanwhile.
pub(in crate::redis) const MOST_IN_A_CALL: usize = 64;

/// How the calls of one connection are written.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct Manner {
    pub(in crate::redis) publishing: Publishing,
    /// How long a grant by notification lasts that its owner says nothing of, at the most.
    pub(in crate::redis) claim: Duration,
    /// There is a counter of grants for each slot of a cluster, instead of one. Each call is for one lock then.
    pub(in crate::redis) by_slot: bool,
}

/// What a call has besides the names, in arguments and in bytes; so that it is written without moving what is written
/// already.
const OTHER_ARGUMENTS: usize = 8;
const OTHER_BYTES: usize = "EVALSHA".len() + 40 + 4 * 20;

/// Appends one call for commands of the same step to a pipeline.
pub(in crate::redis) fn write<'a>(
    commands: impl ExactSizeIterator<Item = &'a Command> + Clone,
    keys: &Keys,
    manner: Manner,
    pipeline: &mut Pipeline,
) {
    let Some(step) = commands.clone().next().map(|first| first.step) else { return };
    let count = commands.len();
    // Made once: the room for them has to be known before they are written.
    let names: Vec<_> = commands.clone().map(|command| keys.of(&command.resource)).collect();
    let of_slot = names.first().filter(|_| manner.by_slot).map(|of| keys.fence_in_slot_of(of));
    let fence = of_slot.as_deref().unwrap_or(keys.fence());
    let bytes = names.iter().map(|of| 2 * of.queue().len()).sum::<usize>()
        + fence.len()
        + count * OwnerToken::LENGTH
        + keys.inboxes().len()
        + OTHER_BYTES;
    let mut call = Cmd::with_capacity(3 * count + OTHER_ARGUMENTS, bytes);
    let script = script(step);
    let may_grant = !matches!(step, Step::Renew { .. } | Step::Reset { .. } | Step::Check);
    call.arg("EVALSHA")
        .arg(if count == 1 { &script.one } else { &script.several }.digest.as_str())
        .arg(2 * count + usize::from(may_grant));
    for of in names {
        call.arg(of.lock()).arg(of.queue());
    }
    if may_grant {
        call.arg(fence);
    }
    match manner.publishing {
        Publishing::Allowed => call.arg(keys.inboxes()),
        Publishing::Refused => call.arg(""),
    };
    for command in commands {
        call.arg(&command.token.written()[..]);
    }
    match step {
        Step::Acquire { lease, joining } => {
            call.arg(TtlMillis::from(lease).milliseconds());
            let (mode, deadline) = mode(joining, manner.publishing);
            if mode == "m" {
                call.arg(format!("m{}", claim(lease, manner)));
            } else {
                call.arg(mode);
            }
            if let Some(deadline) = deadline {
                call.arg(deadline);
            }
        }
        Step::Leave { lease, deadline, polls } => {
            let joining = if polls { Joining::Poll { deadline } } else { Joining::Queue { deadline: Some(deadline) } };
            let (mode, _) = mode(joining, manner.publishing);
            let lease = if mode == "m" { claim(lease.get(), manner) } else { lease.milliseconds() };
            call.arg(format!("{deadline}:{lease}:{mode}"));
        }
        Step::Renew { lease } => _ = call.arg(TtlMillis::from(lease).milliseconds()),
        Step::Reset { lease } => _ = call.arg(TtlMillis::from(lease).milliseconds()).arg("e"),
        Step::Check => _ = call.arg(0),
        Step::Release | Step::Cancel => {}
    }
    pipeline.add_command(call);
}

/// How an acquire stands in the queue, and until when as far as it is known.
fn mode(joining: Joining, publishing: Publishing) -> (&'static str, Option<u64>) {
    match (joining, publishing) {
        (Joining::No, _) => ("n", None),
        (Joining::Queue { deadline }, Publishing::Allowed) => ("m", deadline),
        (Joining::Queue { deadline }, Publishing::Refused) => ("p", deadline),
        (Joining::Poll { deadline }, _) => ("p", Some(deadline)),
    }
}

/// The lease that a grant by notification begins with, in milliseconds.
fn claim(lease: Duration, manner: Manner) -> u32 {
    TtlMillis::from(lease.min(manner.claim)).milliseconds()
}

fn script(step: Step) -> &'static Script {
    match step {
        Step::Acquire { .. } => &ACQUIRE,
        Step::Renew { .. } | Step::Reset { .. } | Step::Check => &RENEW,
        Step::Release => &RELEASE,
        Step::Cancel | Step::Leave { .. } => &UNDO,
    }
}

/// What each command of one call was answered, in their order. One for each, if the server answers as the scripts do;
/// fewer, if it does not.
pub(in crate::redis) enum Answers {
    /// The call was for one, or failed before it began with any.
    Alike(RedisResult<Value>, usize),
    Each(std::vec::IntoIter<Value>),
}

impl Answers {
    /// Those of a call for `count` commands.
    pub(in crate::redis) fn of(answer: Option<Value>, count: usize) -> Self {
        match answer {
            Some(Value::Array(answers)) if count > 1 && answers.len() == count => Self::Each(answers.into_iter()),
            Some(Value::ServerError(error)) => Self::Alike(Err(error.into()), count),
            Some(answer) if count == 1 => Self::Alike(answer.extract_error(), 1),
            Some(_) | None => Self::Each(Vec::new().into_iter()),
        }
    }

    /// Why the whole call was refused, if it was.
    pub(in crate::redis) fn refusal(&self) -> Option<&RedisError> {
        if let Self::Alike(Err(error), _) = self { Some(error) } else { None }
    }
}

impl Iterator for Answers {
    type Item = RedisResult<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Alike(_, 0) => None,
            Self::Alike(answer, 1) => {
                let answer = std::mem::replace(answer, Ok(Value::Nil));
                *self = Self::Each(Vec::new().into_iter());
                Some(answer)
            }
            Self::Alike(answer, left) => {
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

    fn error() -> Value {
        let parsed = ::redis::parse_redis_value(b"-NOPERM no\r\n").unwrap();
        assert!(matches!(parsed, Value::ServerError(_)));
        parsed
    }

    fn told(answer: Option<Value>, count: usize) -> Vec<Result<Value, Option<String>>> {
        Answers::of(answer, count).map(|answer| answer.map_err(|error| error.code().map(str::to_owned))).collect()
    }

    #[test]
    fn one_answer_is_its_commands_own() {
        let list = || Value::Array(vec![Value::Int(1), Value::Int(2)]);
        assert_eq!(told(Some(Value::Int(7)), 1), [Ok(Value::Int(7))]);
        assert_eq!(told(Some(list()), 1), [Ok(list())], "a list as well");
        assert_eq!(told(Some(error()), 1), [Err(Some("NOPERM".to_owned()))]);
    }

    #[test]
    fn an_error_in_a_list_is_that_of_one_command() {
        let answer = Value::Array(vec![Value::Int(1), error(), Value::Int(3)]);
        assert_eq!(told(Some(answer), 3), [Ok(Value::Int(1)), Err(Some("NOPERM".to_owned())), Ok(Value::Int(3))]);
    }

    #[test]
    fn an_error_alone_is_that_of_all() {
        assert_eq!(told(Some(error()), 2), [Err(Some("NOPERM".to_owned())), Err(Some("NOPERM".to_owned()))]);
        assert!(Answers::of(Some(error()), 2).refusal().is_some_and(|error| error.code() == Some("NOPERM")));
        assert!(Answers::of(Some(Value::Array(vec![error(), error()])), 2).refusal().is_none());
    }

    /// A number that would be a grant if one lock had been asked for grants none of two.
    #[test]
    fn what_is_no_list_of_as_many_answers_nobody() {
        let list = |length: usize| Value::Array(vec![Value::Int(1); length]);
        for answer in [None, Some(Value::Int(1)), Some(Value::Nil), Some(list(1)), Some(list(3)), Some(list(0))] {
            assert_eq!(told(answer, 2), []);
        }
        assert_eq!(told(None, 1), []);
    }
}
