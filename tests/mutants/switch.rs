//! Which of the mistakes is to be made: the one that the environment variable `ORCHESTRIX_MUTANT` names.
//!
//! `tests/mutants/tree.sh` puts this file into the patched copy of the crate, as `src/mutant.rs`, and adds the names of
//! the patches and the patched scripts.

use std::io::Write as _;
use std::sync::OnceLock;

/// Whether this mistake is to be made.
pub(crate) fn is(mutant: &str) -> bool {
    chosen() == Some(mutant)
}

/// The text of a script, by the name of its file: as the chosen mutant has it, if it has this one.
pub(crate) fn script_text(file: &str, text: &'static str) -> &'static str {
    let of_mutant = SCRIPTS.iter().find(|(mutant, of, _)| is(mutant) && *of == file);
    of_mutant.map_or(text, |(.., wrong)| wrong)
}

/// Stands where `include_str!` includes a script.
macro_rules! script {
    ($file:expr) => {
        $crate::mutant::script_text($file, include_str!($file))
    };
}
#[allow(unused_imports, reason = "without Redis there is no script")]
pub(crate) use script;

/// The mutant of the environment. A name that is none ends the process: a test must not seem to have survived it.
fn chosen() -> Option<&'static str> {
    static CHOSEN: OnceLock<Option<&str>> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var_os("ORCHESTRIX_MUTANT")?;
        let found = NAMES.iter().copied().find(|known| name == *known);
        if found.is_none() {
            // Not a panic, which a test could take for its own, and not `eprintln`, which a test captures.
            _ = writeln!(std::io::stderr(), "ORCHESTRIX_MUTANT is {}; there are: {}", name.display(), NAMES.join(", "));
            std::process::abort();
        }
        found
    })
}
