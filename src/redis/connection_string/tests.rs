//! Connection strings that are read, those that are refused, and what is said of them.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::stackexchange_options::{Role, all};
use super::target::{Server, Target};
use crate::BuildProblem;

fn target(text: &str) -> Target {
    super::parse(text).unwrap_or_else(|mistakes| panic!("{text:?} is refused: {mistakes:?}"))
}

/// What is said of a string that is refused: part and reason, for each mistake.
fn refused(text: &str) -> Vec<(String, String)> {
    let mistakes = super::parse(text).err().unwrap_or_else(|| panic!("{text:?} is accepted"));
    assert!(!mistakes.is_empty(), "{text:?} is refused without a reason");
    let told = mistakes.into_iter().map(|mistake| match BuildProblem::from(mistake) {
        BuildProblem::ConnectionString { part, reason } => (part, reason),
        other => panic!("{text:?} is refused as {other:?}"),
    });
    told.collect()
}

fn parts(text: &str) -> Vec<String> {
    refused(text).into_iter().map(|(part, _)| part).collect()
}

/// The server as an error shows it, `s` before it for TLS, then database, user and password.
fn seen(text: &str) -> String {
    let Target { server, user, password, database, .. } = target(text);
    let tls = if matches!(server, Server::Tcp { tls: true, .. }) { "s " } else { "" };
    format!("{tls}{server} {database} {user:?} {password:?}").replace("Some(", "").replace(')', "").replace("None", "-")
}

