//! The words around the figures, in Markdown.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::evidence::Figures;

/// These have a section of their own.
const KNOWN: [&str; 8] =
    ["run_short", "run_long", "run_sentinel", "run_cluster", "control", "simulation", "mutants", "battery_mutants"];

const OPENING: &str = "\
# What was run, and what came of it

Each tool wrote its figures as JSON, and a program (`battery evidence`) made this page of them. The text of
\"What was found\" is written by hand. \"Not run\" means that there were no figures when the page was made. The tools are described in their own files:
[tests/battery](../tests/battery/README.md) for the battery, [tests/simulation](../tests/simulation/README.md) for the
simulation, and the head of each test.
";

const BATTERY: &str = "\
Several real processes acquire, extend and release locks on a real redis-server. Under these locks they update numbers in a
store, and run requests through the layer. Meanwhile faults are injected into the processes, the server, and the network
between them. Each process records each step before and after it. A checker that shares no code with the crate judges the
record. A violation is *excused* if a fault explains it:

- P1: the fencing tokens of a resource are unique, under every fault, and rise in real time. Excused: the server lost its data,
  or its clock was set, and a process still takes up an earlier grant, or hands it over among its own tasks, until it learns of
  that. The time within the token has to show that the grant is from before.
- P2: two holds of which their holders were certain never overlap. Excused: while the server loses its data or its clock jumps,
  or a replica without the latest writes takes the primary's place, and for one lease after that.
- P3: a store that refuses stale tokens, from readers too, loses no update, under every fault.
- P4: a process never extends or releases a lock that another owner has by then. Excused as P2 is.
- P5: once all faults have ended, no key is left of a live process, also with long leases. Each lock is free within a lease, and
  no key is left but fences. Excused where a replica took the primary's place without the latest writes.
- P6: first come, first served, within a process and between processes. Two processes are compared only during waits that no
  fault affected: while a caller of one waits, the other serves at most 33 of its own callers that came later.
- P7: each request through the layer is either run or refused, and two are never run at the same time. A request is cancelled
  only if its lock was lost or its caller gave up, and answered only if its lock was held to its end.
";

const CONTROL: &str = "\
The same processes, with holders that are stopped or blocked for longer than their leases: once with a store that accepts every
write, and once with a store that checks fencing tokens. In the first case updates must be lost, since otherwise the battery
would detect nothing. In the second case none may be lost.
";

const SIMULATION: &str = "\
A whole fleet in one thread, under a virtual clock: processes with the crate's own engine, a network, and a model of one server
that runs the crate's own scripts. A seed decides every delay, loss, crash and clock step. A checker of its own looks for
violations of P1 to P7, as that crate has them, and of the engine's invariants. Fencing tokens may fall where the server may
lose its data and its clock is set back: then P1 and P3 are not required.
";

const MUTANTS: &str = "\
Deliberately wrong versions of the crate, each with the check that has to fail on it.
";

const BATTERY_MUTANTS: &str = "\
Some of them are also run by the battery's processes, each in a short round of its own. The checker does not know which mutant
ran. It has to report a violation of the property that the mistake breaks.
";

const AGAIN: &str = "\
```text
tests/run.sh                                            # everything, in its short form
cargo run --release -p battery -- run                   # the battery, a minute
cargo run --release -p battery -- run --seconds 4000    # the long form
cargo run --release -p battery -- run --topology sentinel    # or cluster: with failovers
cargo run --release -p battery -- run --seed N          # the faults of a seed again
cargo run --release -p battery -- plan --seed N         # which those are
cargo run --release -p battery -- control
cargo run --release -p simulation -- --seeds 2000       # the simulation
tests/mutants/battery.sh
```

`ORCHESTRIX_EVIDENCE=DIR tests/run.sh` also writes the figures into that directory, and
`cargo run --release -p battery -- evidence --in DIR --out docs/evidence.md` makes this
page of them. A seed determines the faults and their times. What the processes do then also depends on the machine.
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
        self.run("run_sentinel", "On a Sentinel set");
        self.run("run_cluster", "On a cluster");
        self.section("Without fencing", CONTROL);
        self.table_of("control");
        self.section("The simulation", SIMULATION);
        self.counts("simulation");
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
        self.counts(name);
    }

    /// The figures of a run, and how much there was of each kind.
    fn counts(&mut self, name: &str) {
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
        assert_eq!(text.matches("Not run.").count(), 8, "{text}");
        assert!(text.contains("fuzz: not run."));
        let figures = Figures::from([
            ("mutants".to_owned(), json!([{"mutant": "m1", "what": "w", "check": "c", "killed": true, "seconds": 2}])),
            ("fuzz".to_owned(), json!({"resources": 1_200_345})),
            ("simulation".to_owned(), json!({"seeds": 2_000, "faults_by_kind": {"failover": 118}})),
            (
                "run_long".to_owned(),
                json!({"seed": 3, "faults_by_kind": {"cut": 4}, "properties": [{"property": "P1"}]}),
            ),
        ]);
        let text = Document::new(&figures).text(Some("a section of ours"));
        for shown in [
            "1 of 1 were caught",
            "1 200 345",
            "| cut | 4 |",
            "| P1 |",
            "| seeds | 2 000 |",
            "| failover | 118 |",
            "a section of ours",
            "loom: not run.",
        ] {
            assert!(text.contains(shown), "{shown} is not in {text}");
        }
        assert!(!text.contains("fuzz: not run."));
        assert!(!text.contains("### simulation"), "it has a section of its own");
    }

    #[test]
    fn digits_are_in_groups_of_three() {
        let of = |number| grouped(number);
        assert_eq!([of("7"), of("1000"), of("-123456.75"), of("12.0")], ["7", "1 000", "-123 456.75", "12"]);
    }
}
