//! Certificates for TLS, good and bad, made anew for each test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::directory::TemporaryDirectory;

/// PEM files in a directory that is removed with this. A server that uses them must end before.
#[derive(Debug)]
pub(crate) struct Certificates {
    directory: TemporaryDirectory,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let directory = TemporaryDirectory::new();
        let at = directory.path();
        let authority = write_authority(at, "authority");
        let other = write_authority(at, "other-authority");
        let good = || params(&["localhost", "127.0.0.1"], ExtendedKeyUsagePurpose::ServerAuth);

        write_identity(at, "server", &good(), &authority);
        write_identity(at, "server-of-other-authority", &good(), &other);
        let mut expired = good();
        expired.not_before = rcgen::date_time_ymd(2001, 1, 1);
        expired.not_after = rcgen::date_time_ymd(2002, 1, 1);
        write_identity(at, "expired", &expired, &authority);
        let elsewhere = params(&["elsewhere.example"], ExtendedKeyUsagePurpose::ServerAuth);
        write_identity(at, "wrong-host", &elsewhere, &authority);
        let client = params(&["client.example"], ExtendedKeyUsagePurpose::ClientAuth);
        write_identity(at, "client", &client, &authority);
        write_identity(at, "client-of-other-authority", &client, &other);
        let mut own = good();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        write_own_authority(at, "own-authority", &own);
        write_version_1(at, "version-1", &good(), &authority);
        Self { directory }
    }

    /// The certificate that a client has to trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// The certificate of an authority that has nothing to do with it.
    pub(crate) fn other_authority(&self) -> PathBuf {
        self.directory.path().join("other-authority.pem")
    }

    /// For `localhost` and 127.0.0.1.
    pub(crate) fn server(&self) -> Identity {
        self.identity("server")
    }

    /// The same, signed by the other authority.
    pub(crate) fn server_of_other_authority(&self) -> Identity {
        self.identity("server-of-other-authority")
    }

    /// For the right host, until long ago.
    pub(crate) fn expired(&self) -> Identity {
        self.identity("expired")
    }

    /// For a host elsewhere.
    pub(crate) fn wrong_host(&self) -> Identity {
        self.identity("wrong-host")
    }

    pub(crate) fn client(&self) -> Identity {
        self.identity("client")
    }

    pub(crate) fn client_of_other_authority(&self) -> Identity {
        self.identity("client-of-other-authority")
    }

    /// For the right host, signed by itself as an authority.
    pub(crate) fn its_own_authority(&self) -> Identity {
        self.identity("own-authority")
    }

    /// Of X.509 version 1, which has no extensions, and so no names and no purpose.
    pub(crate) fn version_1(&self) -> Identity {
        self.identity("version-1")
    }

    fn identity(&self, name: &str) -> Identity {
        let at = self.directory.path();
        Identity { certificate: at.join(format!("{name}.pem")), key: at.join(format!("{name}.key")) }
    }
}

fn params(names: &[&str], usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![usage];
    params
}

fn write_authority(at: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    std::fs::write(at.join(format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
    Issuer::new(params, key)
}

fn write_identity(at: &Path, name: &str, params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    std::fs::write(at.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(at.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn write_own_authority(at: &Path, name: &str, params: &CertificateParams) {
    let key = KeyPair::generate().unwrap();
    std::fs::write(at.join(format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(at.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// A certificate without the field that says version 3. Its signature does not fit any more; the version is looked at
/// before it.
fn write_version_1(at: &Path, name: &str, params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) {
    const VERSION_3: [u8; 5] = [0xa0, 3, 2, 1, 2];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let (whole, _) = first_value(certificate.der());
    let (signed, signature) = first_value(whole);
    let signed = signed.strip_prefix(&VERSION_3).expect("rcgen makes version 3");
    let der = sequence(&[&sequence(&[signed]), signature]);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64(&der));
    std::fs::write(at.join(format!("{name}.pem")), pem).unwrap();
    std::fs::write(at.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// The content of the first value in DER, and what follows that value.
fn first_value(der: &[u8]) -> (&[u8], &[u8]) {
    // Up to 127 the length itself, otherwise the number of bytes that it has.
    let more = usize::from(der[1].saturating_sub(0x80));
    let length = match more {
        0 => usize::from(der[1]),
        _ => der[2..2 + more].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
    };
    der[2 + more..].split_at(length)
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[0x30, 0x82], &length[..], &content].concat()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let four = |three: &[u8]| {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let digit =
            |at: usize| if at > three.len() { '=' } else { DIGITS[(bits >> (18 - 6 * at)) as usize & 63].into() };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(four).collect()
}
