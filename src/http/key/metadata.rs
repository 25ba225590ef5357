//! [`BinaryMetadata`]: a value that gRPC clients send beside the message, as base64.

use ::http::{HeaderMap, HeaderName};
use tonic::metadata::MetadataMap;

use super::KeyError;
use super::header_value::header_value;

#[derive(Debug, Clone)]
pub(super) struct BinaryMetadata {
    pub(super) name: HeaderName,
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
