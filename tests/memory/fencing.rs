//! [`FencingToken`] as a number, as text and in columns.

use orchestrix_locking::FencingToken;
use proptest::prelude::*;

#[test]
fn bounds() {
    assert_eq!(FencingToken::MAX.get(), i64::MAX as u64);
    assert_eq!(i64::from(FencingToken::MAX), i64::MAX);
    assert!(FencingToken::new(0).is_some());
    assert!(FencingToken::new(FencingToken::MAX.get() + 1).is_none());
    assert!(FencingToken::try_from(u64::MAX).is_err());
}

#[test]
fn text_that_is_no_token() {
    for text in ["", " 1", "1 ", "-1", "1.0", "0x1", "9223372036854775808", "99999999999999999999999", "\u{661}"] {
        let error = text.parse::<FencingToken>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a fencing token; a whole number from 0 to 9223372036854775807 is allowed",
            "{text:?}"
        );
    }
}

#[cfg(feature = "serde")]
#[test]
fn serde_writes_a_string() {
    let token = FencingToken::MAX;
    let json = serde_json::to_string(&token).unwrap();
    assert_eq!(json, "\"9223372036854775807\"");
    assert_eq!(serde_json::from_str::<FencingToken>(&json).unwrap(), token);
    let value = serde_json::to_value(token).unwrap();
    assert_eq!(serde_json::from_value::<FencingToken>(value).unwrap(), token);
    assert_eq!(serde_json::from_reader::<_, FencingToken>(json.as_bytes()).unwrap(), token);
    assert!(serde_json::from_str::<FencingToken>("\"9223372036854775808\"").is_err());
    assert!(serde_json::from_str::<FencingToken>("\"\"").is_err());
}

proptest! {
    #[test]
    fn text_and_numbers_give_the_token_back(number in 0..=i64::MAX as u64, other in 0..=i64::MAX as u64) {
        let token = FencingToken::new(number).unwrap();
        prop_assert_eq!(token.to_string().parse::<FencingToken>().unwrap(), token);
        prop_assert_eq!(u64::from(token), number);
        prop_assert!(i64::from(token) >= 0);
        prop_assert_eq!(token.cmp(&FencingToken::new(other).unwrap()), number.cmp(&other));
    }

    #[test]
    fn any_text_is_a_token_or_an_error(text in ".*") {
        if let Ok(token) = text.parse::<FencingToken>() {
            prop_assert_eq!(token.get(), text.parse::<u64>().unwrap());
        }
    }
}
