//! Connection strings that are read, those that are refused, and the reasons.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::target::{Credentials, Given, SentinelTarget, Servers, Target};
use super::{query_options, stackexchange_options};
use crate::BuildProblem;

fn target(text: &str) -> Target {
    super::parse(text).unwrap_or_else(|mistakes| panic!("{text:?} is refused: {mistakes:?}"))
}

/// The part and the reason of each mistake in a string.
fn refused(text: &str) -> Vec<(String, String)> {
    let mistakes = super::parse(text).err().unwrap_or_else(|| panic!("{text:?} is accepted"));
    assert!(!mistakes.is_empty(), "{text:?} is refused without a reason");
    let problems = mistakes.into_iter().map(|mistake| match BuildProblem::from(mistake) {
        BuildProblem::ConnectionString { part, reason } => (part, reason),
        other => panic!("{text:?} is refused as {other:?}"),
    });
    problems.collect()
}

fn parts(text: &str) -> Vec<String> {
    refused(text).into_iter().map(|(part, _)| part).collect()
}

/// The servers as an error shows them, `s` before them for TLS, then database, user and password, and those of sentinels.
fn seen(text: &str) -> String {
    let Target { servers, credentials: Credentials { user, password }, database, .. } = target(text);
    let tls = if servers.use_tls() { "s " } else { "" };
    let of_sentinels = match &servers {
        Servers::Sentinel(SentinelTarget { credentials: Credentials { user, password }, .. }) => {
            format!(" {user:?} {password:?}")
        }
        Servers::One(_) | Servers::AnyOf(_) | Servers::Cluster(_) => String::new(),
    };
    let rest = format!(" {database} {user:?} {password:?}{of_sentinels}");
    format!("{tls}{servers}{}", rest.replace("Some(", "").replace(')', "").replace("None", "-"))
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
    for (text, expected) in [
        ("redis://localhost?connectTimeout=10&responseTimeout=60000", (10, 60_000, 0)),
        (
            "localhost,connectTimeout=100,responseTimeout=30,asyncTimeout=20,syncTimeout=10,keepAlive=60",
            (100, 30, 60_000),
        ),
        ("localhost,keepAlive=-1", (0, 0, 0)),
        ("localhost,syncTimeout=50,asyncTimeout=20", (0, 20, 0)),
        ("localhost,asyncTimeout=20,syncTimeout=50", (0, 20, 0)),
        ("localhost", (0, 0, 0)),
        ("redis://localhost?dial_timeout=5s&read_timeout=500ms", (5_000, 500, 0)),
        ("redis://localhost?dial_timeout=5&read_timeout=1m0.5s", (5_000, 60_000, 0)),
        ("redis://localhost?socket_connect_timeout=2.5&socket_timeout=0.75", (2_500, 750, 0)),
        ("redis://localhost?timeout=3s", (0, 3_000, 0)),
        ("redis://localhost?commandTimeout=700", (0, 700, 0)),
        // Several options name the same setting, for clients in several languages. This crate's own name counts, in any order.
        ("redis://localhost?dial_timeout=5s&connectTimeout=100&socket_connect_timeout=1", (100, 0, 0)),
        ("redis://localhost?socket_timeout=1&timeout=5s&read_timeout=2s", (0, 2_000, 0)),
    ] {
        let Target { connect_timeout, response_timeout, keep_alive, .. } = target(text);
        let millis = |given: Option<Given>| given.map_or(0, |given| given.time.as_millis());
        assert_eq!((millis(connect_timeout), millis(response_timeout), millis(keep_alive)), expected, "{text:?}");
    }
}

/// Such a string was written for a client with longer time-outs.
#[test]
fn times_above_the_maximum_become_the_maximum() {
    for (text, option) in [
        ("redis://localhost?responseTimeout=60001", "responseTimeout"),
        ("redis://localhost?dial_timeout=5m", "dial_timeout"),
        ("redis://localhost?read_timeout=-1", "read_timeout"),
        ("redis://localhost?socket_timeout=3600.5", "socket_timeout"),
        ("redis://localhost?timeout=1d", "timeout"),
        ("localhost,connectTimeout=100000", "connectTimeout"),
        ("localhost,syncTimeout=2147483647", "syncTimeout"),
        ("localhost,syncTimeout=99999999999999999999999", "syncTimeout"),
    ] {
        let Target { connect_timeout, response_timeout, .. } = target(text);
        let given = connect_timeout.or(response_timeout).expect("one is given");
        assert_eq!(given, Given { time: Duration::from_secs(60), option, shortened: true }, "{text:?}");
    }
    let kept = target("localhost,connectTimeout=60000").connect_timeout.expect("it is given");
    assert!(!kept.shortened);
    let keep_alive = target("localhost,keepAlive=86400").keep_alive.expect("it is given");
    assert_eq!((keep_alive.time, keep_alive.shortened), (Duration::from_secs(32_767), true));
}

