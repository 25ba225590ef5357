//! What can go wrong.

use serde::{Deserialize, Serialize};

use super::random::Random;

/// One kind of fault. Its name in the history and in reports is [`name`](Self::name).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    // --- One worker's process.
    /// SIGSTOP, at times past its leases, then SIGCONT.
    WorkerStopped,
    /// SIGKILL, and a new process in its place.
    WorkerKilled,
    /// Every thread of its runtime is kept busy.
    WorkerBlocked,

    // --- One worker's way to the server.
    AnswersLost,
    RequestsLost,
    /// One way is cut for a time, and what was on it arrives late.
    AnswersHeld,
    RequestsHeld,
    /// Bytes arrive late, each way.
    Slow,
    /// Closed after so many bytes of answers.
    CutInAnswer,
    /// Closed after so many bytes of requests: to the server a client that is gone in mid-command.
    CutInRequest,
    /// Closed, all of its connections at once.
    Cut,
    /// Published messages are lost, answers are not.
    MessagesLost,

    // --- The server, for all workers.
    /// SIGKILL, and started again with what it had.
    ServerRestarted,
    /// SIGKILL, and started again with nothing. Two may hold a lock then, since the server has forgotten the first:
    /// not trusted.
    ServerEmptied,
    /// SIGSTOP, then SIGCONT.
    ServerStopped,
    /// CLIENT PAUSE.
    ServerPaused,
    /// A script that loops, past the time after which the server answers BUSY.
    ServerBusy,
    /// `maxmemory 1`.
    OutOfMemory,
    /// SCRIPT FLUSH.
    ScriptsFlushed,
    /// CLIENT KILL, every client.
    ConnectionsKilled,
    /// `requirepass` is set, and every client's connection killed.
    WrongPassword,
    /// A replica of a server that is not there: it refuses writes, and keeps its data.
    ReadOnly,
    /// The server's wall clock jumps ahead, and later back. Its leases end early then, and late afterwards: not
    /// trusted.
    ClockForward,
    /// The other way round.
    ClockBack,

    // --- A Sentinel set or a cluster. What was not replicated yet is lost by most: not trusted then.
    /// SIGKILL; started again at some time after another has taken its place.
    PrimaryKilled,
    /// SIGSTOP; SIGCONT at some time after another has taken its place.
    PrimaryFrozen,
    /// SENTINEL FAILOVER: for about a second both primaries take writes, and those of the old one are lost.
    SentinelFailover,
    /// CLUSTER FAILOVER: the replica takes its master's place when it has all writes.
    ClusterFailover,
    /// The slots of some locks go to another master, and come back.
    SlotsMoved,
}

/// Who or what a fault is for; two of the same lane are never under way at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Process,
    Way,
    Server,
}

/// All of a single server.
pub(crate) const KINDS: [Kind; 24] = [
    Kind::WorkerStopped,
    Kind::WorkerKilled,
    Kind::WorkerBlocked,
    Kind::AnswersLost,
    Kind::RequestsLost,
    Kind::AnswersHeld,
    Kind::RequestsHeld,
    Kind::Slow,
    Kind::CutInAnswer,
    Kind::CutInRequest,
    Kind::Cut,
    Kind::MessagesLost,
    Kind::ServerRestarted,
    Kind::ServerEmptied,
    Kind::ServerStopped,
    Kind::ServerPaused,
    Kind::ServerBusy,
    Kind::OutOfMemory,
    Kind::ScriptsFlushed,
    Kind::ConnectionsKilled,
    Kind::WrongPassword,
    Kind::ReadOnly,
    Kind::ClockForward,
    Kind::ClockBack,
];

impl Kind {
    /// As in the history: `worker_stopped` …
    pub(crate) fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub(crate) fn lane(self) -> Lane {
        match self {
            Self::WorkerStopped | Self::WorkerKilled | Self::WorkerBlocked => Lane::Process,
            Self::AnswersLost
            | Self::RequestsLost
            | Self::AnswersHeld
            | Self::RequestsHeld
            | Self::Slow
            | Self::CutInAnswer
            | Self::CutInRequest
            | Self::Cut
            | Self::MessagesLost => Lane::Way,
            _ => Lane::Server,
        }
    }

    /// Whether two certain holds must not overlap although it happens.
    pub(crate) fn trusted(self) -> bool {
        !self.loses_data() && !self.moves_the_clock() && !self.loses_writes()
    }

    pub(crate) fn loses_data(self) -> bool {
        self == Self::ServerEmptied
    }

    /// The latest ones: the new primary does not have them.
    pub(crate) fn loses_writes(self) -> bool {
        matches!(self, Self::PrimaryKilled | Self::PrimaryFrozen | Self::SentinelFailover)
    }

    pub(crate) fn moves_the_clock(self) -> bool {
        matches!(self, Self::ClockForward | Self::ClockBack)
    }

    /// Milliseconds that it lasts. With leases of about a second, one in a few is past them.
    pub(super) fn length(self, random: &mut Random) -> u64 {
        match self {
            Self::Cut
            | Self::ScriptsFlushed
            | Self::ConnectionsKilled
            | Self::SentinelFailover
            | Self::ClusterFailover => 0,
            Self::PrimaryKilled | Self::PrimaryFrozen => random.between(2_000, 3_500),
            Self::SlotsMoved => random.between(100, 900),
            Self::ServerBusy => random.between(150, 1_000),
            Self::WorkerStopped | Self::WorkerBlocked => mixed(random, 60, (50, 700), (1_100, 2_500)),
            Self::WorkerKilled => random.between(0, 400),
            Self::ServerRestarted | Self::ServerEmptied => mixed(random, 20, (0, 300), (1_100, 1_600)),
            _ if self.lane() == Lane::Server => mixed(random, 20, (50, 500), (1_100, 2_000)),
            _ => mixed(random, 35, (100, 700), (1_100, 2_400)),
        }
    }

    /// What else there is to choose; the unit is in the plan's text.
    pub(super) fn parameter(self, random: &mut Random) -> u64 {
        match self {
            Self::Slow => random.between(2, 120),
            Self::CutInAnswer | Self::CutInRequest => random.between(1, 6_000),
            Self::ClockForward | Self::ClockBack => random.between(200, 5_000),
            Self::PrimaryKilled | Self::PrimaryFrozen | Self::ClusterFailover => random.between(0, 2),
            Self::SlotsMoved => random.between(0, 17),
            _ => 0,
        }
    }

    /// What the parameter is.
    pub(super) fn unit(self) -> Option<&'static str> {
        match self {
            Self::Slow => Some("ms each way"),
            Self::CutInAnswer | Self::CutInRequest => Some("bytes"),
            Self::ClockForward | Self::ClockBack => Some("ms"),
            _ => None,
        }
    }
}

/// Long this often in a hundred times, else short.
fn mixed(random: &mut Random, percent_long: u64, short: (u64, u64), long: (u64, u64)) -> u64 {
    let (low, high) = if random.percent(percent_long) { long } else { short };
    random.between(low, high)
}
