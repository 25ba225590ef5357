//! What the command line says.

use std::path::PathBuf;

use crate::nemesis::Topology;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Options),
    Control(Options),
    Mutants(Options),
    Plan(Options),
    Check(Vec<String>),
    /// Its `Setup`, as JSON.
    Worker(String),
    Evidence {
        from: PathBuf,
        to: PathBuf,
    },
}

/// Of the commands that start something, or would.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// One of chance where it is not given.
    pub(crate) seed: Option<u64>,
    pub(crate) seconds: Option<u64>,
    pub(crate) topology: Topology,
    /// For histories; one that is removed at the end where it is not given, unless something was found.
    pub(crate) out: Option<PathBuf>,
    /// One of the mutants.
    pub(crate) only: Option<String>,
    /// For the figures.
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ArgsError {
    #[error("no command; there are run, control, mutants, plan, check, evidence")]
    NoCommand,
    #[error("unknown command {0}; there are run, control, mutants, plan, check, evidence")]
    UnknownCommand(String),
    #[error("unknown argument {0}; {1}")]
    UnknownArgument(String, &'static str),
    #[error("{0} needs a value")]
    NoValue(&'static str),
    #[error("--topology is single, sentinel or cluster, not {0}")]
    NoTopology(String),
    #[error("{0} is a whole number of at most 20 digits, not {1}")]
    NotANumber(&'static str, String),
}

/// `arguments` without the program's own name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, ArgsError> {
    let mut arguments = arguments.into_iter();
    let command = arguments.next().ok_or(ArgsError::NoCommand)?;
    Ok(match command.as_str() {
        "run" => Command::Run(options(arguments)?),
        "control" => Command::Control(options(arguments)?),
        "mutants" => Command::Mutants(options(arguments)?),
        "plan" => Command::Plan(options(arguments)?),
        "check" => Command::Check(arguments.collect()),
        "worker" => Command::Worker(arguments.next().ok_or(ArgsError::NoValue("worker"))?),
        "evidence" => evidence(arguments)?,
        _ => return Err(ArgsError::UnknownCommand(command)),
    })
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, ArgsError> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seed" => options.seed = Some(number("--seed", arguments.next())?),
            "--seconds" => options.seconds = Some(number("--seconds", arguments.next())?),
            "--topology" => {
                let name = arguments.next().ok_or(ArgsError::NoValue("--topology"))?;
                options.topology = Topology::named(&name).ok_or(ArgsError::NoTopology(name))?;
            }
            "--out" => options.out = Some(path("--out", arguments.next())?),
            "--json" => options.json = Some(path("--json", arguments.next())?),
            "--only" => options.only = Some(arguments.next().ok_or(ArgsError::NoValue("--only"))?),
            _ => {
                let known = "there are --seed N, --seconds N, --topology NAME, --out DIR, --json FILE, --only MUTANT";
                return Err(ArgsError::UnknownArgument(argument, known));
            }
        }
    }
    Ok(options)
}

fn evidence(mut arguments: impl Iterator<Item = String>) -> Result<Command, ArgsError> {
    let (mut from, mut to) = (None, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--in" => from = Some(path("--in", arguments.next())?),
            "--out" => to = Some(path("--out", arguments.next())?),
            _ => return Err(ArgsError::UnknownArgument(argument, "there are --in DIR and --out FILE")),
        }
    }
    Ok(Command::Evidence { from: from.ok_or(ArgsError::NoValue("--in"))?, to: to.ok_or(ArgsError::NoValue("--out"))? })
}

fn path(name: &'static str, value: Option<String>) -> Result<PathBuf, ArgsError> {
    value.map(PathBuf::from).ok_or(ArgsError::NoValue(name))
}

fn number(name: &'static str, value: Option<String>) -> Result<u64, ArgsError> {
    let value = value.ok_or(ArgsError::NoValue(name))?;
    value.parse().map_err(|_| ArgsError::NotANumber(name, value))
}

#[cfg(test)]
mod tests {
    use super::{Command, Topology, parse};

    fn of(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |line| of(line).err().unwrap_or_default();
        assert!(said("").contains("there are run"));
        assert!(said("runs").contains("runs"));
        assert!(said("run --sed 1").contains("--sed"));
        assert!(said("run --seed").contains("needs a value"));
        assert!(said("run --seed -1").contains("-1"));
        assert!(said("run --topology ring").contains("not ring"));
        assert!(said("evidence --in here").contains("--out"));
    }

    #[test]
    fn what_is_right_is_taken() {
        let Ok(Command::Run(options)) = of("run --seed 4 --seconds 9 --topology cluster --out d") else {
            unreachable!("run")
        };
        assert_eq!((options.seed, options.seconds), (Some(4), Some(9)));
        assert_eq!(options.topology, Topology::Cluster);
        assert!(options.out.is_some() && options.json.is_none());
    }
}
