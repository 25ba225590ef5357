//! How an error is written down.

use orchestrix_locking::LockError;

/// `Variant: text`.
pub(super) fn text(error: &LockError) -> String {
    let debug = format!("{error:?}");
    let variant = debug.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    format!("{variant}: {error}")
}
