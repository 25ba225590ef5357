//! Names, and lists of parts.
#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc)]

use crate::{LockError, Resource};

/// A name is taken as it stands, or refused for a reason that it has. A list of parts comes back from its name, so that
/// no two lists share one. Parts are separated by a zero byte.
pub fn resource(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let valid = (1..=Resource::MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    match Resource::try_from(text) {
        Ok(resource) => {
            assert!(valid, "{text:?} is no name");
            assert_eq!(resource.as_str(), text);
            assert_eq!(resource.to_string().parse::<Resource>().unwrap(), resource);
        }
        Err(error) => refused(&error, valid),
    }
    let parts: Vec<&str> = text.split('\0').collect();
    let written = written(&parts);
    let valid = written.len() <= Resource::MAX_BYTES && !written.chars().any(char::is_control);
    match Resource::from_parts(&parts) {
        Ok(resource) => {
            assert!(valid, "{parts:?} give no name");
            assert_eq!(resource.as_str(), written);
            assert_eq!(read(&resource), parts);
        }
        Err(error) => refused(&error, valid),
    }
}

fn refused(error: &LockError, valid: bool) {
    assert!(matches!(error, LockError::InvalidResource { .. }), "{error:?}");
    assert!(!valid, "{error}, and it is a name");
    assert!(error.to_string().len() < 200, "what is said does not grow with the name");
}

/// The name of a list of parts, by its definition.
fn written(parts: &[&str]) -> String {
    if parts == [""] {
        return "\\".to_owned();
    }
    let escaped: Vec<_> = parts.iter().map(|part| part.replace('\\', "\\\\").replace(':', "\\:")).collect();
    escaped.join(":")
}

/// The parts that a name was made of.
fn read(resource: &Resource) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = resource.as_str().chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => parts.push(String::new()),
            // A lone one at the end is the list of one empty part.
            '\\' => parts.last_mut().unwrap().extend(characters.next()),
            _ => parts.last_mut().unwrap().push(character),
        }
    }
    parts
}
