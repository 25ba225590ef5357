//! Names: what is one, and parts that never collide.

use orchestrix_locking::{LockError, Resource, ResourceError};
use proptest::collection::vec;
use proptest::prelude::*;

fn reason(error: &LockError) -> &ResourceError {
    std::error::Error::source(error).and_then(|source| source.downcast_ref()).unwrap()
}

#[test]
fn bad_names_say_why() {
    let refused = |name: &str| Resource::try_from(name).unwrap_err().to_string();
    assert_eq!(refused(""), "invalid resource name: it is empty; 1 to 512 bytes are allowed");
    assert_eq!(
        refused(&"a".repeat(513)),
        "invalid resource name: it has at least 513 bytes; 1 to 512 bytes are allowed"
    );
    assert_eq!(
        refused("äa\nb"),
        "invalid resource name: it has the control character '\\n' at byte 3; every other character is allowed"
    );
    let no_parts = Resource::from_parts(Vec::<&str>::new()).unwrap_err();
    assert_eq!(no_parts.to_string(), "invalid resource name: it has no parts; at least one part is needed");
    assert_eq!(*reason(&no_parts), ResourceError::NoParts);
    assert_eq!(*reason(&Resource::try_from("").unwrap_err()), ResourceError::Empty);
    assert_eq!("".parse::<Resource>(), Err(ResourceError::Empty));
}

#[test]
fn parts_may_be_empty() {
    let lists: [&[&str]; 7] = [&[""], &["", ""], &["", "", ""], &["\\"], &[":"], &["\\", ""], &["", "\\"]];
    for (at, one) in lists.iter().enumerate() {
        for other in &lists[at + 1..] {
            assert_ne!(Resource::from_parts(*one).unwrap(), Resource::from_parts(*other).unwrap(), "{one:?} {other:?}");
        }
    }
}

#[test]
fn parts_that_are_too_long() {
    assert!(Resource::from_parts(["a".repeat(512)]).is_ok());
    assert!(Resource::from_parts(["a".repeat(513)]).is_err());
    assert!(Resource::from_parts(["a".repeat(511), String::new()]).is_ok());
    assert!(Resource::from_parts([":".repeat(256)]).is_ok());
    assert!(Resource::from_parts([":".repeat(257)]).is_err());
    assert!(Resource::from_parts(vec![""; 513]).is_ok());
    assert!(Resource::from_parts(vec![""; 514]).is_err());
    assert!(Resource::from_parts(["a", "\n"]).is_err());
}

/// Few characters, so that lists are often near to each other.
fn parts() -> impl Strategy<Value = Vec<String>> {
    vec("[ab:\\\\]{0,3}", 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn different_parts_never_collide(one in parts(), other in parts()) {
        let names = (Resource::from_parts(&one).unwrap(), Resource::from_parts(&other).unwrap());
        prop_assert_eq!(names.0 == names.1, one == other, "{:?} {:?}", names.0, names.1);
    }
}

proptest! {
    #[test]
    fn any_text_is_a_name_or_an_error(text in any::<String>()) {
        let allowed = (1..=512).contains(&text.len()) && !text.chars().any(char::is_control);
        match Resource::try_from(text.as_str()) {
            Ok(resource) => {
                prop_assert!(allowed);
                prop_assert_eq!(resource.as_str(), text);
            }
            Err(error) => {
                prop_assert!(!allowed);
                prop_assert!(matches!(error, LockError::InvalidResource { .. }), "{}", error);
            }
        }
    }

    /// Every list of parts without control characters is joined, or is too long.
    #[test]
    fn any_parts_are_a_name_or_an_error(parts in vec(any::<String>(), 0..5)) {
        if let Ok(joined) = Resource::from_parts(&parts) {
            prop_assert_eq!(Resource::try_from(joined.as_str()).unwrap(), joined);
        }
    }
}

#[cfg(feature = "serde")]
#[test]
fn serde_checks_names() {
    let resource: Resource = serde_json::from_str("\"order:42\"").unwrap();
    assert_eq!(serde_json::to_string(&resource).unwrap(), "\"order:42\"");
    assert!(serde_json::from_str::<Resource>("\"\"").is_err());
    assert!(serde_json::from_str::<Resource>("\"a\\nb\"").is_err());
}
