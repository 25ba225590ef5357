//! The settings of options, the errors of wrong ones, and that no password or key is ever printed.

use std::time::Duration;

use ::redis::{ConnectionAddr, ConnectionInfo, ProtocolVersion};
use proptest::prelude::*;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::connection_string::Servers;
use super::settings::Settings;
use super::{RedisLockOptions, RedisWarning};
use crate::{BuildError, BuildProblem, LockError};

fn with(connection_string: &str) -> RedisLockOptions {
    RedisLockOptions::default().connection_string(connection_string)
}

fn settings(options: &RedisLockOptions) -> Settings {
    options.settings().unwrap_or_else(|error| panic!("{options:?} is refused: {error}"))
}

fn refused(options: &RedisLockOptions) -> BuildError {
    options.settings().err().unwrap_or_else(|| panic!("{options:?} is accepted"))
}

/// The names of the refused options, or of the refused parts of the connection string.
fn names(options: &RedisLockOptions) -> Vec<String> {
    let name = |problem: &BuildProblem| match problem {
        BuildProblem::Options(LockError::InvalidOptions { option, .. }) => (*option).to_owned(),
        BuildProblem::ConnectionString { part, .. } => part.clone(),
        other => panic!("unexpected: {other:?}"),
    };
    refused(options).problems().iter().map(name).collect()
}

/// How to connect to the first of the servers, or sentinels.
fn info(settings: &Settings) -> ConnectionInfo {
    match &settings.servers {
        Servers::One(server) => settings.info(server).unwrap(),
        Servers::AnyOf(servers) | Servers::Cluster(servers) => settings.info(&servers[0]).unwrap(),
        Servers::Sentinel(target) => settings.sentinel_info(&target.sentinels[0], &target.credentials).unwrap(),
    }
}

#[test]
fn the_defaults() {
    let settings = settings(&RedisLockOptions::default());
    let info = info(&settings);
    let Settings { prefix, connect_timeout, response_timeout, close_timeout, max_waiters_in_total, server, .. } =
        settings;
    assert_eq!(info.addr(), &ConnectionAddr::Tcp("localhost".to_owned(), 6379));
    assert_eq!((prefix.as_str(), server.as_str()), ("orchestrix:lock:", "localhost:6379"));
    assert_eq!((connect_timeout, response_timeout), (Duration::from_secs(2), Duration::from_secs(1)));
    assert_eq!((close_timeout, max_waiters_in_total), (Duration::from_secs(5), 100_000));
    let redis = info.redis_settings();
    assert_eq!((redis.protocol(), redis.db()), (ProtocolVersion::RESP3, 0));
    assert_eq!((redis.username(), redis.password(), redis.skip_set_lib_name()), (None, None, true));
    assert!(info.tcp_settings().nodelay() && info.tcp_settings().keepalive().is_some());
}

#[test]
fn the_string_sets_server_user_and_database() {
    let given = settings(&with("redis://u:p@[::1]:7000/3"));
    let info = info(&given);
    assert_eq!(info.addr(), &ConnectionAddr::Tcp("::1".to_owned(), 7000));
    assert_eq!(given.server, "[::1]:7000");
    let redis = info.redis_settings();
    assert_eq!((redis.username(), redis.password(), redis.db()), (Some("u"), Some("p"), 3));

    let unix = settings(&with("unix:///run/redis.sock"));
    assert_eq!(self::info(&unix).addr(), &ConnectionAddr::Unix("/run/redis.sock".into()));
    assert_eq!(unix.server, "unix:/run/redis.sock");
}

/// A setter overrides the string, also if it was called before `connection_string`.
#[test]
fn a_setter_overrides_the_string() {
    let string = "localhost,connectTimeout=100,asyncTimeout=200";
    let from_string = settings(&with(string));
    assert_eq!(from_string.connect_timeout, Duration::from_millis(100));
    assert_eq!(from_string.response_timeout, Duration::from_millis(200));
    let second = Duration::from_secs(1);
    let set = RedisLockOptions::default().connect_timeout(second).response_timeout(second).connection_string(string);
    assert_eq!((settings(&set).connect_timeout, settings(&set).response_timeout), (second, second));
}

