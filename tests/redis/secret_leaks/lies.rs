//! A server that repeats everything that it is told, in every form that an answer can have.

use orchestrix_locking::DistributedLockProvider;

use super::liar::{Liar, Lie};
use super::outputs::{Outputs, PASSWORD, scan};
use super::rounds::{options, provider, round};

/// What it was sent, the password, and a token, all in one line.
fn all(command: &[String]) -> String {
    format!("{PASSWORD} 0123456789abcdef.{} {}", "0123456789abcdef".repeat(2), command.join(" "))
}

const LIES: [Lie; 14] = [
    |command| format!("-ERR {}\r\n", all(command)).into_bytes(),
    |command| format!("-{} x\r\n", all(command).replace(' ', "_")).into_bytes(),
    |command| format!("-NOAUTH {}\r\n", all(command)).into_bytes(),
    |command| format!("-LOADING {}\r\n", all(command)).into_bytes(),
    |command| format!("-MISCONF {}\r\n", all(command)).into_bytes(),
    |command| format!("-MOVED 1 {}:1\r\n", all(command)).into_bytes(),
    |command| format!("!{}\r\nERR {}\r\n", all(command).len() + 4, all(command)).into_bytes(),
    |command| format!("+{}\r\n", all(command)).into_bytes(),
    |command| format!("${}\r\n{}\r\n", all(command).len(), all(command)).into_bytes(),
    |command| format!("={}\r\ntxt:{}\r\n", all(command).len() + 4, all(command)).into_bytes(),
    |command| format!("*1\r\n${}\r\n{}\r\n", all(command).len(), all(command)).into_bytes(),
    // Nothing that the protocol knows.
    |command| format!("{}\r\n", all(command)).into_bytes(),
    |command| format!(":{}\r\n", all(command)).into_bytes(),
    |command| {
        let info = format!("redis_version:{0}\r\nmaxmemory:1\r\nmaxmemory_policy:{0}\r\n", all(command));
        format!("${}\r\n{info}\r\n", info.len()).into_bytes()
    },
];

/// All lies about one command.
fn told_about(name: &'static str) {
    let text = Outputs::of(async |out| {
        for lie in LIES {
            let liar = Liar::about(name, lie);
            let provider = provider(out, options(&format!("redis://:{PASSWORD}@127.0.0.1:{}", liar.port()))).unwrap();
            round(out, &provider).await;
            provider.close().await;
            // While it is still known which lie it was.
            scan(&out.text());
        }
    });
    assert!(text.contains("[hidden]") || name == "SUBSCRIBE", "something was there to be hidden");
}

#[test]
fn a_server_that_lies_to_hello_is_not_quoted() {
    told_about("HELLO");
}

#[test]
fn a_server_that_lies_when_scripts_are_loaded_is_not_quoted() {
    told_about("SCRIPT");
}

#[test]
fn a_server_that_lies_about_channels_is_not_quoted() {
    told_about("SUBSCRIBE");
}

#[test]
fn a_server_that_lies_about_locks_is_not_quoted() {
    told_about("EVALSHA");
}

#[test]
fn a_server_that_lies_about_itself_is_not_quoted() {
    told_about("INFO");
}
