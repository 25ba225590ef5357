//! What a server says may repeat what it was sent: the password, and the tokens of owners. Here it is taken out.

use ::redis::{RedisConnectionInfo, RedisError, make_extension_error};

use crate::engine::OwnerToken;

/// What stands for what is taken out.
const HIDDEN: &str = "[hidden]";

/// Servers that do not know a command repeat its arguments, cut off anywhere: even a part of a password is too much.
const ARGUMENTS: &str = "args beginning with";

/// How much of a server's text is kept, in characters. No server of good will says more.
const LONGEST: usize = 512;

/// The error without secrets, in one printable line. One that has nothing to be taken out stays as it is.
pub(super) fn without(info: &RedisConnectionInfo, error: RedisError) -> RedisError {
    let told = everything(&error);
    if hide(info, &told) == told {
        return error;
    }
    match error.code() {
        Some(code) => make_extension_error(hide(info, code), error.detail().map(|detail| hide(info, detail))),
        None => RedisError::from((error.kind(), "what was said", hide(info, &error.to_string()))),
    }
}

/// The error's text, and that of its causes.
fn everything(error: &RedisError) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // Joined by nothing that is taken out.
        told.push_str("; ");
        told.push_str(&error.to_string());
        cause = error.source();
    }
    told
}

/// A text without secrets, in one printable line.
pub(in crate::redis) fn hide(info: &RedisConnectionInfo, text: &str) -> String {
    let text = match text.split_once(ARGUMENTS) {
        Some((before, _)) => format!("{before}{ARGUMENTS}: {HIDDEN}"),
        None => text.to_owned(),
    };
    let text = match info.password() {
        Some(password) if !password.is_empty() => text.replace(password, HIDDEN),
        _ => text,
    };
    let text = without_tokens(&text);
    if text.chars().count() <= LONGEST && !text.chars().any(char::is_control) {
        return text;
    }
    text.chars().take(LONGEST).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// A token stands anywhere in the text.
fn without_tokens(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if rest.get(..OwnerToken::LENGTH).is_some_and(|start| OwnerToken::parse(start).is_some()) {
            left.push_str(HIDDEN);
            rest = rest.get(OwnerToken::LENGTH..).unwrap_or_default();
        } else {
            left.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    left
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ::redis::ErrorKind;

    use super::*;
    use crate::engine::InboxId;

    fn info() -> RedisConnectionInfo {
        RedisConnectionInfo::default().set_password("pass word")
    }

    #[test]
    fn what_has_no_secret_stays_as_it_is() {
        for error in [
            make_extension_error("OOM".to_owned(), Some("command not allowed".to_owned())),
            RedisError::from((ErrorKind::Io, "no connection")),
            RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "late")),
        ] {
            assert_eq!(without(&info(), error.clone()).to_string(), error.to_string());
        }
        let late = RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "late"));
        assert!(without(&info(), late).is_timeout());
    }

    #[test]
    fn secrets_are_taken_out_and_the_code_stays() {
        let token = OwnerToken::random(InboxId::random().unwrap()).unwrap().written();
        let token = std::str::from_utf8(&token).unwrap();
        let told = format!("no pass word for ü{token}{token}x\r\n\u{1b}[2J");
        let error = without(&info(), make_extension_error("OOM".to_owned(), Some(told.clone())));
        assert_eq!((error.code(), error.detail()), (Some("OOM"), Some("no [hidden] for ü[hidden][hidden]x   [2J")));
        let error = without(&info(), RedisError::from((ErrorKind::Parse, "what", told)));
        assert_eq!(error.kind(), ErrorKind::Parse);
        assert!(!error.to_string().contains("pass word") && !error.to_string().contains(token));
        let error = without(&info(), make_extension_error("pass word".to_owned(), None));
        assert!(!format!("{error} {error:?} {:?}", error.code()).contains("pass word"));
    }

    #[test]
    fn arguments_are_never_repeated_not_even_in_part() {
        let told = "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'pass wo";
        assert_eq!(hide(&info(), told), "unknown command 'HELLO', with args beginning with: [hidden]");
    }

    #[test]
    fn an_endless_text_has_an_end() {
        assert_eq!(hide(&info(), &"ü".repeat(100_000)).chars().count(), LONGEST);
    }
}