/// Each string is refused for one part alone.
fn refused_for(expected: &[(&str, &str)]) {
    for (text, part) in expected {
        assert_eq!(parts(text), [*part], "{text:?}: {:?}", refused(text));
    }
}

#[test]
fn the_refused_part_of_a_url_is_named() {
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
        ("redis://localhost?pass=p", "pass"),
        ("redis://localhost?protocol=2", "protocol"),
        ("redis://localhost?connectTimeout=9", "connectTimeout"),
        ("redis://localhost?responseTimeout=1s", "responseTimeout"),
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
fn the_refused_part_of_a_stackexchange_string_is_named() {
    refused_for(&[
        ("localhost:0", "port"),
        ("localhost:65536", "port"),
        ("localhost:abc", "port"),
        ("localhost:", "port"),
        (",", "host"),
        ("ssl=true", "host"),
        ("::1", "host"),
        ("a:6379,b", "host"),
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
        ("localhost,serviceName=", "serviceName"),
        ("localhost,serviceName=a b", "serviceName"),
        ("!/run/redis.sock,serviceName=locks", "serviceName"),
        ("localhost,sentinelPassword=p", "serviceName"),
        ("localhost,serviceName=locks,sentinelUser=u", "sentinelUser"),
        ("localhost,serviceName=locks,ssl=true,sslHost=other", "sslHost"),
        ("localhost,channelPrefix=a", "channelPrefix"),
        ("localhost,defaults=azure", "defaults"),
        ("localhost,tunnel=http:a:1", "tunnel"),
        ("localhost,$CONFIG=", "option 2, which starts with '$'"),
    ]);
}

/// Parameters of other clients that would be relied on in vain are refused, and their names are repeated: no password is
/// before them.
#[test]
fn refused_parameters_of_other_clients_are_named() {
    refused_for(&[
        ("redis://localhost?family=6", "family"),
        ("redis://localhost?ssl_cert_reqs=required", "ssl_cert_reqs"),
        ("rediss://localhost?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("rediss://localhost?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs"),
        ("rediss://localhost?ssl_check_hostname=false", "ssl_check_hostname"),
        ("rediss://localhost?ssl_ca_certs=/etc/ssl/ca.pem", "ssl_ca_certs"),
        ("rediss://localhost?skip_verify=true", "skip_verify"),
        ("rediss://localhost?verifyPeer=NONE", "verifyPeer"),
        ("redis://localhost?ssl=true", "ssl"),
        ("redis://localhost?tls=true", "tls"),
        ("redis://localhost?keyPrefix=app:", "keyPrefix"),
        ("redis://localhost?master_name=mymaster", "master_name"),
        ("redis://localhost?addr=other:6379", "addr"),
        ("redis://localhost?timeout=5000", "timeout"),
        ("redis://localhost?timeout=", "timeout"),
        ("redis://localhost?dial_timeout=0", "dial_timeout"),
        ("redis://localhost?dial_timeout=5 s", "dial_timeout"),
        ("redis://localhost?dial_timeout=1x", "dial_timeout"),
        ("redis://localhost?dial_timeout=s", "dial_timeout"),
        ("redis://localhost?socket_timeout=1e3", "socket_timeout"),
        ("redis://localhost?database=1&db=1", "db"),
        ("redis://localhost?password=p", "password"),
        ("redis://localhost?visibility_timeout=1", "option \"visibility_timeout\""),
        ("redis://localhost?max-pool=1", "option \"max-pool\""),
        ("redis://localhost?_a=1", "option 1"),
        ("localhost,max_pool=1", "option \"max_pool\""),
        ("localhost,prefix=app:", "prefix"),
        ("redis://localhost?sentinelMasterId=mymaster", "sentinelMasterId"),
        ("redis://localhost?sentinel_password=p", "sentinel_password"),
        ("redis+sentinel://localhost:x/locks", "port"),
        ("redis+sentinel://localhost", "service"),
        ("redis+sentinel://localhost/", "service"),
        ("redis+sentinel://localhost/a%20b", "service"),
        ("redis+sentinel://localhost/locks#locks", "database"),
        ("redis+sentinel://localhost?sentinelMasterId=locks#locks", "service"),
        ("redis+sentinel://localhost/locks/x", "database"),
        ("redis+sentinel://localhost/locks/1?db=1", "db"),
        ("redis+sentinel:///locks", "host"),
        ("redis+sentinel://h1,,h2/locks", "host"),
        ("redis+sentinel://h1:0/locks", "port"),
        ("redis+sentinel://h1/locks?sentinel_username=u", "sentinel_username"),
        ("redis+sentinel://h1/locks?password=p", "password"),
        ("redis+sentinel://h1/locks?ssl=true", "ssl"),
        ("redis+cluster://localhost/1", "database"),
        ("redis+cluster://localhost?db=1", "database"),
        ("redis+cluster://h1,h2:x", "port"),
        ("redis+clusters://localhost", "scheme"),
    ]);
    // What follows a password may be the rest of it.
    assert_eq!(parts("redis://localhost?password=a&max_pool=1"), ["password", "option 2"]);
}

/// Strings as in public repositories, with other names and passwords.
#[test]
fn strings_as_they_are_found_in_public_files_are_read() {
    for (text, expected) in [
        // StackExchange.Redis, and Azure's own texts.
        (
            "127.0.0.1:6379,defaultDatabase=1,connectTimeout=100000,syncTimeout=100000,connectRetry=50",
            "127.0.0.1:6379 1 - -",
        ),
        ("localhost,abortConnect=false,connectTimeout=30000,responseTimeout=30000", "localhost:6379 0 - -"),
        (
            "127.0.0.1:6379,abortConnect=false,connectTimeout=3000,responseTimeout=3000,syncTimeout=3000",
            "127.0.0.1:6379 0 - -",
        ),
        (
            "cache.redis.cache.windows.net,abortConnect=false,ssl=true,password=a+b/c=",
            "s cache.redis.cache.windows.net:6380 0 - \"a+b/c=\"",
        ),
        (
            "cache.redis.cache.windows.net:6380,password=abc=,ssl=True,abortConnect=False,ConnectRetry=3,\
             ConnectTimeout=5000,SyncTimeout=5000",
            "s cache.redis.cache.windows.net:6380 0 - \"abc=\"",
        ),
        (
            "redis-master.app.svc.cluster.local:6379,password=p,ssl=False",
            "redis-master.app.svc.cluster.local:6379 0 - \"p\"",
        ),
        ("127.0.0.1:6379,password=,connectTimeout=1000,connectRetry=1,syncTimeout=10000", "127.0.0.1:6379 0 - -"),
        (
            "10.5.25.160:6379,password=p,abortConnect=false,connectTimeout=50000,syncTimeout=50000",
            "10.5.25.160:6379 0 - \"p\"",
        ),
        ("127.0.0.1:1,connectTimeout=500,syncTimeout=500,asyncTimeout=500", "127.0.0.1:1 0 - -"),
        ("localhost:6379,allowAdmin=true,DefaultDatabase=0", "localhost:6379 0 - -"),
        ("localhost:6379, abortConnect=false, keepAlive=180", "localhost:6379 0 - -"),
        ("redis:6379,resolvedns=1,abortConnect=False", "redis:6379 0 - -"),
        ("localhost:6379,user=app,password=p,sslprotocols=tls12,ssl=true", "s localhost:6379 0 \"app\" \"p\""),
        ("localhost:6379,syncTimeout=2147483647", "localhost:6379 0 - -"),
        ("localhost:6379,name=worker,protocol=resp3,writeBuffer=10240,poolsize=50", "localhost:6379 0 - -"),
        ("127.0.0.1:6379,password=p,defaultDatabase=13,poolsize=50,ssl=false,preheat=5", "127.0.0.1:6379 13 - \"p\""),
        // redis-py, Celery and Django.
        (
            "rediss://default:p@db.example.com:25061?ssl_cert_reqs=required",
            "s db.example.com:25061 0 \"default\" \"p\"",
        ),
        ("rediss://:p@cache.example.com:6380/0?ssl_cert_reqs=CERT_REQUIRED", "s cache.example.com:6380 0 - \"p\""),
        ("redis://localhost:6379/1?socket_timeout=5&socket_connect_timeout=5", "localhost:6379 1 - -"),
        ("redis://localhost:6379/0?decode_responses=True&health_check_interval=30", "localhost:6379 0 - -"),
        ("redis://localhost:6379?db=2&max_connections=50&retry_on_timeout=true", "localhost:6379 2 - -"),
        ("rediss://localhost:6379/0?ssl_check_hostname=true&socket_keepalive=true", "s localhost:6379 0 - -"),
        ("redis://localhost:6379/0?protocol=3&encoding=utf-8", "localhost:6379 0 - -"),
        ("unix:///tmp/redis.sock?db=1", "unix:/tmp/redis.sock 1 - -"),
        ("unix:///run/redis.sock?username=app&password=p", "unix:/run/redis.sock 0 \"app\" \"p\""),
        ("redis+socket:///tmp/redis.sock", "unix:/tmp/redis.sock 0 - -"),
        // go-redis.
        ("redis://:qwerty@localhost:6379/1?dial_timeout=5s", "localhost:6379 1 - \"qwerty\""),
        ("redis://u:p@localhost:6379/0?protocol=3&pool_size=100&min_idle_conns=10", "localhost:6379 0 \"u\" \"p\""),
        ("redis://localhost?db=1&read_timeout=3s&write_timeout=3s&max_retries=2", "localhost:6379 1 - -"),
        ("rediss://localhost:6380/0?client_name=api&idle_timeout=5m&skip_verify=false", "s localhost:6380 0 - -"),
        ("redis://localhost:6379/0?conn_max_idle_time=30m&pool_timeout=4s&pool_fifo=true", "localhost:6379 0 - -"),
        // ioredis, BullMQ and node-redis.
        ("redis://default:p@redis.railway.internal:6379?family=0", "redis.railway.internal:6379 0 \"default\" \"p\""),
        ("redis://u:p@127.0.0.1:6380/4?allowUsernameInURI=true", "127.0.0.1:6380 4 \"u\" \"p\""),
        ("rediss://localhost:6379?rejectUnauthorized=true&connectTimeout=10000", "s localhost:6379 0 - -"),
        ("redis://localhost:6379/0?maxRetriesPerRequest=3&enableReadyCheck=false", "localhost:6379 0 - -"),
        ("redis://localhost:6379?lazyConnect=true&connectionName=app", "localhost:6379 0 - -"),
        // Lettuce, Jedis and Spring.
        ("redis://u:p@localhost/2?timeout=10s&clientName=api", "localhost:6379 2 \"u\" \"p\""),
        ("rediss://localhost:6380?timeout=500ms&verifyPeer=FULL&libraryName=a", "s localhost:6380 0 - -"),
        ("redis-socket:///tmp/redis.sock?database=1&timeout=1m", "unix:/tmp/redis.sock 1 - -"),
        // Predis, Laravel and redis-rb.
        ("redis://localhost?database=15", "localhost:6379 15 - -"),
        ("redis://localhost:6379/0?ssl=false&reconnect_attempts=3", "localhost:6379 0 - -"),
        // Heroku, Upstash and other hosts.
        (
            "rediss://:p123@ec2-1-2-3-4.compute-1.amazonaws.com:19000",
            "s ec2-1-2-3-4.compute-1.amazonaws.com:19000 0 - \"p123\"",
        ),
        ("rediss://default:p@eu1-one-crab-1.upstash.io:6379", "s eu1-one-crab-1.upstash.io:6379 0 \"default\" \"p\""),
        ("redis://red-abc:6379", "red-abc:6379 0 - -"),
    ] {
        assert_eq!(seen(text), expected, "{text:?}");
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    assert_eq!(parts("redis://h!:0/a?b=c&db=x#d"), ["host", "port", "fragment", "database", "option \"b\"", "db"]);
    assert_eq!(parts("h!:0,ssl=a,foo=b,user=u"), ["ssl", "option \"foo\"", "host", "port", "user"]);
}

#[test]
fn the_error_of_an_unknown_option_lists_the_allowed_ones() {
    let mistakes = refused("localhost,conectTimeout=5");
    let (_, reason) = mistakes.first().expect("one mistake");
    assert!(reason.contains("connectTimeout") && reason.contains("abortConnect"), "{reason}");
    assert!(reason.contains("serviceName") && !reason.contains("tunnel"), "{reason}");
}

/// The documentation lists every option, and each of those without effect is accepted with any value.
#[test]
fn the_documented_options_are_the_known_ones() {
    let docs = include_str!("../options.rs");
    let documented = |name: &str| assert!(docs.contains(&format!("`{name}`")), "{name} is not documented");
    for known in stackexchange_options::all() {
        documented(known.name);
        if matches!(known.role, stackexchange_options::Role::Ignored) {
            target(&format!("localhost,{}=anything at all", known.name));
        }
    }
    for known in query_options::all() {
        documented(known.name);
        if matches!(known.role, query_options::Role::Ignored) {
            target(&format!("rediss://localhost?{}=anything%20at%20all", known.name));
        }
    }
}

#[test]
fn sentinels_are_read_in_each_form() {
    for (text, expected) in [
        ("redis+sentinel://h1/locks", "locks (sentinels h1:26379) 0 - - - -"),
        ("redis+sentinel://h1:1,h2,[::1]:3/locks/2", "locks (sentinels h1:1,h2:26379,[::1]:3) 2 - - - -"),
        ("redis+sentinel://h1,h1:26379,h2/locks", "locks (sentinels h1:26379,h2:26379) 0 - - - -"),
        ("rediss+sentinel://u:p@h1/locks/", r#"s locks (sentinels h1:26379) 0 "u" "p" - -"#),
        ("valkey+sentinel://:p@h1/a.b-c_d", r#"a.b-c_d (sentinels h1:26379) 0 - "p" - -"#),
        (
            "redis+sentinel://h1/locks?db=3&sentinel_username=a&sentinel_password=b%26",
            r#"locks (sentinels h1:26379) 3 - - "a" "b&""#,
        ),
        // Lettuce's forms.
        ("redis-sentinel://:p@h1,h2/0?sentinelMasterId=locks", r#"locks (sentinels h1:26379,h2:26379) 0 - "p" - -"#),
        ("rediss-sentinel://h1:5000/1#locks", "s locks (sentinels h1:5000) 1 - - - -"),
        ("h1,h2:1,serviceName=locks", "locks (sentinels h1:26379,h2:1) 0 - - - -"),
        (
            "h1,serviceName=locks,password=p,sentinelUser=a,sentinelPassword=b,ssl=true,defaultDatabase=1",
            r#"s locks (sentinels h1:26379) 1 - "p" "a" "b""#,
        ),
    ] {
        assert_eq!(seen(text), expected, "{text}");
    }
}

/// With Sentinel TLS may be used to the servers, to the sentinels, to both, or to none.
#[test]
fn tls_is_said_for_sentinels_and_servers_apart() {
    let of = |text: &str| match target(text).servers {
        Servers::Sentinel(SentinelTarget { sentinels, tls, .. }) => (sentinels[0].uses_tls(), tls),
        _ => unreachable!("{text}"),
    };
    for (text, expected) in [
        ("redis+sentinel://h1/locks", (false, false)),
        ("rediss+sentinel://h1/locks", (true, true)),
        ("redis+sentinel://h1/locks?sentinel_ssl=true", (true, false)),
        ("rediss+sentinel://h1/locks?sentinel_ssl=false", (false, true)),
        ("redis+sentinel://h1/locks?sentinel_ssl=no", (false, false)),
        ("h1,serviceName=locks,ssl=true", (true, true)),
        ("h1,serviceName=locks,ssl=true,sentinelSsl=false", (false, true)),
        ("h1,sentinelSsl=true,serviceName=locks", (true, false)),
    ] {
        assert_eq!(of(text), expected, "{text}");
    }
    for (text, part) in [
        ("redis://h1?sentinel_ssl=true", "sentinel_ssl"),
        ("redis+cluster://h1?sentinel_ssl=true", "sentinel_ssl"),
        ("redis+sentinel://h1/locks?sentinel_ssl=maybe", "sentinel_ssl"),
        ("redis+sentinel://h1/locks?sentinel_ssl=true&sentinel_ssl=true", "sentinel_ssl"),
        ("redis+sentinel://h1/locks?ssl=true", "ssl"),
        ("h1:1,sentinelSsl=true", "sentinelSsl"),
        ("h1:1,h2:1,sentinelSsl=false", "sentinelSsl"),
        ("h1,serviceName=locks,sentinelSsl=maybe", "sentinelSsl"),
    ] {
        assert_eq!(parts(text), [part], "{text}");
    }
}

#[test]
fn a_server_of_several_has_no_scheme_of_its_own() {
    for text in ["redis+cluster://h1,rediss://h2", "redis+sentinel://h1,rediss://h2/locks", "h1:6379,rediss://h2:6380"]
    {
        let mistakes = refused(text);
        let (part, reason) = &mistakes[0];
        assert!(*part == "host" && reason.contains("scheme of its own"), "{text}: {mistakes:?}");
    }
    let (_, reason) = refused("h1:6379,rediss://h2:6380").remove(0);
    assert!(reason.contains("(h2:6380)"), "{reason}");
}

#[test]
fn clusters_are_read() {
    assert_eq!(seen("redis+cluster://h1,h2:7000,h1:6379"), "the cluster of h1:6379,h2:7000 0 - -");
    assert_eq!(seen("rediss+cluster://u:p@h1/0"), r#"s the cluster of h1:6379 0 "u" "p""#);
    assert_eq!(seen("valkey+cluster://:p@h1/?db=0"), r#"the cluster of h1:6379 0 - "p""#);
}

#[test]
fn several_servers_are_read_and_at_most_64() {
    assert_eq!(seen("h1,h2:1,h1:6379"), "h1:6379,h2:1 0 - -");
    assert_eq!(seen("h1,h2:6381,ssl=true,password=p"), r#"s h1:6380,h2:6381 0 - "p""#);
    assert_eq!(seen("h1,h1:6379"), "h1:6379 0 - -");
    let hosts = |count: usize| (0..count).map(|number| format!("h{number}:1")).collect::<Vec<_>>().join(",");
    for (before, after) in
        [("redis+sentinel://", "/locks"), ("redis+cluster://", ""), ("", ",serviceName=locks"), ("", "")]
    {
        target(&format!("{before}{}{after}", hosts(64)));
        assert_eq!(parts(&format!("{before}{}{after}", hosts(65))), ["host"]);
    }
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9_-]{0,20}(\\.[a-z0-9]{1,5}){0,3}",
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ]
    .prop_filter("no server can be reached at it", |host| host != "0.0.0.0" && host != "[::]")
}

proptest! {
    #[test]
    fn a_url_says_what_was_put_into_it(
        host in host(), port in 1..=u16::MAX, db in 0..=i32::MAX, user in ".{1,12}", password in ".{0,24}",
    ) {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let target = target(&format!("redis://{}:{}@{host}:{port}/{db}", encoded(&user), encoded(&password)));
        prop_assert_eq!(target.servers.to_string(), format!("{host}:{port}"));
        prop_assert_eq!(target.database, i64::from(db));
        prop_assert_eq!((target.credentials.user, target.credentials.password), (Some(user), Some(password)));
    }

    #[test]
    fn the_stackexchange_form_says_what_was_put_into_it(
        host in host(), port in 1..=u16::MAX, db in 0..=i32::MAX,
        user in "[^,\\s\\p{Cc}]{1,12}", password in "[^,\\s\\p{Cc}]{0,24}",
    ) {
        let text = format!("{host}:{port},user={user},defaultDatabase={db} , password={password}");
        let target = target(&text);
        prop_assert_eq!(target.servers.to_string(), format!("{host}:{port}"));
        prop_assert_eq!(target.database, i64::from(db));
        prop_assert_eq!((target.credentials.user, target.credentials.password), (Some(user), Some(password)));
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

/// Pieces of valid and invalid connection strings.
fn piece() -> impl Strategy<Value = String> {
    const FIXED: &[&str] = &[
        "redis://",
        "rediss://",
        "redis+sentinel://",
        "sentinel_password",
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
