//! The target of a request, by the same name in every version of HTTP.

use std::borrow::Cow;
use std::iter::once;

use ::http::header::{COOKIE, HOST};
use ::http::uri::Authority;
use ::http::{HeaderMap, HeaderName, Method, Request, Uri, Version};

use super::KeyError;
use super::header_value::{header_value, text_of};

/// The value of a header, or its equivalent in the request's version of HTTP.
pub(super) fn header<'r, B>(name: &HeaderName, request: &'r Request<B>) -> Result<Cow<'r, str>, KeyError> {
    if *name == HOST {
        return host(request);
    }
    if *name == COOKIE && is_framed(request) {
        return cookie(request.headers());
    }
    header_value(name, request.headers()).map(Cow::Borrowed)
}

/// The authority that the request is sent to, without user information and in lower case.
fn host<B>(request: &Request<B>) -> Result<Cow<'_, str>, KeyError> {
    let Some(authority) = uri(request).authority() else {
        return header_value(&HOST, request.headers()).map(lower_case);
    };
    let authority = host_and_port(authority);
    if request.headers().get_all(HOST).iter().nth(1).is_some() {
        return Err(KeyError::RepeatedHeader { name: HOST });
    }
    // Over HTTP/2 a request with two different ones is malformed (RFC 9113, 8.3.1). Over HTTP/1 the target takes precedence
    // (RFC 9112, 3.2.2), but the handler may read the header: the lock would be for another host than the handler sees.
    if request.headers().contains_key(HOST) {
        let header = header_value(&HOST, request.headers())?;
        if !header.eq_ignore_ascii_case(authority) {
            return Err(KeyError::RepeatedHeader { name: HOST });
        }
    }
    Ok(lower_case(authority))
}

/// HTTP/2 and HTTP/3 allow a client to split the header into several (RFC 9113, 8.2.3).
fn cookie(headers: &HeaderMap) -> Result<Cow<'_, str>, KeyError> {
    let mut parts = headers.get_all(COOKIE).iter();
    let Some(first) = parts.next() else { return Err(KeyError::MissingHeader { name: COOKIE }) };
    let first = text_of(&COOKIE, first)?;
    let mut joined = Cow::Borrowed(first);
    for part in parts {
        let part = text_of(&COOKIE, part)?;
        joined.to_mut().extend(once("; ").chain(once(part)));
    }
    Ok(joined)
}

/// The path without the query. A CONNECT has none: then the authority that it asks for.
pub(in crate::http) fn path<B>(request: &Request<B>) -> Cow<'_, str> {
    let uri = uri(request);
    match uri.authority() {
        Some(authority) if uri.path().is_empty() => lower_case(host_and_port(authority)),
        _ => Cow::Borrowed(uri.path()),
    }
}

/// The method. An extended CONNECT over HTTP/2, which has a path, counts as the GET that it is over HTTP/1 (RFC 8441).
pub(super) fn method<B>(request: &Request<B>) -> &Method {
    let is_extended = *request.method() == Method::CONNECT && is_framed(request) && uri(request).scheme().is_some();
    if is_extended { &Method::GET } else { request.method() }
}

/// Whether the request came over HTTP/2 or later, which have pseudo-headers.
fn is_framed<B>(request: &Request<B>) -> bool {
    request.version() >= Version::HTTP_2
}

fn uri<B>(request: &Request<B>) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions().get::<axum::extract::OriginalUri>() {
        return original;
    }
    request.uri()
}

fn host_and_port(authority: &Authority) -> &str {
    let authority = authority.as_str();
    authority.rsplit_once('@').map_or(authority, |(_, host_and_port)| host_and_port)
}

/// Host names are not case-sensitive.
fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}
