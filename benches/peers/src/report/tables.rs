//! Results, and the tables and plots of them.

use std::fmt::Write as _;

use super::{Panel, write_plot};
use crate::Result;
use crate::figures::{Waits, jain, median, spread};
use crate::memory;
use crate::redis::{Contender, Pings, Round, Scene};

pub(crate) type Notes = Vec<String>;

/// All rounds of one contender in one scene.
pub(crate) struct RedisResult {
    pub(crate) scene: Scene,
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Round>,
    /// Measured just before each round.
    pub(crate) pings: Vec<Pings>,
}

impl RedisResult {
    pub(crate) fn each(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.cycles).collect()
    }

    pub(crate) fn cycles(&self) -> f64 {
        median(self.each())
    }

    /// The median of what each round is to the other's round beside it.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        median(self.each().iter().zip(other.each()).map(|(ours, theirs)| ours / theirs))
    }

    pub(crate) fn waits(&self) -> Waits {
        let mut all = Waits::default();
        for round in &self.rounds {
            all.merge(&round.waits);
        }
        all
    }

    pub(crate) fn jain(&self) -> f64 {
        median(self.rounds.iter().map(|round| jain(&round.shares)))
    }

    pub(crate) fn commands(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.commands as f64 / round.all_cycles as f64))
    }

    /// The time of one cycle, in PING round trips.
    pub(crate) fn pings(&self) -> f64 {
        median(self.rounds.iter().zip(&self.pings).map(|(round, ping)| ping.in_a_second / round.cycles))
    }

    pub(crate) fn overlaps(&self) -> u64 {
        self.rounds.iter().map(|round| round.overlaps).sum()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.rounds.iter().map(|round| round.errors).sum()
    }
}

pub(crate) struct MemoryResult {
    pub(crate) scene: &'static memory::Scene,
    pub(crate) name: &'static str,
    pub(crate) nanos: Vec<f64>,
}

pub(crate) fn find<'a>(results: &'a [RedisResult], scene: &str, name: &str) -> Option<&'a RedisResult> {
    results.iter().find(|result| result.scene.name == scene && result.name == name)
}

pub(crate) fn thousands(value: f64) -> String {
    if value >= 99_950.0 {
        format!("{:.0} k", value / 1e3)
    } else if value >= 999.5 {
        format!("{:.1} k", value / 1e3)
    } else {
        format!("{value:.0}")
    }
}

fn times(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio >= 10.0 => format!("{ratio:.0}"),
        Some(ratio) if ratio > 0.0 => format!("{ratio:.2}"),
        _ => "-".to_owned(),
    }
}

pub(super) fn millis(time: std::time::Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis >= 10.0 { format!("{millis:.0}") } else { format!("{millis:.2}") }
}

fn scenes(results: &[RedisResult]) -> Vec<&Scene> {
    let mut scenes: Vec<&Scene> = Vec::new();
    for result in results {
        if scenes.iter().all(|scene| scene.name != result.scene.name) {
            scenes.push(&result.scene);
        }
    }
    scenes
}

pub(crate) fn redis_tables(results: &[RedisResult]) -> String {
    let mut text = String::new();
    for scene in scenes(results) {
        let pings = || results.iter().filter(|of| of.scene.name == scene.name).flat_map(|of| &of.pings);
        let longest = pings().map(|pings| pings.longest).max().unwrap_or_default();
        _ = writeln!(
            text,
            "\n### {}\n\nA PING round trip took {:.0} µs, the longest {} ms.\n\n\
             | | cycles/s | ± | to ours | to raw | wait p50, ms | p99 | longest | Jain | commands a cycle | PINGs a \
             cycle |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            scene.title,
            1e6 / median(pings().map(|pings| pings.in_a_second)),
            millis(longest),
        );
        for result in results.iter().filter(|result| result.scene.name == scene.name) {
            let waits = result.waits();
            let to = |name| times(find(results, scene.name, name).map(|other| result.ratio(other)));
            let mut remarks = String::new();
            if result.overlaps() > 0 {
                _ = write!(remarks, " ({} overlaps)", result.overlaps());
            }
            if result.errors() > 0 {
                _ = write!(remarks, " ({} errors)", result.errors());
            }
            _ = writeln!(
                text,
                "| {}{remarks} | {} | {:.0} % | {} | {} | {} | {} | {} | {:.2} | {:.1} | {:.2} |",
                result.name,
                thousands(result.cycles()),
                spread(&result.each()) * 100.0,
                to(Contender::OURS),
                to(Contender::RAW),
                millis(waits.quantile(0.5)),
                millis(waits.quantile(0.99)),
                millis(waits.longest()),
                result.jain(),
                result.commands(),
                result.pings(),
            );
        }
    }
    text
}

