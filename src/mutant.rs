//! [`Mutant`]: the wrong versions of this crate that its tests have to catch. None of it is in a usual build.
//!
//! With `--cfg orchestrix_mutants` each can be switched on by its name in the environment variable
//! `ORCHESTRIX_MUTANT`. `tests/mutants/run.sh` does so, one after the other, and requires of each that the checks which
//! `tests/mutants/mutants.txt` names for it fail. A switch is one small expression where the mistake would be made; in
//! the Lua scripts it is another piece of text.

#[cfg(feature = "redis")]
use std::borrow::Cow;

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A mistake that can be switched on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(dead_code, reason = "the features say which of them there are to be made")]
        pub(crate) enum Mutant {
            $($(#[$doc])* $name,)*
        }

        #[cfg(orchestrix_mutants)]
        const ALL: &[(Mutant, &str)] = &[$((Mutant::$name, stringify!($name)),)*];
    };
}

mutants! {
    /// The script that renews and extends a lease does not look whose it is.
    ExtendWithoutOwnerCheck,
    /// The script that releases deletes the key without comparing the owner's token.
    ReleaseWithoutCompare,
    /// The script that takes an acquire back deletes the key without comparing the owner's token.
    UndoWithoutCompare,
    /// A renewal makes a lock anew that is not there any more.
    RenewalRecreates,
    /// The key of a lock has no expiry.
    LockWithoutExpiry,
    /// The fence is a plain counter, which starts again at 1 when the server has lost its data.
    PlainCounterFence,
    /// The fence is read apart from the script's own counting, so that two holders may see the same one.
    FenceReadSeparately,
    /// The fence is written as Lua writes a large number, which loses its last digits.
    FenceLosesDigits,
    /// Whoever comes to a free lock is granted it, though others are in the server's queue.
    NewcomerOvertakes,
    /// The server's queue serves the last who came first.
    LastComeFirstServedByServer,
    /// The lock is handed to a process that hears nothing any more.
    DeadProcessIsServed,
    /// A process is told that it has been granted a lock before it has been.
    GrantToldBeforeItIsMade,
    /// A release does not hand the lock on to the first in the server's queue.
    ReleaseWithoutHandOver,
    /// A release drops all dead entries from the queue in one call, however many there are.
    DeadAreDroppedWithoutBound,
    /// A grant by notification lasts for the whole lease, whether or not its owner ever says that it has it.
    ClaimLeaseIsWhole,
    /// A waiter whose notifications go astray never polls.
    UnheardWaiterStarves,
    /// One of several locks that are asked for together fails, and with it all of them.
    OneOfSeveralFailsAll,
    /// Several locks that are asked for together are all made one token's.
    SeveralUnderOneToken,
    /// A command for several that the server refused as such is not sent again for each of them.
    RefusedTogetherIsRefused,

    /// A deadline counts from the server's answer, and not from before the command was sent.
    DeadlineFromAnswer,
    /// A lease is worth its whole length: nothing is taken off for clocks that differ.
    NoDrift,
    /// A lease that was granted by a message counts from when the message came.
    LateMessageLengthensLease,
    /// A lease that was granted by a message counts from a word of the server that is old, whatever its clock did since.
    OldWordIsCountedFrom,
    /// A lease that was asked for before the machine was suspended is begun after it.
    SuspendIsNotNoticed,
    /// A cancelled acquire stays in the server's queue.
    CancelledAskStaysQueued,
    /// An acquire that was cancelled while its command was under way keeps the lock that it is then granted.
    CancelledAcquireStaysGranted,
    /// An acquire that was never answered is not taken back.
    LostAnswerIsNotUndone,
    /// A release that did not get through is not made up for.
    LostReleaseIsForgotten,
    /// Whoever does not wait is granted a lock that somebody of the same process has waited for.
    AttemptOvertakesWaiters,
    /// A waiter that is dropped when it has just been granted the lock keeps it (Redis).
    DroppedWaiterKeepsGrantOnRedis,
    /// A waiter relies on messages alone, and never asks again.
    NoSlowRecheck,
    /// After one error a lease is not renewed any more.
    RenewalStopsAfterError,
    /// An error of a renewal releases the lock.
    RenewalErrorReleases,
    /// After the connection broke nobody looks whether the locks are still held.
    ReconnectsWithoutALook,
    /// All acquires of a process share one token.
    TokenPerProcess,
    /// A lock that is handed on within the process keeps its fence.
    LocalTurnKeepsFence,
    /// A process hands a lock on within itself for as long as anybody waits there, though others wait elsewhere.
    CrowdKeepsOthersOut,
    /// The waiters of a process are served the last first.
    LastComeFirstServedInProcess,
    /// An error of the server is taken for a lock that somebody else holds.
    ErrorIsBusy,

    /// A flag says whether a lock is held, and not the clock.
    HeldFlagForClock,
    /// A renewal that comes back late revives a lease that was lost.
    LateRenewalRevives,
    /// A loss is noted, and nobody is woken.
    LossWakesNobody,
    /// The longest hold is not honoured.
    MaxHoldIgnored,
    /// A waiter that is dropped when it has just been granted the lock keeps it (memory).
    DroppedWaiterKeepsGrantInMemory,
    /// A guard that was never granted is released when it is dropped, and tells of a loss (memory).
    UngrantedGuardIsReleased,
    /// Closing does not end the lease that its guard alone knows.
    ClosedAndStillHeld,
    /// What handles see of a lease in memory is not ended with its release.
    HandleOutlivesRelease,
    /// The waiters in memory are served the last first.
    LastComeFirstServedInMemory,

    /// The inner service of a layer runs on though the lock is lost.
    LossCancelsNothing,
    /// The lock is freed when the response is there, before its body has ended.
    FreedBeforeBodyEnds,
    /// The last frame of an answer does not wait for the release to be answered.
    LastFrameBeforeRelease,
}

