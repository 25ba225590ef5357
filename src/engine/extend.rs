//! A guard wants another end of its lease.
//!
//! One extension of an ownership is in flight at a time. Those that are asked for meanwhile wait for its outcome, and then
//! count from the moment at which they are sent. So there is one lease to go back to if the server refuses.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;

use super::command::{CallKind, Extension, Step};
use super::context::Context;
use super::event::ExtendAnswer;
use super::host::{Host, Lease};
use super::lock::Lock;
use super::minus_clock_drift;
use super::owner_token::{OwnerToken, Secret};
use super::ownership::{Counted, Extending, Ownership};
use super::reply::{Refusal, Reply};
use super::ttl_millis::TtlMillis;
use crate::{LockError, LockMode};

impl<H: Host> Lock<H> {
    /// A guard wants its lease to end so long from now.
    pub(super) fn extend(&mut self, lease: &H::Lease, duration: Duration, cx: &mut Context<'_, H>) -> ExtendAnswer {
        let held = lease.state().is_held();
        let Some(ownership) = self.ownership_held_by(lease).filter(|_| held) else { return ExtendAnswer::Lost };
        let (answer, answered) = oneshot::channel();
        let extension = Box::new(Extension { lease: lease.clone(), duration, answer });
        if ownership.mode() == LockMode::Shared {
            ownership.send_extension_of_one(extension, cx);
        } else if let Some(extending) = ownership.extending() {
            extending.waiting.push_back(extension);
        } else {
            ownership.send_extension(extension, VecDeque::new(), cx);
        }
        ExtendAnswer::Asked(answered)
    }

    pub(super) fn extend_replied(
        &mut self,
        token: OwnerToken,
        extension: Extension<H>,
        reply: Reply<Option<bool>>,
        cx: &mut Context<'_, H>,
    ) {
        let result = self.extended(token, &extension, reply, cx);
        // If the guard's future was dropped, the result is not read; the lease is as the server said all the same.
        cx.actions.extended(extension, result);
    }

    fn extended(
        &mut self,
        token: OwnerToken,
        extension: &Extension<H>,
        reply: Reply<Option<bool>>,
        cx: &mut Context<'_, H>,
    ) -> Result<bool, LockError> {
        let secret = token.secret();
        let Some(ownership) = self.ownership_mut(secret) else { return Ok(false) };
        if ownership.mode() == LockMode::Shared {
            return self.one_extended(secret, extension, reply, cx);
        }
        let Some(extending) = ownership.extension_answered() else { return Ok(false) };
        let Extending { before, waiting, .. } = *extending;
        let Extension { lease, duration, .. } = extension;
        let ours = ownership.is_held_by(lease);
        match reply {
            Reply::Done { result: Some(_), sent } => {
                // For the present holder, also if the lock was handed over meanwhile: the server counts anew in any case.
                ownership.renewed(sent, *duration);
                let length = ownership.ends().saturating_duration_since(sent);
                let renewed = ownership.holders.iter().any(|held| cx.actions.renew(held, cx.now, sent, length));
                if ownership.is_held() && !renewed {
                    // The lease was over by our clock before the reply came, and stays so.
                    cx.actions.all_extended(waiting, &Ok(false));
                    self.end_ownership(secret, cx);
                    return Ok(false);
                }
                let late = ownership.late_extension().filter(|late| ours && renewed && late < duration);
                ownership.send_next_extension(waiting, cx);
                match late {
                    Some(late) => Err(LockError::unavailable(format!(
                        "the lease was extended, but an earlier extension to {late:?} was never answered, and may be done \
                         yet"
                    ))),
                    None => Ok(ours && renewed),
                }
            }
            Reply::Done { result: None, .. } => {
                cx.actions.all_extended(waiting, &Ok(false));
                self.lose_ownership(secret, cx);
                Ok(false)
            }
            // It has not run. An error of the server says so too: the script reads before it writes, and what it writes last
            // is the end of the lease (S4).
            Reply::Refused(Refusal { error, .. }) => {
                ownership.restore(before, cx);
                ownership.send_next_extension(waiting, cx);
                Err(error)
            }
            Reply::NotSent(error) => {
                ownership.restore(before, cx);
                cx.actions.all_extended(waiting, &Err(error.clone()));
                Err(error)
            }
            // In doubt; also a reply that no script of ours gives says nothing of what was done. What waits would wait as
            // long again.
            Reply::Indeterminate { error, .. } | Reply::Garbled(error) => {
                ownership.extension_in_doubt(*duration);
                cx.actions.all_extended(waiting, &Err(error.clone()));
                Err(error)
            }
        }
    }
}