#[test]
fn urls_that_are_read() {
    for (text, expected) in [
        ("redis://localhost", r"localhost:6379 0 - -"),
        ("redis://localhost/", r"localhost:6379 0 - -"),
        ("  redis://localhost:6380\n", r"localhost:6380 0 - -"),
        ("REDIS://localhost", r"localhost:6379 0 - -"),
        ("valkey://localhost", r"localhost:6379 0 - -"),
        ("rediss://redis.example.org", r"s redis.example.org:6379 0 - -"),
        ("valkeys://redis.example.org:7000/3", r"s redis.example.org:7000 3 - -"),
        ("redis://127.0.0.1:1/15", r"127.0.0.1:1 15 - -"),
        ("redis://[::1]", r"[::1]:6379 0 - -"),
        ("redis://[2001:DB8::1]:65535/1", r"[2001:db8::1]:65535 1 - -"),
        ("rediss://[::1]:6379", r"s [::1]:6379 0 - -"),
        ("redis://redis_1:6379", r"redis_1:6379 0 - -"),
        ("redis://u:p@localhost", r#"localhost:6379 0 "u" "p""#),
        ("redis://:p@localhost", r#"localhost:6379 0 - "p""#),
        ("redis://u:@localhost", r#"localhost:6379 0 "u" """#),
        ("redis://:@localhost", r"localhost:6379 0 - -"),
        ("redis://@localhost", r"localhost:6379 0 - -"),
        ("redis://a%40b:c%3Ad%2F%3f%23%25%2C@localhost/2", r#"localhost:6379 2 "a@b" "c:d/?#%,""#),
        ("redis://u:p:q+r=s,t@localhost", r#"localhost:6379 0 "u" "p:q+r=s,t""#),
        ("redis://localhost?db=4&protocol=resp3", r"localhost:6379 4 - -"),
        ("redis://localhost/?DB=4&", r"localhost:6379 4 - -"),
        ("unix:///run/redis.sock", r"unix:/run/redis.sock 0 - -"),
        ("unix:/run/redis.sock", r"unix:/run/redis.sock 0 - -"),
        ("redis+unix:///run/a%20b.sock?db=2&user=u&pass=p%2B%26@", r#"unix:/run/a b.sock 2 "u" "p+&@""#),
        ("valkey+unix:///run/redis.sock?pass=p", r#"unix:/run/redis.sock 0 - "p""#),
    ] {
        assert_eq!(seen(text), expected, "{text:?}");
    }
}

#[test]
fn strings_of_the_stackexchange_form_that_are_read() {
    for (text, expected) in [
        ("localhost", r"localhost:6379 0 - -"),
        ("localhost:6379", r"localhost:6379 0 - -"),
        ("redis:6379", r"redis:6379 0 - -"),
        ("unix:6379", r"unix:6379 0 - -"),
        ("[::1]:6379", r"[::1]:6379 0 - -"),
        ("[::1]", r"[::1]:6379 0 - -"),
        ("10.0.0.1", r"10.0.0.1:6379 0 - -"),
        ("localhost,", r"localhost:6379 0 - -"),
        (" localhost:6380 ,  password = a=b== , user=u ", r#"localhost:6380 0 "u" "a=b==""#),
        ("ssl=false,localhost,password=p", r#"localhost:6379 0 - "p""#),
        ("localhost,PASSWORD=p,DefaultDatabase=3", r#"localhost:6379 3 - "p""#),
        ("localhost,password=a://b@c#d?e/f", r#"localhost:6379 0 - "a://b@c#d?e/f""#),
        ("localhost,password=%41", r#"localhost:6379 0 - "%41""#),
        ("localhost,user=u,password=", r#"localhost:6379 0 "u" """#),
        ("localhost,user=,password=", r"localhost:6379 0 - -"),
        ("redis.example.org,ssl=true", r"s redis.example.org:6380 0 - -"),
        ("redis.example.org,ssl=False", r"redis.example.org:6379 0 - -"),
        ("redis.example.org:6379,ssl=on,sslHost=Redis.Example.Org", r"s redis.example.org:6379 0 - -"),
        ("!/run/redis.sock,defaultDatabase=1", r"unix:/run/redis.sock 1 - -"),
        (
            "localhost,abortConnect=false,connectRetry=3,allowAdmin=true,name=me,resolveDns=1,tiebreaker=,version=7.0,\
             setlib=false,proxy=None,sslProtocols=tls12|tls13,checkCertificateRevocation=false,protocol=3",
            r"localhost:6379 0 - -",
        ),
    ] {
        assert_eq!(seen(text), expected, "{text:?}");
    }
}

#[test]
fn timeouts_are_read_in_their_units() {
    let millis = Duration::from_millis;
    let url = target("redis://localhost?connectTimeout=10&responseTimeout=60000");
    assert_eq!((url.connect_timeout, url.response_timeout), (Some(millis(10)), Some(millis(60_000))));

    let net = target("localhost,connectTimeout=100,responseTimeout=30,asyncTimeout=20,syncTimeout=10,keepAlive=60");
    assert_eq!((net.connect_timeout, net.response_timeout), (Some(millis(100)), Some(millis(30))));
    assert_eq!(net.keep_alive, Some(Duration::from_secs(60)));
    assert_eq!(target("localhost,keepAlive=-1").keep_alive, None);
    assert_eq!(target("localhost,syncTimeout=50,asyncTimeout=20").response_timeout, Some(millis(20)));
    assert_eq!(target("localhost,asyncTimeout=20,syncTimeout=50").response_timeout, Some(millis(20)));
    assert_eq!(target("localhost").response_timeout, None);
}

/// Each string is refused for one part alone.
fn refused_for(expected: &[(&str, &str)]) {
    for (text, part) in expected {
        assert_eq!(parts(text), [*part], "{text:?}: {:?}", refused(text));
    }
}

#[test]
fn what_is_refused_of_urls_is_named() {
    refused_for(&[
        ("", "text"),
        (" \t\n", "text"),
        ("local\0host", "text"),
        ("redis://local\nhost", "text"),
        ("http://localhost", "scheme"),
        ("://localhost", "scheme"),
        ("redis://", "host"),
        ("redis:///0", "host"),
        ("redis://:6379", "host"),
        ("redis://u:p@", "host"),
        ("redis://a b", "host"),
        ("redis://h%41st", "host"),
        ("redis://::1", "host"),
        ("redis://[::1", "host"),
        ("redis://[::1]6379", "host"),
        ("redis://[127.0.0.1]", "host"),
        ("redis://0.0.0.0", "host"),
        ("redis://[::]:6379", "host"),
        ("redis://ho\u{df}t", "host"),
        ("rediss://a..b", "host"),
        ("redis://localhost:", "port"),
        ("redis://localhost:0", "port"),
        ("redis://localhost:65536", "port"),
        ("redis://localhost:99999999999999999999999", "port"),
        ("redis://localhost:abc", "port"),
        ("redis://localhost:+1", "port"),
        ("redis://localhost/-1", "database"),
        ("redis://localhost/2147483648", "database"),
        ("redis://localhost/a", "database"),
        ("redis://localhost/1/2", "database"),
        ("redis://localhost/1?db=1", "db"),
        ("redis://localhost?db=", "db"),
        ("redis://localhost?db=1&db=1", "db"),
        ("redis://localhost?foo=1", "option \"foo\""),
        ("redis://localhost?db=1&pa2=1", "option 2"),
        ("redis://localhost?pass=p", "option \"pass\""),
        ("redis://localhost?protocol=2", "protocol"),
        ("redis://localhost?connectTimeout=9", "connectTimeout"),
        ("redis://localhost?responseTimeout=60001", "responseTimeout"),
        ("rediss://localhost/#insecure", "fragment"),
        ("redis://localhost#a", "fragment"),
        ("redis://u%zz:p@localhost", "user"),
        ("redis://u:p%4@localhost", "password"),
        ("redis://u:p%ff@localhost", "password"),
        ("redis://u:p%é@localhost", "password"),
        ("redis://u@localhost", "user"),
        ("redis://u:p/q@localhost", "user and password"),
        ("redis://u:p?q@localhost", "user and password"),
        ("redis://u:p#q@localhost", "user and password"),
        ("redis://u:p@q@localhost", "user and password"),
        ("unix://localhost/run/redis.sock", "path"),
        ("unix://u:p@/run/redis.sock", "path"),
        ("unix:///", "path"),
        ("unix:///a%00b", "path"),
        ("unix:///a?foo=1", "option \"foo\""),
        ("unix:///a?user=u", "user"),
        ("unix:///a?pass=a+b", "password"),
        ("unix:///a?pass=p&q=1", "option 2"),
        ("unix:///a#b", "fragment"),
    ]);
}

#[test]
fn what_is_refused_of_the_stackexchange_form_is_named() {
    refused_for(&[
        ("localhost:0", "port"),
        ("localhost:65536", "port"),
        ("localhost:abc", "port"),
        ("localhost:", "port"),
        (",", "host"),
        ("ssl=true", "host"),
        ("::1", "host"),
        ("a:6379,b:6379", "host"),
        ("u:p@localhost:6379", "host"),
        ("p@localhost", "host"),
        ("localhost,password=a,b", "password"),
        ("password=a,localhost", "password"),
        ("localhost,foo=1", "option \"foo\""),
        ("localhost,foo", "host"),
        ("localhost,=1", "option 2"),
        ("localhost,password=a,foo=1", "option 3"),
        ("localhost,c2VjcmV0=", "option 2"),
        ("localhost,secret==", "option 2"),
        ("localhost,user=u", "user"),
        ("localhost,ssl=maybe", "ssl"),
        ("localhost,ssl=true,ssl=false", "ssl"),
        ("localhost,ssl=true,sslHost=other", "sslHost"),
        ("!/run/redis.sock,ssl=true", "ssl"),
        ("!run", "path"),
        ("localhost,defaultDatabase=-1", "defaultDatabase"),
        ("localhost,defaultDatabase=2147483648", "defaultDatabase"),
        ("localhost,connectTimeout=0", "connectTimeout"),
        ("localhost,syncTimeout=1s", "syncTimeout"),
        ("localhost,keepAlive=-2", "keepAlive"),
        ("localhost,protocol=resp2", "protocol"),
        ("localhost,sslProtocols=tls13", "sslProtocols"),
        ("localhost,sslProtocols=tls|tls12", "sslProtocols"),
        ("localhost,checkCertificateRevocation=true", "checkCertificateRevocation"),
        ("localhost,highIntegrity=true", "highIntegrity"),
        ("localhost,proxy=twemproxy", "proxy"),
        ("localhost,maintNotifications=enabled", "maintNotifications"),
        ("localhost,serviceName=main", "serviceName"),
        ("localhost,sentinelPassword=p", "sentinelPassword"),
        ("localhost,channelPrefix=a", "channelPrefix"),
        ("localhost,defaults=azure", "defaults"),
        ("localhost,tunnel=http:a:1", "tunnel"),
        ("localhost,$CONFIG=", "option 2, which starts with '$'"),
    ]);
}

#[test]
fn every_mistake_is_told_at_once() {
    assert_eq!(parts("redis://h!:0/a?b=c&db=x#d"), ["host", "port", "fragment", "database", "option \"b\"", "db"]);
    assert_eq!(parts("h!:0,ssl=a,foo=b,user=u"), ["ssl", "option \"foo\"", "host", "port", "user"]);
}

#[test]
fn an_unknown_option_is_told_what_is_allowed() {
    let told = refused("localhost,conectTimeout=5");
    let (_, reason) = told.first().expect("one mistake");
    assert!(reason.contains("connectTimeout") && reason.contains("abortConnect"), "{reason}");
    assert!(!reason.contains("serviceName"), "{reason}");
}

/// The documentation lists every option, and each of those without effect is accepted with any value.
#[test]
fn the_documented_options_are_the_known_ones() {
    let docs = include_str!("../options.rs");
    for known in all() {
        assert!(docs.contains(&format!("`{}`", known.name)), "{} is not documented", known.name);
        if matches!(known.role, Role::Ignored) {
            target(&format!("localhost,{}=anything at all", known.name));
        }
    }
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9_-]{0,20}(\\.[a-z0-9]{1,5}){0,3}",
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ]
    .prop_filter("nobody can be reached at it", |host| host != "0.0.0.0" && host != "[::]")
}

proptest! {
    #[test]
    fn a_url_says_what_was_put_into_it(
        host in host(), port in 1..=u16::MAX, db in 0..=i32::MAX, user in ".{1,12}", password in ".{0,24}",
    ) {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let target = target(&format!("redis://{}:{}@{host}:{port}/{db}", encoded(&user), encoded(&password)));
        prop_assert_eq!(target.server.to_string(), format!("{host}:{port}"));
        prop_assert_eq!(target.database, i64::from(db));
        prop_assert_eq!((target.user, target.password), (Some(user), Some(password)));
    }

    #[test]
    fn the_stackexchange_form_says_what_was_put_into_it(
        host in host(), port in 1..=u16::MAX, db in 0..=i32::MAX,
        user in "[^,\\s\\p{Cc}]{1,12}", password in "[^,\\s\\p{Cc}]{0,24}",
    ) {
        let text = format!("{host}:{port},user={user},defaultDatabase={db} , password={password}");
        let target = target(&text);
        prop_assert_eq!(target.server.to_string(), format!("{host}:{port}"));
        prop_assert_eq!(target.database, i64::from(db));
        prop_assert_eq!((target.user, target.password), (Some(user), Some(password)));
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        _ = super::parse(&text);
    }

    #[test]
    fn nothing_made_of_the_usual_pieces_panics(pieces in prop::collection::vec(piece(), 0..12)) {
        _ = super::parse(&pieces.concat());
    }
}

/// What connection strings are made of, valid and not.
fn piece() -> impl Strategy<Value = String> {
    const FIXED: &[&str] = &[
        "redis://",
        "rediss://",
        "unix:",
        "//",
        "/",
        ":",
        "@",
        "?",
        "&",
        "#",
        ",",
        "=",
        "%",
        "%4",
        "%41",
        "[",
        "]",
        "::1",
        "!",
        "$",
        "é",
        "\0",
        " ",
        "localhost",
        "6379",
        "0",
        "-1",
        "db",
        "pass",
        "user",
        "password",
        "ssl",
        "true",
        "defaultDatabase",
        "serviceName",
    ];
    prop_oneof![4 => prop::sample::select(FIXED).prop_map(str::to_owned), 1 => any::<String>()]
}