/// Whether this mistake is to be made.
#[cfg(not(orchestrix_mutants))]
#[inline]
pub(crate) const fn is(_mutant: Mutant) -> bool {
    false
}

#[cfg(orchestrix_mutants)]
pub(crate) fn is(mutant: Mutant) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Mutant>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(chosen) == Some(mutant)
}

/// The mutant of the environment. A name that is none ends the process: a test must not seem to have survived it.
#[cfg(orchestrix_mutants)]
fn chosen() -> Option<Mutant> {
    let name = std::env::var_os("ORCHESTRIX_MUTANT")?;
    let found = ALL.iter().find(|(_, known)| name == *known);
    if found.is_none() {
        let known: Vec<_> = ALL.iter().map(|(_, known)| *known).collect();
        abort(format_args!("ORCHESTRIX_MUTANT is {}; there are: {}", name.display(), known.join(", ")));
    }
    found.map(|(mutant, _)| *mutant)
}

/// Ends the process, with a word that no test captures.
#[cfg(orchestrix_mutants)]
fn abort(why: std::fmt::Arguments<'_>) -> ! {
    use std::io::Write as _;

    _ = writeln!(std::io::stderr(), "{why}");
    std::process::abort();
}

/// The text of a script, by the name of its file.
#[cfg(all(feature = "redis", not(orchestrix_mutants)))]
pub(crate) fn script(_file: &str, text: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(text)
}

/// The text of a script, with the mistake that is to be made. A piece that is not found exactly once ends the process,
/// whichever mistake was chosen: the script has changed, and the switch with it has to.
#[cfg(all(feature = "redis", orchestrix_mutants))]
pub(crate) fn script(file: &str, text: &'static str) -> Cow<'static, str> {
    let mut mutated = Cow::Borrowed(text);
    for (mutant, _, right, wrong) in scripts::PIECES.iter().filter(|(_, of, ..)| *of == file) {
        if text.matches(right).count() != 1 {
            abort(format_args!("the piece of {file} that {mutant:?} replaces is not there exactly once: {right}"));
        }
        if is(*mutant) {
            mutated = Cow::Owned(mutated.replace(right, wrong));
        }
    }
    mutated
}

#[cfg(all(feature = "redis", orchestrix_mutants))]
mod scripts {
    use super::Mutant;

    /// What a mutant has in a file, in place of what.
    pub(super) const PIECES: &[(Mutant, &str, &str, &str)] = &[
        (Mutant::OneOfSeveralFailsAll, "several.lua", "pcall(one)", "true, one()"),
        (Mutant::SeveralUnderOneToken, "several.lua", "ARGV[at + 1]", "ARGV[2]"),
        (
            Mutant::ExtendWithoutOwnerCheck,
            "renew.lua",
            "if call('GET', lock) ~= me then",
            "if call('EXISTS', lock) == 0 then",
        ),
        (
            Mutant::RenewalRecreates,
            "renew.lua",
            "if call('GET', lock) ~= me then",
            "call('SET', lock, me, 'PX', math.max(ttl, 1000), 'NX')\nif call('GET', lock) ~= me then",
        ),
        (
            Mutant::ReleaseWithoutCompare,
            "release.lua",
            "if call('GET', lock) ~= me then",
            "if call('EXISTS', lock) == 0 then",
        ),
        (Mutant::ReleaseWithoutHandOver, "release.lua", "\npromote(first)\n", "\n"),
        (
            Mutant::UndoWithoutCompare,
            "cancel.lua",
            "if call('GET', lock) == me then",
            "if call('EXISTS', lock) == 1 then",
        ),
        (Mutant::LockWithoutExpiry, "grant.lua", "call('SET', lock, token, 'PX', ttl)", "call('SET', lock, token)"),
        (
            Mutant::PlainCounterFence,
            "grant.lua",
            "if before and before >= now and before < 9007199254740991 then\n      number = before + 1",
            "do\n      number = (before or 0) + 1",
        ),
        (Mutant::FenceLosesDigits, "grant.lua", "string.format('%.0f', number)", "tostring(number)"),
        (Mutant::FenceLosesDigits, "grant.lua", "clock[1] .. string.format('%06d', clock[2])", "tostring(now)"),
        (
            Mutant::FenceReadSeparately,
            "acquire.lua",
            "then return own(me, ttl) end",
            "then\n  local number = tonumber(call('GET', fence) or '0')\n  own(me, ttl)\n  \
             return number > 0 and number or tonumber(call('GET', fence))\nend",
        ),
        (
            Mutant::NewcomerOvertakes,
            "acquire.lua",
            "if call('EXISTS', lock, queue) == 0 then",
            "if call('EXISTS', lock) == 0 then",
        ),
        (
            Mutant::LastComeFirstServedByServer,
            "queue.lua",
            "call('RPUSH', queue, entry) - 1",
            "call('LPUSH', queue, entry) * 0",
        ),
        (
            Mutant::DeadProcessIsServed,
            "queue.lua",
            "table.concat(message, ':')) > 0",
            "table.concat(message, ':')) >= 0",
        ),
        (Mutant::DeadAreDroppedWithoutBound, "queue.lua", "if may_drop <= 0 then return end", ""),
        (
            Mutant::GrantToldBeforeItIsMade,
            "queue.lua",
            "      local number = own(token, token == me and whole or claim)\n",
            "      tell(token, table.concat({ 'granted', digits(now), digits(now), 0, token, lock }, ':'))\n      \
             local number = own(token, token == me and whole or claim)\n",
        ),
    ];
}
