//! The words around the figures, in Markdown.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::evidence::Figures;

/// These have a section of their own.
const KNOWN: [&str; 5] = ["run_short", "run_long", "control", "mutants", "battery_mutants"];

const OPENING: &str = "\
# What was run, and what came of it

Every figure on this page was written by the tool that it is about, as JSON, and put here by a program
(`battery evidence`); none was typed. \"Not run\" means that there were no figures when the page was made. How the
tools work is said in their own files: [tests/battery](../tests/battery/README.md) for the battery, and the head of
each test.
";

const BATTERY: &str = "\
Several real processes take, extend and give back locks on a real redis-server, update numbers in a store under them,
and run requests through the layer, while faults are done to them, to the server, and to the way between. Each step is
written down before and after it is done, and what was written is judged by a checker that knows nothing of the crate:

- P1: the fences of a resource are unique, whatever happens, and rise in real time. Excused is a process that takes up,
  or hands on among its own tasks, what the server had granted it before it lost its data or its clock was set, until
  it has heard of that; the time within the fence has to say that it was before.
- P2: two holds that their holders were certain of never overlap. Not required, and only counted (excused), while
  the server loses its data or its clock jumps, and for one lease after that.
- P3: a store that refuses stale fences, from readers too, loses no update, whatever happens.
- P4: nobody extends or releases a lock that is another's by then. Excused as P2 is.
- P5: once everything is healed, nothing is left for a process that lives, however long its leases are, each lock is
  free within a lease, and no key is left but fences.
- P6: first come, first served, within a process and between processes. Of two processes it is decided by waits during
  which no fault touched either: another process serves no more late-comers of its own than 33 before one who waits.
- P7: each request through the layer is run or refused, and two are never run at a time. One is cancelled only if its
  lock was lost or its caller gave up, and answered only if its lock was held to its end.
";

const CONTROL: &str = "\
The same processes, with holders that are stopped or blocked for longer than their leases, once with a store that takes
whatever comes. There updates must be lost, or the battery would notice nothing; with fences none may be.
";

const MUTANTS: &str = "\
Wrong versions of the crate, each made on purpose, and the check that has to fail on it.
";

const BATTERY_MUTANTS: &str = "\
Some of them are made by the battery's processes too, each in a short round of its own. Its checker, which knows nothing
of them, has to reject what they did, for the property that the mistake breaks.
";