impl<H: Host> Lock<H> {
    /// The same for a reader, whose lease has an end of its own.
    fn one_extended(
        &mut self,
        secret: Secret,
        extension: &Extension<H>,
        reply: Reply<Option<bool>>,
        cx: &mut Context<'_, H>,
    ) -> Result<bool, LockError> {
        let Some(ownership) = self.ownership_mut(secret) else { return Ok(false) };
        match reply {
            Reply::Done { result: Some(_), sent } => {
                ownership.renewed_for_next(sent, extension.duration);
                let length =
                    minus_clock_drift(extension.duration).min(ownership.ends().saturating_duration_since(sent));
                let is_held = ownership.is_held_by(&extension.lease);
                Ok(is_held && cx.actions.renew(&extension.lease, cx.now, sent, length))
            }
            Reply::Done { result: None, .. } => {
                self.lose_ownership(secret, cx);
                Ok(false)
            }
            // It shortens nothing on the server, so that the lease is as it was if it has not run.
            Reply::Refused(Refusal { error, .. })
            | Reply::NotSent(error)
            | Reply::Garbled(error)
            | Reply::Indeterminate { error, .. } => Err(error),
        }
    }
}

impl<H: Host> Ownership<H> {
    /// Sends an extension for one of the readers who share the ownership. On the server the lease becomes no shorter.
    fn send_extension_of_one(&mut self, extension: Box<Extension<H>>, cx: &mut Context<'_, H>) {
        let lease = extension.duration;
        cx.actions.call(self.token(cx.host.inbox()), Step::Renew { lease }, CallKind::Extend(extension));
    }

    /// Sends an extension, behind which others wait.
    fn send_extension(
        &mut self,
        extension: Box<Extension<H>>,
        waiting: VecDeque<Box<Extension<H>>>,
        cx: &mut Context<'_, H>,
    ) {
        // It counts from the moment at which the server does it, and that may be long before its reply (R2).
        let lease = extension.duration;
        if self.extension_begins(cx.now, lease, waiting) {
            _ = cx.actions.renew(&extension.lease, cx.now, cx.now, minus_clock_drift(lease));
        }
        let kept = extension.lease.kept_until().map(|until| until.saturating_duration_since(cx.now));
        let floor = kept.filter(|kept| *kept > lease).map(TtlMillis::from);
        cx.actions.call(self.token(cx.host.inbox()), Step::Reset { lease, floor }, CallKind::Extend(extension));
    }

    /// Sends the first of those that have waited whose caller still holds the lock and waits for it.
    fn send_next_extension(&mut self, mut waiting: VecDeque<Box<Extension<H>>>, cx: &mut Context<'_, H>) {
        while let Some(next) = waiting.pop_front() {
            if self.is_held_by(&next.lease) && next.lease.state().is_held() && !next.answer.is_closed() {
                return self.send_extension(next, waiting, cx);
            }
            cx.actions.extended(*next, Ok(false));
        }
    }

    /// The lease is as it was before it was to be shortened.
    fn restore(&mut self, before: Option<Counted>, cx: &mut Context<'_, H>) {
        let Some(before) = before else { return };
        self.count(before);
        for holder in self.holders.iter() {
            _ = cx.actions.renew(holder, cx.now, cx.now, self.ends().saturating_duration_since(cx.now));
        }
    }
}
