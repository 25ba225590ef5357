//! Takes secrets out of texts: a server may repeat what it was sent, such as the password and owner tokens.

use ::redis::{RedisError, make_extension_error};

use crate::engine::OwnerToken;
use crate::redis::settings::Settings;

/// Replaces a secret.
const HIDDEN: &str = "[hidden]";

/// A server that does not know a command repeats its arguments, and may cut them off inside a password. So everything after
/// these words is taken out.
const ARGUMENTS: &str = "args beginning with";

/// How much of a server's text is kept, in characters. A Redis server's errors are shorter.
const LONGEST: usize = 512;

/// The error without secrets, in one printable line. An error without any stays as it is.
pub(super) fn without_secrets(settings: &Settings, error: RedisError) -> RedisError {
    let text = with_causes(&error);
    if redact(settings, &text) == text {
        return error;
    }
    match error.code() {
        Some(code) => {
            make_extension_error(redact(settings, code), error.detail().map(|detail| redact(settings, detail)))
        }
        None => RedisError::from((error.kind(), "redacted", redact(settings, &error.to_string()))),
    }
}

/// The error's text, and that of its causes.
fn with_causes(error: &RedisError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str("; ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A text without secrets, in one printable line.
pub(in crate::redis) fn redact(settings: &Settings, text: &str) -> String {
    let mut text = match text.split_once(ARGUMENTS) {
        Some((before, _)) => format!("{before}{ARGUMENTS}: {HIDDEN}"),
        None => text.to_owned(),
    };
    for password in settings.passwords().into_iter().flatten().filter(|password| !password.is_empty()) {
        text = text.replace(password, HIDDEN);
    }
    let text = without_tokens(&text);
    if text.chars().count() <= LONGEST && !text.chars().any(char::is_control) {
        return text;
    }
    text.chars().take(LONGEST).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The text without owner tokens, wherever in it they stand.
fn without_tokens(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if rest.get(..OwnerToken::LENGTH).is_some_and(OwnerToken::is_written) {
            redacted.push_str(HIDDEN);
            rest = rest.get(OwnerToken::LENGTH..).unwrap_or_default();
        } else {
            redacted.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    redacted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ::redis::ErrorKind;

    use super::*;
    use crate::LockMode;
    use crate::engine::InboxId;
    use crate::redis::RedisLockOptions;

    fn settings() -> Settings {
        let text = "redis+sentinel://:pass%20word@localhost/locks?sentinel_password=another%20one";
        RedisLockOptions::default().connection_string(text).settings().unwrap()
    }

    #[test]
    fn what_has_no_secret_stays_as_it_is() {
        for error in [
            make_extension_error("OOM".to_owned(), Some("command not allowed".to_owned())),
            RedisError::from((ErrorKind::Io, "no connection")),
            RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "late")),
        ] {
            assert_eq!(without_secrets(&settings(), error.clone()).to_string(), error.to_string());
        }
        let late = RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "late"));
        assert!(without_secrets(&settings(), late).is_timeout());
    }

    #[test]
    fn secrets_are_taken_out_and_the_code_stays() {
        let token = OwnerToken::random(InboxId::random().unwrap(), LockMode::Exclusive).unwrap().written();
        let token = std::str::from_utf8(&token).unwrap();
        let text = format!("no pass word for ü{token}{token}x\r\n\u{1b}[2J");
        let error = without_secrets(&settings(), make_extension_error("OOM".to_owned(), Some(text.clone())));
        assert_eq!((error.code(), error.detail()), (Some("OOM"), Some("no [hidden] for ü[hidden][hidden]x   [2J")));
        let error = without_secrets(&settings(), RedisError::from((ErrorKind::Parse, "what", text)));
        assert_eq!(error.kind(), ErrorKind::Parse);
        assert!(!error.to_string().contains("pass word") && !error.to_string().contains(token));
        let error = without_secrets(&settings(), make_extension_error("pass word".to_owned(), None));
        assert!(!format!("{error} {error:?} {:?}", error.code()).contains("pass word"));
    }

    #[test]
    fn arguments_are_never_repeated_not_even_in_part() {
        let text = "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'pass wo";
        assert_eq!(redact(&settings(), text), "unknown command 'HELLO', with args beginning with: [hidden]");
    }

    #[test]
    fn the_sentinels_password_is_a_secret_as_well() {
        assert_eq!(redact(&settings(), "no another one, no pass word"), "no [hidden], no [hidden]");
    }

    #[test]
    fn an_endless_text_has_an_end() {
        assert_eq!(redact(&settings(), &"ü".repeat(100_000)).chars().count(), LONGEST);
    }
}
