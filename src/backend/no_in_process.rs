//! Stands in for `in_process` without the feature `memory`: there are no leases of this process.

use std::sync::Arc;

use super::{Lease, Release};
use crate::{FencingToken, Resource};

/// Cannot be constructed.
pub(crate) enum InProcessLease {}

impl InProcessLease {
    pub(crate) fn resource(&self) -> &Resource {
        match *self {}
    }

    pub(crate) fn fencing_token(&self) -> FencingToken {
        match *self {}
    }

    pub(crate) fn is_held(&self) -> bool {
        match *self {}
    }

    pub(crate) fn was_closed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_due(&self) -> bool {
        match *self {}
    }

    pub(crate) fn release(&mut self) -> Release {
        match *self {}
    }

    pub(crate) fn share(&self) -> Arc<dyn Lease> {
        match *self {}
    }
}
