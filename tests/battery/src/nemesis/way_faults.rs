//! Faults of one worker's way to the server: its proxy does them.

use std::time::Duration;

use super::kind::Kind;
use crate::support::Proxy;

/// More than ever passes: nothing is cut.
const NEVER: u64 = u64::MAX;

pub(super) fn begin(kind: Kind, parameter: u64, proxy: &Proxy) {
    match kind {
        Kind::AnswersLost => proxy.drop_answers(true),
        Kind::RequestsLost => proxy.drop_requests(true),
        Kind::AnswersHeld => proxy.stall_answers(true),
        Kind::RequestsHeld => proxy.stall_requests(true),
        Kind::Slow => proxy.delay(Duration::from_millis(parameter)),
        Kind::CutInAnswer => proxy.cut_after_answer_bytes(parameter),
        Kind::CutInRequest => proxy.cut_after_request_bytes(parameter),
        Kind::Cut => proxy.cut(),
        Kind::MessagesLost => proxy.drop_messages(true),
        _ => {}
    }
}

pub(super) fn end(kind: Kind, proxy: &Proxy) {
    match kind {
        Kind::AnswersLost => proxy.drop_answers(false),
        Kind::RequestsLost => proxy.drop_requests(false),
        Kind::AnswersHeld => proxy.stall_answers(false),
        Kind::RequestsHeld => proxy.stall_requests(false),
        Kind::Slow => proxy.delay(Duration::ZERO),
        Kind::CutInAnswer => proxy.cut_after_answer_bytes(NEVER),
        Kind::CutInRequest => proxy.cut_after_request_bytes(NEVER),
        Kind::MessagesLost => proxy.drop_messages(false),
        _ => {}
    }
}
