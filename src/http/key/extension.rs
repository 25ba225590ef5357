//! [`Extension`]: what a layer outside found out about the request, such as who sent it.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

use ::http::Extensions;

use super::KeyError;

/// `None` if there is no such extension.
type Read = dyn Fn(&Extensions) -> Option<String> + Send + Sync;

#[derive(Clone)]
pub(super) struct Extension {
    type_name: &'static str,
    read: Arc<Read>,
}

impl Extension {
    pub(super) fn new<T: Send + Sync + 'static>(read: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        let read = move |extensions: &Extensions| extensions.get().map(&read);
        Self { type_name: type_name::<T>(), read: Arc::new(read) }
    }

    pub(super) fn value(&self, extensions: &Extensions) -> Result<String, KeyError> {
        match (self.read)(extensions) {
            None => Err(KeyError::MissingExtension { type_name: self.type_name }),
            // With a prefix it would be a valid name, and all requests without a value would share one lock.
            Some(value) if value.is_empty() => Err(KeyError::EmptyExtension),
            Some(value) => Ok(value),
        }
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension").field("type_name", &self.type_name).finish_non_exhaustive()
    }
}
