//! What an operator can do about an error whose own text does not say it.

use ::redis::{ErrorKind, RedisError};

use crate::redis::connection::error_class::is_cut_off;

/// In what situation an error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    /// While a connection was being made.
    pub(super) connecting: bool,
    pub(super) tls: bool,
    /// There are connections without TLS, with Sentinel perhaps beside some with it.
    pub(super) plain: bool,
}

const CLUSTER: &str = "the server is a node of a Redis Cluster, and what is in between hides that: redis+cluster://";
const CLUSTER_DOWN: &str = "the name's slot is served by no node of the cluster at this moment";
const ANNOUNCED: &str = "if that address is never reachable from here, as behind NAT: cluster-announce-ip and \
                         cluster-announce-port on the nodes";
const FULL: &str = "the server's maxclients is reached: raise it, or close connections";
const MAYBE_TLS: &str = "if this has never worked, the port may expect TLS: rediss:// or ssl=true";
const MAYBE_PLAIN: &str = "what listens there answered without TLS: redis:// or ssl=false, or the port for TLS";
const OWN_AUTHORITY: &str = "the server's certificate is that of an authority, such as a self-signed one made with \
                             CA:TRUE: it has to be one for a server, signed by the authority or self-signed with CA:FALSE";
const VERSION_1: &str = "the server's certificate is one of X.509 version 1; version 3 is needed";
const NAME: &str = "connect by a name that is in the certificate";
const UNTRUSTED: &str = "the server's certificate is of an authority that is not trusted: name it with \
                         tls_root_certificates";
const CLIENT_CERTIFICATE: &str = "the server asks clients for a certificate: tls_client_identity";

/// The hint for this error, if there is one.
pub(super) fn of(error: &RedisError, Context { connecting, tls, plain }: Context) -> Option<&'static str> {
    match error.code() {
        Some("MOVED" | "ASK") => return Some(CLUSTER),
        Some("CLUSTERDOWN") => return Some(CLUSTER_DOWN),
        _ => {}
    }
    let text = error.to_string();
    if text.contains("max number of clients") {
        return Some(FULL);
    }
    if !connecting {
        return None;
    }
    // A server with TLS closes the connection, or sends a TLS alert, which is not RESP.
    let maybe_tls = (plain && (is_cut_off(error) || error.kind() == ErrorKind::Parse)).then_some(MAYBE_TLS);
    if !tls {
        return maybe_tls;
    }
    // The errors of the TLS library are inside I/O errors, and only their texts can be told apart.
    [
        ("CaUsedAsEndEntity", OWN_AUTHORITY),
        ("UnsupportedCertVersion", VERSION_1),
        ("UnknownIssuer", UNTRUSTED),
        ("BadSignature", UNTRUSTED),
        ("not valid for name", NAME),
        ("CertificateRequired", CLIENT_CERTIFICATE),
        ("InvalidContentType", MAYBE_PLAIN),
        (super::SPEAKS_NO_TLS, MAYBE_PLAIN),
    ]
    .into_iter()
    .find_map(|(part, hint)| text.contains(part).then_some(hint))
    .or(maybe_tls)
}

/// The hint where the address is one that a node of a cluster announces, if there is no better one.
pub(super) fn of_announced(error: &RedisError, context: Context) -> Option<&'static str> {
    of(error, context).or((context.connecting && error.is_io_error()).then_some(ANNOUNCED))
}
