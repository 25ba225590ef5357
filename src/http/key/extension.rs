//! [`extension`]: a value that a layer outside put into the request, such as the authenticated user.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

use ::http::Extensions;

use super::{Key, KeyError};

/// The value that `read` takes from the request's extension of type `T`. It must not be empty.
///
/// For keys that the client must not choose: a layer outside authenticates the request and puts what it knows into the
/// extensions. A request without the extension did not come through that layer. That is a mistake in the program, and is
/// answered with 500.
///
/// If some requests need no lock, use a closure over the request instead.
///
/// # Examples
///
/// ```
/// use orchestrix_locking::key;
///
/// #[derive(Clone)]
/// struct User {
///     tenant: String,
/// }
///
/// let by_tenant = key::extension::<User>(|user| user.tenant.clone()).prefixed("tenant");
/// # let _ = by_tenant;
/// ```
pub fn extension<T: Send + Sync + 'static>(read: impl Fn(&T) -> String + Send + Sync + 'static) -> Key {
    let read = move |extensions: &Extensions| extensions.get().map(&read);
    Key::from_extension(Extension { type_name: type_name::<T>(), read: Arc::new(read) })
}

/// `None` if there is no such extension.
type Read = dyn Fn(&Extensions) -> Option<String> + Send + Sync;

#[derive(Clone)]
pub(super) struct Extension {
    type_name: &'static str,
    read: Arc<Read>,
}

impl Extension {
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
