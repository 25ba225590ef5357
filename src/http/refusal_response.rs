//! Writes a refusal: as a problem of RFC 9457, or as the status of a gRPC call.

use std::fmt::Write;
use std::sync::Arc;

use ::http::header::{CONTENT_TYPE, RETRY_AFTER};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Refusal;

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const GRPC: &[u8] = b"application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// What is percent-encoded in `grpc-message`, besides everything that is not ASCII.
const GRPC_ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// The closure of [`HttpLockLayer::on_refusal`](super::HttpLockLayer::on_refusal).
pub(super) type OnRefusal = Arc<dyn Fn(&Refusal, &Parts) -> Response<Bytes> + Send + Sync>;

/// The form of a request's refusal. It is read from the request before the request is passed on.
pub(super) enum Style {
    Problem,
    /// The answer's content type: there are several for gRPC.
    Grpc(&'static str),
    Custom {
        answer: OnRefusal,
        request: Box<Parts>,
    },
}

impl Style {
    /// `grpc` is the request's [content type](grpc_content_type) if it is a gRPC call.
    pub(super) fn of(grpc: Option<&HeaderValue>) -> Self {
        match grpc {
            Some(content_type) => Self::Grpc(known(content_type)),
            None => Self::Problem,
        }
    }

    pub(super) fn answer(&self, refusal: &Refusal) -> Response<Bytes> {
        match self {
            Self::Problem => problem(refusal),
            Self::Grpc(content_type) => grpc(refusal, content_type),
            Self::Custom { answer, request } => answer(refusal, request),
        }
    }
}

/// The content type of a gRPC or gRPC-Web request.
pub(super) fn grpc_content_type(headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_grpc =
        |value: &&HeaderValue| value.as_bytes().get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    headers.get(CONTENT_TYPE).filter(is_grpc)
}

/// The known content type that the request's begins with. No byte that a client sent gets into a header of the answer. An
/// unknown type is answered with the plainest one: an answer without messages has no encoding.
fn known(content_type: &HeaderValue) -> &'static str {
    const KNOWN: [&str; 9] = [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc+json",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web+json",
        "application/grpc-web-text",
        "application/grpc-web-text+proto",
        "application/grpc-web-text+json",
    ];
    let given = content_type.as_bytes();
    let same = KNOWN.into_iter().find(|known| given.eq_ignore_ascii_case(known.as_bytes()));
    let begins =
        |known: &&str| given.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()));
    same.or_else(|| KNOWN.into_iter().filter(begins).max_by_key(|known| known.len())).unwrap_or("application/grpc")
}

fn problem(refusal: &Refusal) -> Response<Bytes> {
    let case = refusal.case();
    let mut json = String::with_capacity(256);
    json.push_str("{\"type\":\"urn:orchestrix:locking:");
    json.push_str(case.name);
    json.push_str("\",\"title\":");
    push_json_string(&mut json, case.title);
    // Writing to a string cannot fail.
    let _ = write!(json, ",\"status\":{},\"detail\":", refusal.status().as_u16());
    push_json_string(&mut json, &refusal.detail());
    json.push('}');

    let mut response = Response::new(Bytes::from(json));
    *response.status_mut() = refusal.status();
    response.headers_mut().insert(CONTENT_TYPE, PROBLEM);
    if let Some(after) = refusal.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
    }
    response
}

/// "Trailers-Only": the status is in the head, and there is no body.
fn grpc(refusal: &Refusal, content_type: &'static str) -> Response<Bytes> {
    let case = refusal.case();
    let message = grpc_message(refusal);
    let message = utf8_percent_encode(&message, GRPC_ESCAPED).to_string();
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(GRPC_STATUS, HeaderValue::from(case.grpc as u16));
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

pub(super) fn grpc_message(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.case().title, refusal.detail())
}

fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(json, "\\u{:04x}", u32::from(control));
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::push_json_string;

    #[test]
    fn json_strings_are_escaped() {
        let text = "a \"quoted\" \\ line\n\tand \u{1} \u{7f} ü \u{1f512}";
        let mut json = String::new();
        push_json_string(&mut json, text);
        assert!(!json.chars().any(|character| character < ' '));
        assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(text));
    }
}
