//! [`Router`]: which connection a call goes over.
//!
//! Outside of a cluster there is one connection, and every call goes over it. In a cluster there is one for each node that
//! serves slots, and a call goes over that of its name's slot. The first connection has no server then: its queue holds the
//! calls for which no node is known at this moment, and its task keeps the map of the slots (`connection::cluster_supervisor`).

mod cork;
mod routes;

use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use self::cork::{Corked, is_corked};
use self::routes::{Changes, Routes};
use super::connection::{Call, Caller, Connection, Node, Redirect, Withdrawn};
use super::connection_string::{Server, Servers};
use super::discovery::cluster::SlotMap;
use super::slot;
use crate::Resource;
use crate::engine::OwnerToken;

/// The connections of one provider.
pub(super) struct Router<C: Caller> {
    first: Arc<Connection<C>>,
    /// Once the server is known to be a cluster. The lock is held while a call is enqueued, so that none comes into a queue
    /// that was just emptied for good.
    cluster: OnceLock<RwLock<Routes<C>>>,
}

impl<C: Caller> Router<C> {
    pub(super) fn new(first: Connection<C>) -> Self {
        Self { first: Arc::new(first), cluster: OnceLock::new() }
    }

    /// What all connections have in common: settings, names, how many calls have no reply.
    pub(super) fn first(&self) -> &Arc<Connection<C>> {
        &self.first
    }