/// A time-out of the string above the maximum is a warning, unless a setter overrides it.
#[test]
fn a_time_out_of_the_string_above_the_maximum_is_a_warning() {
    let string = "127.0.0.1:6379,connectTimeout=100000,syncTimeout=100000,keepAlive=86400";
    let minute = Duration::from_secs(60);
    let Settings { connect_timeout, response_timeout, warnings, .. } = settings(&with(string));
    assert_eq!((connect_timeout, response_timeout), (minute, minute));
    let long = |option: &str, used| RedisWarning::LongTimeout { option: option.to_owned(), used };
    let keep_alive = long("keepAlive", Duration::from_secs(32_767));
    assert_eq!(warnings, [long("connectTimeout", minute), long("syncTimeout", minute), keep_alive.clone()]);
    let second = Duration::from_secs(1);
    let set = settings(&with(string).connect_timeout(second).response_timeout(second));
    assert_eq!((set.connect_timeout, set.response_timeout, set.warnings), (second, second, vec![keep_alive]));
}

#[test]
fn ranges_hold_at_their_ends() {
    let millis = Duration::from_millis;
    for fits in [millis(10), millis(60_000)] {
        settings(&RedisLockOptions::default().connect_timeout(fits).response_timeout(fits));
    }
    for wrong in [Duration::ZERO, millis(9), millis(60_001), Duration::MAX] {
        let options = RedisLockOptions::default().connect_timeout(wrong).response_timeout(wrong);
        assert_eq!(names(&options), ["connect_timeout", "response_timeout"]);
    }
    for fits in [Duration::ZERO, Duration::from_secs(600)] {
        settings(&RedisLockOptions::default().close_timeout(fits));
    }
    assert_eq!(names(&RedisLockOptions::default().close_timeout(millis(600_001))), ["close_timeout"]);
}

#[test]
fn prefixes() {
    for fits in ["", "a", "orders:lock:", "grün/", &"a".repeat(128)] {
        assert_eq!(settings(&RedisLockOptions::default().key_prefix(fits)).prefix, fits);
    }
    for wrong in ["{a}", "a{", "}", "a\nb", "\0", &"a".repeat(129)] {
        assert_eq!(names(&RedisLockOptions::default().key_prefix(wrong)), ["key_prefix"], "{wrong:?}");
    }
    let error = refused(&RedisLockOptions::default().key_prefix("{a}")).to_string();
    assert!(error.contains("key_prefix") && error.contains("128 bytes") && error.contains("slots"), "{error}");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let options = with("localhost:0,foo=1")
        .key_prefix("{")
        .connect_timeout(Duration::ZERO)
        .close_timeout(Duration::MAX)
        .tls_root_certificates("none");
    assert_eq!(
        names(&options),
        ["connect_timeout", "close_timeout", "key_prefix", "option \"foo\"", "port", "tls_root_certificates"]
    );
}

struct Pem {
    certificate: String,
    key: String,
}

fn pem() -> Pem {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate is made");
    Pem { certificate: cert.pem(), key: signing_key.serialize_pem() }
}

#[test]
fn certificates_become_parameters_of_the_connection() {
    let Pem { certificate, key } = pem();
    let given = |options: &RedisLockOptions| match info(&settings(options)).addr() {
        ConnectionAddr::TcpTls { host, port, insecure, tls_params } => {
            assert_eq!((host.as_str(), *port, *insecure), ("localhost", 6380, false));
            tls_params.is_some()
        }
        other => panic!("no TLS: {other:?}"),
    };
    let tls = with("localhost,ssl=true");
    assert!(!given(&tls), "the system's certificates need no parameters");
    assert!(given(&tls.clone().tls_root_certificates(certificate.clone())));
    assert!(given(&tls.clone().tls_client_identity(certificate.clone(), key.clone())));
    let bundle = format!("{certificate}{}", pem().certificate);
    assert!(given(&tls.tls_root_certificates(bundle).tls_client_identity(certificate, key)));
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let Pem { certificate, key } = pem();
    let other = pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let open = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let tls = with("rediss://localhost");
    for roots in ["", "nothing", &key, broken, open, &format!("{certificate}{broken}")] {
        assert_eq!(names(&tls.clone().tls_root_certificates(roots)), ["tls_root_certificates"], "{roots}");
    }
    for (certificate, key) in [
        ("", key.as_str()),
        (&certificate, ""),
        (&certificate, &certificate),
        (&key, &key),
        (broken, &key),
        (open, &key),
        (&certificate, &other.key),
    ] {
        assert_eq!(names(&tls.clone().tls_client_identity(certificate, key)), ["tls_client_identity"]);
    }
    // Without TLS they would go unused, in silence.
    let plain =
        with("redis://localhost").tls_root_certificates(certificate.clone()).tls_client_identity(certificate, key);
    assert_eq!(names(&plain), ["tls_root_certificates", "tls_client_identity"]);
}

