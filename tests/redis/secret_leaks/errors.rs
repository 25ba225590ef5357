//! Every error of a real server that this crate knows of, with a secret in reach of each.

use std::fs::read;
use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLockProvider, LockOptions, RedisLockProvider};
use redis::cmd;

use super::outputs::{MARK, Outputs, PASSWORD};
use super::rounds::{hold, options, provider, round};
use crate::outages::scene::SOON;
use crate::support::{Certificates, RedisServer};

/// One round with a server at this address, which need not be there.
async fn once(out: &Outputs, connection_string: &str) {
    let provider = provider(out, options(connection_string)).expect("the string is a good one");
    round(out, &provider).await;
    provider.close().await;
    out.result(provider.check().await);
}

/// The codes that came out, so that no error is only believed to have been there.
fn told(text: &str, codes: &[&str]) {
    for code in codes {
        assert!(text.contains(code), "{code} is not among what was told");
    }
}

/// With the user's name and without, in both forms of the connection string.
fn strings(server: &RedisServer, password: &str) -> [String; 2] {
    let port = server.port();
    [format!("redis://:{password}@127.0.0.1:{port}"), format!("127.0.0.1:{port},password={password}")]
}

#[test]
fn what_a_server_says_about_credentials() {
    let text = Outputs::of(async |out| {
        let server = RedisServer::builder()
            .password("another")
            .user_acl(&format!("nothing on >{PASSWORD} resetchannels -@all"))
            .user_acl(&format!("few on >{PASSWORD} resetchannels -@all +@connection +script|load +evalsha ~other"))
            .user_acl(&format!("no-scripts on >{PASSWORD} ~* &* +@all -evalsha"))
            .start();
        for string in strings(&server, PASSWORD) {
            once(out, &string).await;
        }
        once(out, &format!("redis://127.0.0.1:{}", server.port())).await;
        for user in ["nothing", "few", "no-scripts", "nobody", MARK] {
            once(out, &server.url_as(user, PASSWORD)).await;
        }
        once(out, &format!("redis://:another@127.0.0.1:{}/{}", server.port(), 99)).await;
    });
    told(&text, &["WRONGPASS", "NOAUTH", "NoPerm", "out of range"]);
}

/// Servers before 6.0, and those of which commands were taken away, repeat the arguments of what they do not know: of
/// `HELLO` the password, of `EVALSHA` the owner's token.
#[test]
fn what_a_server_repeats_of_commands_that_it_does_not_know() {
    let text = Outputs::of(async |out| {
        for command in ["HELLO", "EVALSHA", "SCRIPT", "SUBSCRIBE", "PUBLISH", "INFO"] {
            let server =
                RedisServer::builder().password(PASSWORD).config("rename-command", &format!("{command} \"\"")).start();
            for string in strings(&server, PASSWORD) {
                once(out, &string).await;
            }
        }
    });
    told(&text, &["unknown command 'HELLO', with args beginning with: [hidden]", "unknown command 'EVALSHA'"]);
}

#[test]
fn what_tls_says() {
    let text = Outputs::of(async |out| {
        let certificates = Certificates::new();
        let good = RedisServer::builder().password(PASSWORD).tls(&certificates).start();
        // Without TLS to one with it, and the other way round.
        once(out, &strings(&good, PASSWORD)[0]).await;
        let plain = RedisServer::builder().password(PASSWORD).start();
        once(out, &format!("rediss://:{PASSWORD}@127.0.0.1:{}", plain.port())).await;
        let bad = [certificates.expired(), certificates.wrong_host(), certificates.server_of_other_authority()];
        for identity in bad {
            let server = RedisServer::builder().password(PASSWORD).tls_as(&certificates, &identity).start();
            let trusting = options(&server.url()).tls_root_certificates(read(certificates.authority()).unwrap());
            let provider = provider(out, trusting).unwrap();
            round(out, &provider).await;
        }
        let mutual = RedisServer::builder().password(PASSWORD).mutual_tls(&certificates).start();
        let trusting = options(&mutual.url()).tls_root_certificates(read(certificates.authority()).unwrap());
        let stranger = certificates.client_of_other_authority();
        for options in [
            trusting.clone(),
            trusting.tls_client_identity(read(stranger.certificate).unwrap(), read(stranger.key).unwrap()),
        ] {
            let provider = provider(out, options).unwrap();
            round(out, &provider).await;
        }
    });
    told(&text, &["ertificate"]);
}

#[test]
fn what_is_said_of_a_server_that_is_away() {
    let text = Outputs::of(async |out| {
        let server = RedisServer::builder().password(PASSWORD).start();
        let held = provider(out, options(&server.url())).unwrap();
        let lock = held.create_lock("held".try_into().unwrap(), LockOptions::default()).unwrap();
        let guard = lock.acquire().await.unwrap();
        let patient = tokio::spawn({
            let lock = lock.clone();
            async move { lock.try_acquire(Duration::from_millis(900)).await }
        });
        tokio::task::yield_now().await;
        // Time-outs while things go on, of a server that has stopped.
        server.stop();
        once(out, &server.url()).await;
        hold(out, &held, guard).await;
        out.result(patient.await.unwrap());
        server.resume();
        server.kill();
        once(out, &server.url()).await;
        once(out, &format!("unix:///nowhere/socket?pass={PASSWORD}")).await;
        once(out, &format!("redis://:{PASSWORD}@no-such-host.invalid")).await;
        round(out, &held).await;
    });
    told(&text, &["efused", "no answer in time"]);
}

/// A provider that works, and a server that stops working; the owner token of a held lock is on it.
async fn spoilt(out: &Outputs, server: &RedisServer, spoil: impl FnOnce(&RedisServer)) {
    let works: RedisLockProvider = provider(out, options(&server.url())).unwrap();
    let lock = works.create_lock("a".try_into().unwrap(), LockOptions::default()).unwrap();
    // The time-outs are so short that a busy machine may need more than one attempt. What each came to is searched.
    let deadline = Instant::now() + SOON;
    let guard = loop {
        if let Some(guard) = out.result(lock.acquire().await) {
            break guard;
        }
        assert!(Instant::now() < deadline, "the server works");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(server.get("a").is_some_and(|token| token.len() == 49), "the token is there to be repeated");
    spoil(server);
    hold(out, &works, guard).await;
    round(out, &works).await;
    works.close().await;
}

#[test]
fn what_a_server_says_that_cannot_do_what_it_is_asked() {
    let text = Outputs::of(async |out| {
        let start = || RedisServer::builder().password(PASSWORD).config("busy-reply-threshold", "20").start();
        spoilt(out, &start(), |server| _ = server.cli(&["REPLICAOF", "127.0.0.1", "1"])).await;
        spoilt(out, &start(), |server| _ = server.cli(&["CONFIG", "SET", "maxmemory", "1"])).await;
        for key in ["a", "{a}:q", "{}:f"] {
            spoilt(out, &start(), |server| {
                server.cli(&["DEL", key]);
                server.cli(&["SADD", key, "of another program"]);
            })
            .await;
        }
        let busy = start();
        let client = busy.client();
        spoilt(out, &busy, |server| {
            std::thread::spawn(move || {
                let script = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 3 do end";
                cmd("EVAL").arg(script).arg(0).exec(&mut client.get_connection().unwrap())
            });
            // A server that is busy answers only after a while, and then says so.
            let begun = Instant::now();
            while !server.cli(&["PING"]).contains("BUSY") {
                assert!(begun.elapsed() < Duration::from_secs(10), "the server is never busy");
            }
        })
        .await;
    });
    told(&text, &["ReadOnly", "OOM", "WRONGTYPE", "BUSY"]);
}
