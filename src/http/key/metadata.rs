//! [`metadata`]: a gRPC metadata value.

use ::http::{HeaderMap, HeaderName};
use tonic::metadata::MetadataMap;

use super::source::header_value;
use super::{Key, KeyError, header};

/// The gRPC metadata `name`. The call must have it exactly once, and it must not be empty.
///
/// ASCII metadata is used like a [`header`]. Metadata whose name ends with `-bin` is base64 on the wire, with or without
/// padding. It is decoded, so both spellings are one key. A value that is not base64, or that does not encode UTF-8, is
/// refused with `INVALID_ARGUMENT`.
pub fn metadata(name: impl TryInto<HeaderName>) -> Key {
    match name.try_into() {
        Ok(name) if name.as_str().ends_with("-bin") => Key::from_binary_metadata(BinaryMetadata { name }),
        Ok(name) => header(name),
        Err(_) => Key::impossible_header(),
    }
}

#[derive(Debug, Clone)]
pub(super) struct BinaryMetadata {
    name: HeaderName,
}

impl BinaryMetadata {
    pub(super) fn value(&self, headers: &HeaderMap) -> Result<String, KeyError> {
        let name = || self.name.clone();
        header_value(&self.name, headers)?;
        // tonic's decoder takes a whole map.
        let one = headers.get(&self.name).map(|value| (self.name.clone(), value.clone()));
        let metadata = MetadataMap::from_headers(HeaderMap::from_iter(one));
        let value = metadata.get_bin(self.name.as_str()).and_then(|value| value.to_bytes().ok());
        let bytes = value.ok_or_else(|| KeyError::MetadataNotBase64 { name: name() })?;
        match std::str::from_utf8(&bytes) {
            Ok("") => Err(KeyError::EmptyHeader { name: name() }),
            Ok(value) => Ok(value.to_owned()),
            Err(_) => Err(KeyError::HeaderNotUtf8 { name: name() }),
        }
    }
}
