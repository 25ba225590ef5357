//! [`LocalOrder`]: whether a process serves its own callers in the order in which they came.

use std::collections::BTreeMap;

use super::CallerId;

/// The callers without an answer.
#[derive(Debug, Default)]
pub(super) struct LocalOrder(BTreeMap<CallerId, Pending>);

#[derive(Debug)]
struct Pending {
    resource: usize,
    waits: bool,
}

impl LocalOrder {
    pub(super) fn came(&mut self, caller: CallerId, resource: usize, waits: bool) {
        self.0.insert(caller, Pending { resource, waits });
    }

    pub(super) fn left(&mut self, caller: CallerId) {
        self.0.remove(&caller);
    }

    /// The resource, and the caller who came before this one and waits still, if there is one.
    pub(super) fn granted(&mut self, caller: CallerId) -> Option<(usize, CallerId)> {
        let resource = self.0.remove(&caller)?.resource;
        let first = CallerId { number: 0, ..caller };
        let before = self.0.range(first..caller).find(|(_, pending)| pending.waits && pending.resource == resource);
        before.map(|(before, _)| (resource, *before))
    }
}
