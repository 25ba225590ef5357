//! [`Outputs`]: everything that came out, and the scan.

use std::error::Error;
use std::fmt::{Debug, Display};

use metrics_util::debugging::DebuggingRecorder;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::log::Log;

/// A part of every secret here.
pub(super) const MARK: &str = "C4n4ry";

/// A password with the mark at both ends, so that a part of it is seen too. It needs no escaping anywhere.
pub(super) const PASSWORD: &str = "C4n4ry-pa55word-C4n4ry";

/// Everything that came out.
#[derive(Clone, Default)]
pub(super) struct Outputs(Log);

impl Outputs {
    /// Runs a test on this thread alone, with every event and metric kept, and scans all of it at the end.
    pub(super) fn of(test: impl AsyncFnOnce(&Self)) -> String {
        let outputs = Self::default();
        let panics = outputs.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            panics.keep(&format!("panic: {panic}\n"));
            before(panic);
        }));
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(outputs.0.clone())
            .finish();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tracing::subscriber::with_default(subscriber, || {
            metrics::with_local_recorder(&recorder, || runtime.block_on(test(&outputs)));
        });
        outputs.keep(&format!("{:?}", snapshotter.snapshot().into_vec()));
        let told = outputs.text();
        assert!(told.contains("orchestrix_locking"), "events were kept");
        scan(&told);
        told
    }

    fn keep(&self, text: &str) {
        self.0.add(text);
    }

    pub(super) fn text(&self) -> String {
        self.0.text()
    }

    pub(super) fn debug(&self, value: &dyn Debug) {
        self.keep(&format!("debug: {value:?}\n{value:#?}\n"));
    }

    pub(super) fn display(&self, value: &dyn Display) {
        self.keep(&format!("display: {value}\n{value:#}\n"));
    }

    /// An error with all its causes, each in both ways.
    pub(super) fn error(&self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.debug(&error);
            self.display(&error);
            next = error.source();
        }
    }

    /// What a call came to: the value, or the error.
    pub(super) fn result<T: Debug, E: Error + 'static>(&self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                self.debug(&value);
                Some(value)
            }
            Err(error) => {
                self.error(&error);
                None
            }
        }
    }
}

/// Panics where the text has a secret in it.
#[track_caller]
pub(super) fn scan(text: &str) {
    if let Some(line) = text.lines().find(|line| is_told(line)) {
        panic!("a secret is told: {line}");
    }
}

fn is_told(line: &str) -> bool {
    line.to_lowercase().contains(&MARK.to_lowercase()) || has_token(line)
}

/// Sixteen hexadecimal digits, a dot, and more than a few of the thirty-two that are the secret.
fn has_token(line: &str) -> bool {
    let hex = |byte: &u8| byte.is_ascii_hexdigit();
    line.bytes().enumerate().filter(|(_, byte)| *byte == b'.').any(|(dot, _)| {
        let bytes = line.as_bytes();
        dot >= 16
            && bytes[dot - 16..dot].iter().all(hex)
            && bytes[dot + 1..].iter().take_while(|byte| hex(byte)).count() >= 6
    })
}

#[test]
fn the_scan_finds_what_it_looks_for() {
    for told in [
        "the password is C4n4ry-pa55word-C4n4ry",
        "c4N4RY",
        "'0123456789abcdef.0123456789abcdef0123456789abcdef'",
        "x0123456789abcdef.012345",
    ] {
        assert!(is_told(told), "{told}");
    }
    for fine in ["127.0.0.1:6379", "inbox=0123456789abcdef", "script: 0123456789abcdef0123456789abcdef01234567, on"] {
        assert!(!is_told(fine), "{fine}");
    }
}
