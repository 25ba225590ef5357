//! [`KeyError`]: why a request has no key.

use ::http::HeaderName;

use crate::LockError;

/// Why a key could not be read from a request. The source of a [`LockError::InvalidResource`].
///
/// A mistake in the request is answered with 400, one in the program with 500: see
/// [`is_program_mistake`](Self::is_program_mistake).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The request doesn't have the header.
    #[error("the request has no header `{name}`")]
    MissingHeader {
        /// The header's name.
        name: HeaderName,
    },
    /// The request has the header more than once.
    #[error("the request has the header `{name}` more than once")]
    RepeatedHeader {
        /// The header's name.
        name: HeaderName,
    },
    /// The header is empty.
    #[error("the header `{name}` is empty")]
    EmptyHeader {
        /// The header's name.
        name: HeaderName,
    },
    /// The header is not UTF-8.
    #[error("the header `{name}` is not UTF-8")]
    HeaderNotUtf8 {
        /// The header's name.
        name: HeaderName,
    },
    /// A binary gRPC metadata value is not base64.
    #[error("the metadata `{name}` is not base64")]
    MetadataNotBase64 {
        /// The metadata's name.
        name: HeaderName,
    },
    /// The value that was read from an extension of the request is empty.
    #[error("the key that belongs to the request is empty")]
    EmptyExtension,
    /// A path parameter is not UTF-8 after percent-decoding.
    #[error("a parameter of the path is not UTF-8")]
    PathParamNotUtf8,
    /// The route has no path parameter of this name, or the layer is not on a route. A mistake in the program.
    #[error("the route has no path parameter `{name}`")]
    UnknownPathParam {
        /// The name that was asked for.
        name: String,
    },
    /// The name given to [`header`](super::header) is not a valid header name. A mistake in the program.
    #[error("no header can have the name that the key was given")]
    ImpossibleHeader,
    /// The request has no extension of the type that [`extension`](super::extension()) reads: the layer that inserts it is
    /// missing, or inside the lock. A mistake in the program.
    // The type is not in the text, since clients read it.
    #[error("the request lacks the extension that its key is read from")]
    MissingExtension {
        /// The type's name.
        type_name: &'static str,
    },
    /// [`parts`](super::parts) was given no keys. A mistake in the program.
    #[error("the key has no parts")]
    NoParts,
    /// The name given to [`constant`](super::constant) is not a valid resource. A mistake in the program.
    #[error("the constant key is not valid: {reason}")]
    InvalidConstant {
        /// What is wrong with it.
        reason: String,
    },
}

impl KeyError {
    /// Whether the mistake is in the program that made the key, and not in the request.
    pub fn is_program_mistake(&self) -> bool {
        match self {
            Self::UnknownPathParam { .. }
            | Self::ImpossibleHeader
            | Self::MissingExtension { .. }
            | Self::NoParts
            | Self::InvalidConstant { .. } => true,
            Self::MissingHeader { .. }
            | Self::RepeatedHeader { .. }
            | Self::EmptyHeader { .. }
            | Self::HeaderNotUtf8 { .. }
            | Self::MetadataNotBase64 { .. }
            | Self::EmptyExtension
            | Self::PathParamNotUtf8 => false,
        }
    }
}

impl From<KeyError> for LockError {
    fn from(error: KeyError) -> Self {
        LockError::invalid_resource(error)
    }
}
