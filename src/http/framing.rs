//! [`Framing`]: when a client has its whole answer.

use ::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use ::http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;

/// What decides, besides the body itself, when an answer is complete.
///
/// An HTTP/1 server stops polling a body once the announced length is written. If the answer can have no body, the server
/// drops it without a poll. The lock has to be free before that.
#[derive(Debug)]
pub(super) struct Framing {
    /// Set by [`see`](Self::see).
    upgrade: bool,
    method: MethodKind,
    head_only: bool,
    http1: bool,
    length: Option<u64>,
}

/// The methods whose answers have a framing of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MethodKind {
    Head,
    Connect,
    Other,
}

impl Framing {
    pub(super) fn of_request<B>(request: &Request<B>) -> Self {
        let http1 = request.version() < Version::HTTP_2;
        let method = match *request.method() {
            Method::HEAD => MethodKind::Head,
            Method::CONNECT => MethodKind::Connect,
            _ => MethodKind::Other,
        };
        Self { upgrade: false, method, head_only: method == MethodKind::Head, http1, length: None }
    }

    pub(super) fn see<B: Body>(&mut self, response: &Response<B>) {
        let status = response.status();
        self.upgrade =
            status == StatusCode::SWITCHING_PROTOCOLS || (self.method == MethodKind::Connect && status.is_success());
        self.head_only |= status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || response.body().is_end_stream();
        // Clients count an announced length, over HTTP/1 and HTTP/2. With chunks there is none: the last chunk marks the end.
        // One pass finds both headers, since an answer has few.
        let (mut chunked, mut length) = (false, None);
        for (name, value) in response.headers() {
            if *name == CONTENT_LENGTH {
                length = length.or(Some(value));
            }
            chunked |= *name == TRANSFER_ENCODING;
        }
        if !chunked {
            let announced = length.and_then(|length| length.to_str().ok()?.parse().ok());
            // An HTTP/1 server announces an exact size hint.
            self.length = announced.or_else(|| response.body().size_hint().exact().filter(|_| self.http1));
        }
    }

    /// Whether the connection, or the HTTP/2 stream, leaves HTTP once the head is sent. The answer has no body then.
    pub(super) fn is_upgrade(&self) -> bool {
        self.upgrade
    }

    pub(super) fn is_http1(&self) -> bool {
        self.http1
    }

    /// Whether the answer is complete once its head is sent.
    pub(super) fn is_complete(&self) -> bool {
        self.head_only || self.length == Some(0)
    }

    /// The announced length in bytes, if that completes the answer.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }
}
