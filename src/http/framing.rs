//! [`Framing`]: when a client has its whole answer.

use ::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use ::http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;

/// What decides, besides the body itself, when an answer is complete.
///
/// A server that speaks HTTP/1 does not ask a body for its end once the announced length is written, and drops the
/// body of an answer that can have none without asking at all. The lock has to be free before that.
#[derive(Debug)]
pub(super) struct Framing {
    /// Of an answer that has been seen.
    upgrade: bool,
    method: Kind,
    head_only: bool,
    http1: bool,
    length: Option<u64>,
}

/// What a request's method says of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Head,
    Connect,
    Other,
}

impl Framing {
    pub(super) fn of_request<B>(request: &Request<B>) -> Self {
        let http1 = request.version() < Version::HTTP_2;
        let method = match *request.method() {
            Method::HEAD => Kind::Head,
            Method::CONNECT => Kind::Connect,
            _ => Kind::Other,
        };
        Self { upgrade: false, method, head_only: method == Kind::Head, http1, length: None }
    }

    pub(super) fn see<B: Body>(&mut self, response: &Response<B>) {
        let status = response.status();
        self.upgrade =
            status == StatusCode::SWITCHING_PROTOCOLS || (self.method == Kind::Connect && status.is_success());
        self.head_only |= status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || response.body().is_end_stream();
        // One look at each, since an answer has few: chunks have an end of their own, and so has every stream of HTTP/2.
        // A length that is announced is one that clients count, over either.
        let (mut chunked, mut length) = (false, None);
        for (name, value) in response.headers() {
            if *name == CONTENT_LENGTH {
                length = length.or(Some(value));
            }
            chunked |= *name == TRANSFER_ENCODING;
        }
        if !chunked {
            let announced = length.and_then(|length| length.to_str().ok()?.parse().ok());
            // Over HTTP/1 the server announces an exact hint.
            self.length = announced.or_else(|| response.body().size_hint().exact().filter(|_| self.http1));
        }
    }

    /// Whether the connection, or the stream of HTTP/2, is something else once the head is sent. The answer has no body
    /// then, whatever the handler gave it.
    pub(super) fn is_upgrade(&self) -> bool {
        self.upgrade
    }

    pub(super) fn is_http1(&self) -> bool {
        self.http1
    }

    /// Whether the answer is whole as soon as its head is sent.
    pub(super) fn is_complete(&self) -> bool {
        self.head_only || self.length == Some(0)
    }

    /// How many bytes complete the answer, where that decides.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }
}
