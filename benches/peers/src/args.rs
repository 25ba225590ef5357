//! The command line.

use std::time::Duration;

use crate::Result;

pub(crate) const HELP: &str = "\
Runs our locks beside the peers and the raw limit. Needs redis-server, and starts its own.

  --rounds N        rounds of each, in turns; 5 by default
  --seconds S       the length of a round; 2 by default
  --only NAME       only those with NAME in their names; can be repeated
  --scenario NAME   only scenes with NAME in theirs; can be repeated
  --scale           instead: leases held at once, and the number of waiters
  --http            instead: the layer around a ready service, and on a route of axum
  --no-write        only print

A run of a part, with --only or --scenario, only prints.";

#[expect(clippy::struct_excessive_bools, reason = "a flag each")]
pub(crate) struct Args {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) only: Vec<String>,
    pub(crate) scenes: Vec<String>,
    pub(crate) scale: bool,
    pub(crate) http: bool,
    pub(crate) write: bool,
    pub(crate) help: bool,
}

impl Args {
    pub(crate) fn parse() -> Result<Self> {
        let mut args = Self {
            rounds: 5,
            time: Duration::from_secs(2),
            only: Vec::new(),
            scenes: Vec::new(),
            scale: false,
            http: false,
            write: true,
            help: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--rounds" => args.rounds = value()?.parse().map_err(|_| "--rounds is a number")?,
                "--seconds" => {
                    let seconds: f64 = value()?.parse().map_err(|_| "--seconds is a number")?;
                    args.time = Duration::try_from_secs_f64(seconds)?;
                }
                "--only" => args.only.push(value()?),
                "--scenario" => args.scenes.push(value()?),
                "--scale" => args.scale = true,
                "--http" => args.http = true,
                "--no-write" => args.write = false,
                "-h" | "--help" => args.help = true,
                _ => return Err(format!("unknown argument {word}\n\n{HELP}").into()),
            }
        }
        if args.rounds == 0 || args.time < Duration::from_millis(10) {
            return Err("at least one round of 0.01 s".into());
        }
        args.write &= args.only.is_empty() && args.scenes.is_empty();
        Ok(args)
    }

    pub(crate) fn wants(&self, contender: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| contender.contains(part.as_str()))
    }

    pub(crate) fn wants_scene(&self, scene: &str) -> bool {
        self.scenes.is_empty() || self.scenes.iter().any(|part| scene.contains(part.as_str()))
    }
}