pub(crate) fn memory_table(results: &[MemoryResult]) -> String {
    let scenes: Vec<_> =
        memory::SCENES.iter().filter(|scene| results.iter().any(|result| result.scene.name == scene.name)).collect();
    if scenes.is_empty() {
        return String::new();
    }
    let mut text = "\n### In memory\n\nNanoseconds a cycle, over all threads.\n\n|".to_owned();
    for scene in &scenes {
        _ = write!(text, " | {} | ±", scene.title);
    }
    _ = write!(text, " |\n| ---{} |\n", " | ---: | ---:".repeat(scenes.len()));
    for contender in &memory::CONTENDERS {
        let mut line = format!("| {}", contender.name);
        let mut any = false;
        for scene in &scenes {
            let of = results.iter().find(|of| of.name == contender.name && of.scene.name == scene.name);
            any |= of.is_some();
            _ = match of {
                Some(of) => {
                    write!(line, " | {:.0} | {:.0} %", median(of.nanos.clone()), spread(&of.nanos) * 100.0)
                }
                None => write!(line, " | - | -"),
            };
        }
        if any {
            _ = writeln!(text, "{line} |");
        }
    }
    text
}

/// Every plot of the document.
pub(crate) fn plots(redis: &[RedisResult], memory: &[MemoryResult]) -> Result<()> {
    type Bar = fn(&RedisResult) -> (f64, String);
    let panels = |contended_only: bool, unit: &str, bar: Bar| -> Vec<Panel> {
        scenes(redis)
            .into_iter()
            .filter(|scene| scene.contended() || !contended_only)
            .map(|scene| Panel {
                title: format!("{}: {unit}", scene.title),
                bars: redis
                    .iter()
                    .filter(|result| result.scene.name == scene.name)
                    .map(|result| {
                        let (value, figure) = bar(result);
                        (result.name.to_owned(), value, figure)
                    })
                    .collect(),
            })
            .collect()
    };
    let cycles = panels(false, "cycles a second, more is better", |of| (of.cycles(), thousands(of.cycles())));
    write_plot("redis-cycles.svg", memory::OURS, &cycles)?;
    let longest = panels(true, "longest wait, less is better", |of| {
        let longest = of.waits().longest();
        (longest.as_secs_f64(), format!("{} ms", millis(longest)))
    });
    write_plot("redis-longest-wait.svg", memory::OURS, &longest)?;
    let commands =
        panels(true, "commands a cycle, less is better", |of| (of.commands(), format!("{:.1}", of.commands())));
    write_plot("redis-commands.svg", memory::OURS, &commands)?;
    let memory: Vec<_> = memory::SCENES
        .iter()
        .map(|scene| Panel {
            title: format!("In memory, {}: nanoseconds a cycle, less is better", scene.title),
            bars: memory
                .iter()
                .filter(|of| of.scene.name == scene.name)
                .map(|of| (of.name.to_owned(), median(of.nanos.clone()), format!("{:.0} ns", median(of.nanos.clone()))))
                .collect(),
        })
        .collect();
    write_plot("memory.svg", memory::OURS, &memory)
}