    /// Whether the server is a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        self.cluster.get().is_some()
    }

    /// Does something with the connection that calls for this resource go over.
    pub(super) fn with<T>(&self, resource: &Resource, with: impl FnOnce(&Arc<Connection<C>>) -> T) -> T {
        match self.cluster.get() {
            None => with(&self.first),
            Some(cluster) => {
                let slot = slot::of(self.first.keys().of(resource).lock());
                let routes = cluster.read();
                with(routes.of(slot).unwrap_or(&self.first))
            }
        }
    }

    /// Whether another server may take the place of one.
    pub(super) fn has_several_servers(&self) -> bool {
        self.is_cluster() || !matches!(self.first.settings().servers, Servers::One(_))
    }

    /// The server of this connection.
    pub(super) fn server(&self, node: Node) -> Option<Server> {
        self.all().iter().find(|connection| connection.number == node)?.node()
    }

    /// Whether no node serves the slot of this name at this moment.
    pub(super) fn is_unserved(&self, resource: &Resource) -> bool {
        self.is_cluster() && self.with(resource, |connection| connection.number == self.first.number)
    }

    /// A slot that no node of the cluster serves, if there is one.
    pub(super) fn unserved_slot(&self) -> Option<u16> {
        self.cluster.get()?.read().unserved_slot()
    }

    /// Every connection, the first one first. With those to nodes that serve no slot any more, until they have ended.
    pub(super) fn all(&self) -> Vec<Arc<Connection<C>>> {
        let mut all = vec![Arc::clone(&self.first)];
        if let Some(cluster) = self.cluster.get() {
            all.extend(cluster.read().nodes_and_retired().cloned());
        }
        all
    }

    /// The connections to the servers that grant locks: in a cluster those to the nodes that serve slots.
    pub(super) fn servers(&self) -> Vec<Arc<Connection<C>>> {
        match self.cluster.get() {
            None => vec![Arc::clone(&self.first)],
            Some(cluster) => cluster.read().nodes().cloned().collect(),
        }
    }

    /// Whether this is so for [every connection](Self::all).
    pub(super) fn all_are(&self, mut is: impl FnMut(&Connection<C>) -> bool) -> bool {
        let cluster = self.cluster.get();
        is(&self.first) && cluster.is_none_or(|cluster| cluster.read().nodes_and_retired().all(|node| is(node)))
    }

    /// Whether notifications and events of this connection concern the resource. In a cluster each node passes a
    /// notification on to all others, so that it comes over every connection.
    pub(super) fn is_of(&self, node: Node, resource: &Resource) -> bool {
        self.cluster.get().is_none() || self.with(resource, |connection| connection.number == node)
    }

    pub(super) fn enqueue(&self, call: Call<C::CallKind>) {
        if !self.is_cluster() {
            return self.first.enqueue(call);
        }
        let resource = call.command.resource.clone();
        self.with(&resource, |connection| connection.enqueue(call));
    }

    /// Runs `calls`, and sends what it enqueues only afterwards, together.
    pub(super) fn together(&self, calls: &mut dyn FnMut()) {
        let _corked = Corked::new(self.address(), || self.flush());
        calls();
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Sees to it that everything that was enqueued is sent; [later](Self::together), if more calls are about to follow.
    pub(super) fn flush(&self) {
        if is_corked(self.address()) {
            return;
        }
        self.first.flush();
        if let Some(cluster) = self.cluster.get() {
            // Not under the lock: a flush may send.
            let routes = cluster.read();
            let waiting: Vec<_> = routes.nodes_and_retired().filter(|node| !node.is_queue_empty()).cloned().collect();
            drop(routes);
            for node in waiting {
                node.flush();
            }
        }
    }

    /// Takes an acquire of this token back that was not sent yet.
    pub(super) fn withdraw(&self, resource: &Resource, token: OwnerToken) -> Option<Withdrawn<C>> {
        // It may be in the queue of another node than the present one of its slot.
        let withdrawn = self.with(resource, |connection| connection.withdraw(token));
        withdrawn.or_else(|| self.all().iter().filter(|_| self.is_cluster()).find_map(|node| node.withdraw(token)))
    }

    /// Takes over what the nodes say. Calls that were not sent go to the nodes that serve their slots now. Returns the nodes
    /// that had connections before and have taken the place of others.
    pub(super) fn update(&self, map: SlotMap, caller: &Arc<C>) -> Vec<Node> {
        let cluster = self.cluster.get_or_init(|| RwLock::new(Routes::new()));
        let Changes { retired, ended, heirs } = cluster.write().update(map, &self.first);
        let mut calls = self.first.take_all();
        for node in &retired {
            calls.extend(node.take_all());
            node.leave();
        }
        drop((retired, ended));
        self.put_back(calls);
        self.ensure_driven(caller);
        heirs
    }

    /// Sends calls to other nodes that one of them has not run, or keeps them for the next map.
    pub(super) fn redirect(&self, calls: Vec<(Call<C::CallKind>, Redirect)>, caller: &Arc<C>) {
        let cluster = self.cluster.get_or_init(|| RwLock::new(Routes::new()));
        let (mut moved, mut later) = (Vec::new(), Vec::new());
        for (call, redirect) in calls {
            match redirect {
                Redirect::Moved { slot, server } => {
                    cluster.write().moved(slot, &server, &self.first);
                    moved.push(call);
                }
                Redirect::Later => later.push(call),
            }
        }
        self.first.put_back(later);
        self.first.wake();
        self.put_back(moved);
        self.ensure_driven(caller);
    }

    /// Puts calls that have not run into the queues of their nodes, before what was enqueued since.
    fn put_back(&self, calls: Vec<Call<C::CallKind>>) {
        for call in calls.into_iter().rev() {
            let resource = call.command.resource.clone();
            self.with(&resource, |connection| connection.put_back(vec![call]));
        }
        self.flush();
        for node in self.all().iter().filter(|node| !node.is_queue_empty()) {
            // What was put back has been announced before.
            node.wake();
        }
    }

    /// Sees to it that each connection is driven, in the present runtime if in no other.
    pub(super) fn ensure_driven(&self, caller: &Arc<C>) {
        self.all().iter().for_each(|connection| connection.ensure_driven(caller));
    }

    /// Asks for the map of the slots, since a node cannot be reached.
    pub(super) fn refresh(&self) {
        self.first.wake();
    }
}