/// Also for the sentinels, which are connected to before any server is.
#[test]
fn a_connection_with_tls_finds_a_cryptography() {
    _ = info(&settings(&with("rediss+sentinel://localhost/locks")));
    assert!(rustls::crypto::CryptoProvider::get_default().is_some());
}

#[test]
fn the_process_gets_a_cryptography_once() {
    super::tls::ensure_crypto_provider();
    let first = rustls::crypto::CryptoProvider::get_default().expect("one is installed");
    super::tls::ensure_crypto_provider();
    let second = rustls::crypto::CryptoProvider::get_default().expect("one is installed");
    assert!(std::sync::Arc::ptr_eq(first, second), "what was installed stays");
}

/// Everything that may be printed of options: themselves, and their settings or the error.
fn printed(options: &RedisLockOptions) -> String {
    match options.settings() {
        Ok(settings) => {
            format!("{options:?} {settings:?} {:?} {:?} {}", info(&settings), settings.servers, settings.server)
        }
        Err(error) => format!("{options:?} {error:?} {error} {error:#?}"),
    }
}

/// No name of an option looks like it, so it may be found nowhere.
const CANARY: &str = "Sw0rdf1sh";

#[test]
fn no_password_is_printed() {
    for text in [
        "redis://u:{}@localhost",
        "redis://:{}@localhost/x",
        "redis://:{}",
        "redis://{}@localhost",
        "redis://u:a/{}@localhost",
        "redis://u:{}/a@localhost",
        "redis://u:{}?a=b@localhost",
        "redis://u:a?{}=b@localhost",
        "redis://u:a#{}@localhost",
        "redis://u:a@{}@localhost",
        "redis://u:%zz{}@localhost",
        "redis://u:{}%zz@localhost:0",
        "redis://u:[{}@localhost",
        "redis://localhost,password={}",
        "redis://localhost:6379,password={},ssl=true",
        "redis://localhost?password={}",
        "redis://localhost?password=a&{}=b",
        "redis://localhost?username=a&password={}",
        "redis://localhost?dial_timeout={}",
        "redis://localhost?ssl_cert_reqs={}",
        "redis://localhost?client_name={}",
        "redis://localhost?pass={}",
        "redis://localhost?{}",
        "redis://localhost/{}",
        "redis://localhost#{}",
        "http://u:{}@localhost",
        "{}://localhost",
        "unix://u:{}@/run/redis.sock",
        "unix:///run/redis.sock?pass={}",
        "unix:///run/redis.sock?pass=a&{}=b",
        "unix:///run/redis.sock?pass=a+{}",
        "unix:///run/redis.sock?pass=%{}",
        "unix:///run/redis.sock?pass=a#{}",
        "unix:///run/redis.sock?pass={}&pass={}",
        "u:{}@localhost:6379",
        "{}@localhost:6379",
        "localhost,password={}",
        "localhost,password=a,{}",
        "password=a,{}",
        "localhost,password=a,{}=b",
        "localhost,password=a,ssl={}",
        "localhost,password={},password={}",
        "localhost,password={},foo=1",
        "localhost,sentinelPassword={}",
        "localhost,serviceName=a,sentinelPassword={}",
        "localhost,serviceName=a,sentinelPassword={},foo=1",
        "redis+sentinel://:{}@localhost/locks",
        "redis+sentinel://localhost/locks?sentinel_password={}",
        "redis+sentinel://localhost/locks?sentinel_password=a+{}",
        "redis+sentinel://localhost/locks?db={}",
        "localhost,{}=",
        "localhost,{}==",
        "localhost,{}",
        "localhost,ssl={}",
        "localhost,defaultDatabase={}",
        "localhost,connectTimeout={}",
        "localhost,proxy={}",
        "localhost,$CONFIG={}",
        "localhost,${}=a",
        "localhost:{}",
        "local\0host,password={}",
    ] {
        let text = text.replace("{}", CANARY);
        let printed = printed(&with(&text));
        assert!(!printed.contains(CANARY), "{text:?}: {printed}");
    }
}

