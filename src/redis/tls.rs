//! TLS: the process's crypto provider, and certificates that are checked before the first connection.

use std::sync::Arc;

use ::redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, TlsCertificates};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, OtherError, RootCertStore};

use super::connection_string::Server;
use crate::LockError;

/// Installs a crypto provider for TLS in the process if it has none; without one, the first TLS connection panics. An
/// application that installed its own keeps it.
pub(crate) fn ensure_crypto_provider() {
    if CryptoProvider::get_default().is_none() {
        // An error means that another thread has just installed one, which is as good.
        _ = ring::default_provider().install_default();
    }
}

/// The certificates of a connection, as they were given, in PEM.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    pub(super) roots: Option<Vec<u8>>,
    pub(super) identity: Option<Identity>,
}

/// A certificate chain and its key, both in PEM.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl Certificates {
    /// An error for each option with a mistake. Its texts are our own: those of the parsers may quote what they read, which may
    /// be a key.
    pub(super) fn mistakes(&self, tls: bool) -> Vec<LockError> {
        let roots = self.roots.as_deref().and_then(|pem| {
            let wrong = if tls { wrong_roots(pem) } else { Some(WITHOUT_TLS) };
            wrong.map(|wrong| wrong.into_error("tls_root_certificates"))
        });
        let identity = self.identity.as_ref().and_then(|identity| {
            let wrong = if tls { wrong_identity(identity) } else { Some(WITHOUT_TLS) };
            wrong.map(|wrong| wrong.into_error("tls_client_identity"))
        });
        roots.into_iter().chain(identity).collect()
    }

    /// The address of a server. With TLS its certificate is checked against these, or, without any, against the system's. `None`
    /// if they do not parse, which [`mistakes`](Self::mistakes) explains.
    pub(super) fn address(&self, server: &Server) -> Option<ConnectionAddr> {
        let (host, port) = match server {
            Server::Tcp { host, port, tls: false } => return Some(ConnectionAddr::Tcp(host.clone(), *port)),
            Server::Unix { path } => return Some(ConnectionAddr::Unix(path.into())),
            Server::Tcp { host, port, tls: true } => (host.clone(), *port),
        };
        let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
        if self.roots.is_none() && self.identity.is_none() {
            return Some(address);
        }
        let certificates = TlsCertificates {
            client_tls: self.identity.as_ref().map(|identity| ClientTlsConfig {
                client_cert: identity.certificate.clone(),
                client_key: identity.key.clone(),
            }),
            root_cert: self.roots.clone(),
        };
        // Only a client can make these parameters. To make a client opens no connection.
        let client = Client::build_with_tls(info(address)?, certificates).ok()?;
        Some(client.get_connection_info().addr().clone())
    }
}

/// The default settings of a connection to this address.
pub(super) fn info(address: ConnectionAddr) -> Option<ConnectionInfo> {
    // An address always converts; the trait also covers types that may not.
    ::redis::IntoConnectionInfo::into_connection_info(address).ok()
}

/// The value of an option, in words, and the allowed ones.
#[derive(Clone, Copy)]
struct Wrong {
    given: &'static str,
    allowed: &'static str,
}

const WITHOUT_TLS: Wrong = Wrong {
    given: "given, and the connection is without TLS",
    allowed: "only with TLS: rediss:// in a URL, or ssl=true",
};

impl Wrong {
    fn into_error(self, option: &'static str) -> LockError {
        LockError::invalid_options(option, self.given, self.allowed)
    }
}

fn wrong_roots(pem: &[u8]) -> Option<Wrong> {
    let allowed = "one or more certificates of authorities, as PEM";
    match certificates(pem) {
        Some(roots) if roots.is_empty() => Some(Wrong { given: "without a certificate", allowed }),
        Some(roots) => {
            let mut store = RootCertStore::empty();
            let (_, refused) = store.add_parsable_certificates(roots);
            (refused > 0).then_some(Wrong { given: "a certificate that does not parse", allowed })
        }
        None => Some(Wrong { given: "not PEM", allowed }),
    }
}

fn wrong_identity(identity: &Identity) -> Option<Wrong> {
    let allowed = "a certificate with its chain, and its private key, both as PEM";
    let Some(chain) = certificates(&identity.certificate) else {
        return Some(Wrong { given: "a certificate that is not PEM", allowed });
    };
    if chain.is_empty() {
        return Some(Wrong { given: "without a certificate", allowed });
    }
    let Ok(key) = PrivateKeyDer::from_pem_slice(&identity.key) else {
        return Some(Wrong { given: "without a private key that parses", allowed });
    };
    // Read in the same way as on connecting, so that a key of another certificate is noticed now.
    let crypto = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
    let config = ClientConfig::builder_with_provider(crypto).with_safe_default_protocol_versions();
    let usable = config.and_then(|config| {
        config.with_root_certificates(RootCertStore::empty()).with_client_auth_cert(chain, key).map(drop)
    });
    let given = match usable.err()? {
        rustls::Error::InconsistentKeys(_) => "a key that is not the certificate's",
        rustls::Error::InvalidCertificate(CertificateError::Other(error)) if is_version_1(&error) => {
            "a certificate of X.509 version 1; version 3 is needed"
        }
        rustls::Error::InvalidCertificate(_) => "a certificate that does not parse",
        _ => "a key of a kind that is not supported",
    };
    Some(Wrong { given, allowed })
}

/// By the name of the error of `webpki`, whose type rustls hides.
fn is_version_1(error: &OtherError) -> bool {
    error.to_string().contains("UnsupportedCertVersion")
}

/// The certificates in a PEM text. `None` if the text is not PEM.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}
