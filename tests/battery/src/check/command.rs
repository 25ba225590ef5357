//! `battery check FILE...`

use std::error::Error;
use std::process::ExitCode;

use super::checker::Checker;
use super::verdict::Verdict;

/// Judges a history that was kept, one file for each process, and says what was found as JSON.
pub(crate) fn command(files: impl IntoIterator<Item = String>) -> ExitCode {
    let mut checker = Checker::new();
    files.into_iter().for_each(|file| checker.add(file));
    if let Err(error) = checker.read() {
        eprint!("{error}");
        let mut source = error.source();
        while let Some(error) = source {
            eprint!(": {error}");
            source = error.source();
        }
        eprintln!();
        return ExitCode::from(2);
    }
    say(&checker.finish())
}

fn say(verdict: &Verdict) -> ExitCode {
    match serde_json::to_string_pretty(verdict) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("the verdict cannot be written: {error}"),
    }
    let not_asked = verdict.not_asked();
    if !not_asked.is_empty() {
        eprintln!("nothing was there to be asked of {not_asked:?}");
    }
    if verdict.holds() {
        eprintln!("everything holds");
        ExitCode::SUCCESS
    } else {
        eprintln!("not everything holds");
        ExitCode::FAILURE
    }
}