/// A password of nothing but letters, too, where it has the separator of the form in it.
#[test]
fn no_rest_of_a_password_is_printed() {
    for text in [
        "localhost,password=a,swordfish=b",
        "unix:///run/a?pass=a&swordfish=b",
        "redis://localhost?password=a&sword_fish_swordfish=b",
        "localhost,swordfish=",
        "redis://u:a?swordfish=b@h",
        // By names that are not known, since they are wrong or another client's.
        "redis://localhost?sentinel_password=a&swordfish=b",
        "redis://localhost?passwd=a&swordfish=b",
        "redis://localhost?PWD=a&swordfish=b",
        "redis://localhost?auth=a&swordfish=b",
        "redis://localhost?p=a&client_secret=a&swordfish=b",
        "unix:///run/a?access_token=a&swordfish=b",
        "localhost,pwd=a,swordfish=b",
        "localhost,pw=a,swordfish=b",
        "localhost,pass_word=a,sword_fish=b",
        "localhost,primaryAccessKey=a,swordfish=b",
        "localhost,credentials=a,swordfish=b",
        "pwd=a,swordfish",
    ] {
        let printed = printed(&with(text));
        assert!(!printed.contains("swordfish") && !printed.contains("sword_fish"), "{text:?}: {printed}");
    }
}

#[test]
fn no_key_is_printed() {
    let Pem { certificate, key } = pem();
    let secret: String = key.lines().nth(1).expect("a key has lines").to_owned();
    let tls = with("rediss://localhost");
    for options in [
        tls.clone().tls_client_identity(certificate.clone(), key.clone()),
        tls.clone().tls_client_identity(key.clone(), certificate.clone()),
        tls.clone().tls_client_identity(certificate.clone(), format!("-----BEGIN {secret}")),
        tls.clone().tls_client_identity(format!("-----BEGIN {secret}"), key.clone()),
        tls.tls_root_certificates(format!("-----BEGIN {secret}")),
        with("localhost").tls_client_identity(certificate, key),
    ] {
        let printed = printed(&options);
        assert!(!printed.contains(&secret), "{printed}");
    }
}

proptest! {
    /// A password put anywhere into a string, good or broken, is never printed, unless the string makes it the host
    /// or the path, or a user: these are no secrets.
    #[test]
    fn a_password_anywhere_is_never_printed(
        template in prop::sample::select(&[
            "redis://user:pass@localhost:6379/2?db=1#x",
            "rediss://:pass@[::1]:6379?connectTimeout=100",
            "unix:///run/redis.sock?db=1&user=u&pass=p",
            "localhost:6379,user=u,password=p,ssl=true,defaultDatabase=1,foo=bar",
            "password=p , localhost , serviceName=x,$A=b",
            "redis+sentinel://u:p@h1,h2/locks/2?sentinel_username=u&sentinel_password=p",
        ][..]),
        at in any::<prop::sample::Index>(),
        before in "[/?#@%,=&:\\[\\]!$ \\x00a-c]{0,3}",
        after in "[/?#@%,=&:\\[\\]!$ \\x00a-c]{0,3}",
    ) {
        let (head, tail) = template.split_at(at.index(template.len() + 1));
        let options = with(&format!("{head}{before}{CANARY}{after}{tail}"));
        let public = options.settings().is_ok_and(|settings| {
            let of_sentinels = match &settings.servers {
                Servers::Sentinel(target) => target.credentials.user.as_ref(),
                _ => None,
            };
            let users = settings.credentials.user.iter().chain(of_sentinels);
            settings.server.contains(CANARY) || users.into_iter().any(|user| user.contains(CANARY))
        });
        let printed = printed(&options);
        prop_assert!(public || !printed.contains(CANARY), "{:?}", printed);
    }
}