const AGAIN: &str = "\
```text
tests/run.sh                                            # everything, in its short form
cargo run --release -p battery -- run                   # the battery, a minute
cargo run --release -p battery -- run --seconds 4000    # the long form
cargo run --release -p battery -- run --seed N          # the faults of a seed again
cargo run --release -p battery -- plan --seed N         # which those are
cargo run --release -p battery -- control
tests/mutants/battery.sh
```

`ORCHESTRIX_EVIDENCE=DIR tests/run.sh` also writes the figures into that directory, and
`cargo run --release -p battery -- evidence --in DIR --out docs/evidence.md` makes this
page of them. A seed fixes the faults and their times; what the processes then do depends on the machine too.
";

pub(super) struct Document<'a> {
    figures: &'a Figures,
    text: String,
}

impl<'a> Document<'a> {
    pub(super) fn new(figures: &'a Figures) -> Self {
        Self { figures, text: String::new() }
    }

    /// `found`: a section that is kept by hand.
    pub(super) fn text(mut self, found: Option<&str>) -> String {
        self.text.push_str(OPENING);
        self.section("The battery", BATTERY);
        self.run("run_short", "Short form, as in every run of the tests");
        self.run("run_long", "Long form");
        self.section("Without fencing", CONTROL);
        self.table_of("control");
        self.section("Mutants", MUTANTS);
        self.mutants("mutants", &["mutant", "what", "check", "killed", "seconds"]);
        self.push(format_args!("{BATTERY_MUTANTS}\n"));
        self.mutants("battery_mutants", &["mutant", "property", "killed", "violations", "found", "seconds"]);
        let figures = self.figures;
        let others: Vec<&String> = figures.keys().filter(|name| !KNOWN.contains(&name.as_str())).collect();
        self.section("Other tools", "");
        for name in ["loom", "soak", "fuzz", "proptest"] {
            if !others.iter().any(|other| other.starts_with(name)) {
                self.push(format_args!("{name}: not run.\n\n"));
            }
        }
        for name in others {
            self.push(format_args!("### {name}\n\n"));
            self.table_of(name);
        }
        if let Some(found) = found {
            self.section("What was found", found);
        }
        self.section("Running it again", AGAIN);
        self.text.truncate(self.text.trim_end().len());
        self.text.push('\n');
        self.text
    }

    fn run(&mut self, name: &str, title: &str) {
        self.push(format_args!("### {title}\n\n"));
        let Some(run) = self.figures.get(name).and_then(Value::as_object) else { return self.not_run() };
        self.table(run);
        for (of, title) in [("operations_by_kind", "Operations"), ("faults_by_kind", "Faults")] {
            if let Some(counts) = run.get(of).and_then(Value::as_object) {
                self.push(format_args!("{title}:\n\n"));
                self.table(counts);
            }
        }
        let properties = rows(run.get("properties"));
        if !properties.is_empty() {
            self.rows(&["property", "what", "checked", "violations", "excused"], &properties);
        }
        for failure in rows(run.get("failures")) {
            self.push(format_args!("Failed: {}\n\n", cell(failure)));
        }
    }

    fn mutants(&mut self, name: &str, columns: &[&str]) {
        let mutants = rows(self.figures.get(name));
        if mutants.is_empty() {
            return self.not_run();
        }
        let killed = mutants.iter().filter(|mutant| mutant.get("killed") == Some(&Value::Bool(true))).count();
        self.push(format_args!("{killed} of {} were caught.\n\n", mutants.len()));
        self.rows(columns, &mutants);
    }

    fn table_of(&mut self, name: &str) {
        match self.figures.get(name) {
            Some(Value::Object(figures)) => self.table(figures),
            Some(Value::Array(list)) => {
                let rows: Vec<&Value> = list.iter().collect();
                let columns: Vec<&str> = list
                    .first()
                    .and_then(Value::as_object)
                    .map(|row| row.keys().map(String::as_str).collect())
                    .unwrap_or_default();
                self.rows(&columns, &rows);
            }
            Some(other) => self.push(format_args!("{}\n\n", cell(other))),
            None => self.not_run(),
        }
    }

    /// Of plain figures; what is within others is left out.
    fn table(&mut self, figures: &Map<String, Value>) {
        self.text.push_str("| figure | value |\n| --- | ---: |\n");
        for (name, value) in figures.iter().filter(|(_, value)| !value.is_object() && !value.is_array()) {
            self.push(format_args!("| {} | {} |\n", name.replace('_', " "), cell(value)));
        }
        self.text.push('\n');
    }

    fn rows(&mut self, columns: &[&str], rows: &[&Value]) {
        self.push(format_args!("| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len())));
        for row in rows {
            let cells: Vec<String> =
                columns.iter().map(|column| row.get(column).map(cell).unwrap_or_default()).collect();
            self.push(format_args!("| {} |\n", cells.join(" | ")));
        }
        self.text.push('\n');
    }

    fn section(&mut self, title: &str, text: &str) {
        self.push(format_args!("\n## {title}\n\n"));
        if !text.is_empty() {
            self.push(format_args!("{text}\n"));
        }
    }

    fn not_run(&mut self) {
        self.text.push_str("Not run.\n\n");
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes everything.
        _ = self.text.write_fmt(text);
    }
}

fn rows(value: Option<&Value>) -> Vec<&Value> {
    value.and_then(Value::as_array).map(|list| list.iter().collect()).unwrap_or_default()
}

/// One value within a row.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('|', "\\|").replace('\n', " "),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Null => "none".to_owned(),
        Value::Number(number) => grouped(&number.to_string()),
        other => other.to_string(),
    }
}

/// 1234567 as `1 234 567`.
fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let (whole, rest) = digits.split_at(digits.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(digits.len()));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    out + rest.strip_suffix(".0").unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Document, Figures, grouped};

    #[test]
    fn what_is_missing_is_not_run_and_what_is_there_is_shown() {
        let text = Document::new(&Figures::new()).text(None);
        assert_eq!(text.matches("Not run.").count(), 5, "{text}");
        assert!(text.contains("fuzz: not run."));
        let figures = Figures::from([
            ("mutants".to_owned(), json!([{"mutant": "m1", "what": "w", "check": "c", "killed": true, "seconds": 2}])),
            ("fuzz".to_owned(), json!({"resources": 1_200_345})),
            (
                "run_long".to_owned(),
                json!({"seed": 3, "faults_by_kind": {"cut": 4}, "properties": [{"property": "P1"}]}),
            ),
        ]);
        let text = Document::new(&figures).text(Some("a section of ours"));
        for shown in ["1 of 1 were caught", "1 200 345", "| cut | 4 |", "| P1 |", "a section of ours", "loom: not run."]
        {
            assert!(text.contains(shown), "{shown} is not in {text}");
        }
        assert!(!text.contains("fuzz: not run."));
    }

    #[test]
    fn digits_are_in_groups_of_three() {
        let of = |number| grouped(number);
        assert_eq!([of("7"), of("1000"), of("-123456.75"), of("12.0")], ["7", "1 000", "-123 456.75", "12"]);
    }
}
