//! The `grpc-timeout` header: how long a gRPC client waits for its answer.

use std::time::Duration;

use ::http::HeaderMap;

/// The client's time-out, if the header is present and well formed. A malformed one is ignored, as gRPC servers do.
pub(super) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (unit, digits) = (value.chars().next_back()?, value.get(..value.len().checked_sub(1)?)?);
    // At most eight digits, so that no product overflows. `parse` alone would accept a sign.
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(number * 60 * 60)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::grpc_timeout;

    fn parsed(value: &'static str) -> Option<Duration> {
        grpc_timeout(&HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-timeout"),
            HeaderValue::from_static(value),
        )]))
    }

    #[test]
    fn every_unit_is_read() {
        assert_eq!(parsed("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parsed("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parsed("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(parsed("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parsed("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parsed("0n"), Some(Duration::ZERO));
    }

    #[test]
    fn malformed_values_are_ignored() {
        for value in ["", "S", "1", "1s", "+1S", "-1S", "1 S", "123456789S", "1.5S"] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }
}
