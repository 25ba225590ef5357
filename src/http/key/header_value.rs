//! The value of one header, as text.

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::KeyError;

/// The value of a header that the request has once.
pub(super) fn header_value<'r>(name: &HeaderName, headers: &'r HeaderMap) -> Result<&'r str, KeyError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| KeyError::MissingHeader { name: name.clone() })?;
    if values.next().is_some() {
        return Err(KeyError::RepeatedHeader { name: name.clone() });
    }
    text_of(name, value)
}

/// A header's value as text, which may not be empty.
pub(super) fn text_of<'r>(name: &HeaderName, value: &'r HeaderValue) -> Result<&'r str, KeyError> {
    // Not `to_str`, which takes nothing but ASCII.
    match std::str::from_utf8(value.as_bytes()) {
        // A prefix would make a valid name of it.
        Ok("") => Err(KeyError::EmptyHeader { name: name.clone() }),
        Ok(value) => Ok(value),
        Err(_) => Err(KeyError::HeaderNotUtf8 { name: name.clone() }),
    }
}
