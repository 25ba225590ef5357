//! Connection strings with the mark in every place where a password may be, or may get to by mistake.

use super::outputs::{MARK, Outputs};
use super::rounds;

const BAD: [&str; 52] = [
    // URLs: the user, the password, the host, the port, the database, parameters, the fragment, the scheme.
    "redis://{}@localhost",
    "redis://{}:@:1",
    "redis://user:{}@",
    "redis://user:{}@:6379",
    "redis://user:{}@host:port",
    "redis://user:{}@host:99999",
    "redis://user:{}@host/database",
    "redis://user:{}@host:6379/0/1",
    "redis://:{}%@host",
    "redis://:%zz{}@host",
    "redis://{}%:x@host",
    "redis://user:{}/more@host",
    "redis://user:{}?more@host",
    "redis://user:{}#more@host",
    "redis://user:{}@more@host",
    "redis://user:a@host:{}",
    "redis://host:{}",
    "redis://[{}",
    "redis://[::1]{}",
    "redis://host/{}",
    "redis://host?{}",
    "redis://host?{}=1",
    "redis://host?db={}",
    "redis://host?password={}",
    "redis://host?pass={}",
    "redis://host?user={}&pass=x",
    "redis://host?connectTimeout={}",
    "redis://host?responseTimeout={}",
    "redis://host?protocol={}",
    "redis://host#{}",
    "rediss://:{}@host#insecure",
    "http://user:{}@host",
    "{}://host",
    "//{}",
    // Unix sockets.
    "unix:{}",
    "unix://user:{}@/run/redis.sock",
    "unix:///run/redis.sock?pass={}%",
    "unix:///run/redis.sock?user={}",
    "unix:///run/redis.sock?{}",
    "unix:///run/redis.sock#{}",
    // The form of StackExchange.Redis.
    "{}=1",
    "host,{}=1",
    "host,{}=",
    "host,password=a,{}",
    "host,password=a,{},b",
    "host,password=a,{}=b",
    "host,password={},user",
    "host,ssl={}",
    "host,defaultDatabase={}",
    "host,password={},password={}",
    "host,${}=x",
    "host,user={}",
];

#[test]
fn mistakes_in_connection_strings_repeat_nothing() {
    Outputs::of(async |out| {
        // Something has to be told at all.
        tracing::info!(target: "orchestrix_locking", "connection strings");
        for secret in [MARK.to_owned(), format!("{MARK}=={MARK}"), format!("pa%20{MARK}"), format!("x:{MARK}")] {
            for bad in BAD {
                let string = bad.replace("{}", &secret);
                let options = rounds::options(&string);
                out.debug(&options);
                // Some of them are no mistake with some secrets.
                rounds::provider(out, options);
            }
        }
        for bad in BAD {
            let string = bad.replace("{}", "x\n");
            assert!(rounds::provider(out, rounds::options(&string)).is_none(), "{string:?} is a mistake");
        }
    });
}

/// The other options that are secrets: a private key, and what is taken for one.
#[test]
fn keys_that_do_not_parse_are_not_repeated() {
    Outputs::of(async |out| {
        tracing::info!(target: "orchestrix_locking", "keys");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{MARK}\n-----END PRIVATE KEY-----\n");
        for string in ["rediss://host", "redis://host"] {
            let options = rounds::options(string);
            assert!(rounds::provider(out, options.clone().tls_client_identity(pem.clone(), pem.clone())).is_none());
            assert!(rounds::provider(out, options.tls_root_certificates(MARK)).is_none());
        }
    });
}
