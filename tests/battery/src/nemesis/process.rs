//! One worker process.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::worker::{Order, Quiet, Setup};

/// Stops a process and lets it go on at the end of its own input, also when that comes from the end of ours.
const STOPPER: &str = r#"trap '' HUP INT TERM; kill -STOP "$1" && echo stopped; read -r _; kill -CONT "$1""#;

/// Says which mistake is made by a process that was built with the patches of `tests/mutants`.
const MUTANT: &str = "ORCHESTRIX_MUTANT";

/// Killed when dropped. It ends by itself with its standard input.
#[derive(Debug)]
pub(super) struct Process {
    number: u32,
    child: Child,
    /// `None` only while dropped.
    orders: Option<ChildStdin>,
    said: Receiver<Quiet>,
    listener: Option<JoinHandle<()>>,
    errors: PathBuf,
    history: PathBuf,
}

impl Process {
    /// Starts it; what it writes to its standard error is kept beside its history.
    /// `mutant`: the mistake that it makes.
    pub(super) fn start(setup: &Setup, mutant: Option<&str>) -> io::Result<Self> {
        let errors = setup.history.with_extension("stderr");
        let mut command = Command::new(std::env::current_exe()?);
        command.env_remove(MUTANT).envs(mutant.map(|mutant| (MUTANT, mutant)));
        let mut child = command
            .arg("worker")
            .arg(serde_json::to_string(setup)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .process_group(0)
            .spawn()?;
        let orders = child.stdin.take();
        let output = child.stdout.take();
        let (say, said) = mpsc::channel();
        // Ends with the process: its output ends then.
        let listener = std::thread::spawn(move || {
            for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok) {
                if let Ok(quiet) = serde_json::from_str(&line) {
                    _ = say.send(quiet);
                }
            }
        });
        let (number, history) = (setup.process, setup.history.clone());
        Ok(Self { number, child, orders, said, listener: Some(listener), errors, history })
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn history(&self) -> &Path {
        &self.history
    }

    pub(super) fn order(&mut self, order: Order) -> io::Result<()> {
        let orders = self.orders.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(orders, "{}", serde_json::to_string(&order)?)?;
        orders.flush()
    }

    /// Waits for its answer to [`Order::Quiet`]; `None`: there is none in time.
    pub(super) fn quiet(&self, limit: Duration) -> Option<Quiet> {
        self.said.recv_timeout(limit).ok()
    }

    /// SIGSTOP. It goes on when what is returned is dropped.
    pub(super) fn stop(&self) -> io::Result<Stopped> {
        let mut shell = Command::new("sh")
            .args(["-c", STOPPER, "sh", &self.child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let mut answer = String::new();
        if let Some(output) = &mut shell.stdout {
            BufReader::new(output).read_line(&mut answer)?;
        }
        Ok(Stopped(shell))
    }

    /// SIGKILL; returns when it is gone.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// How it has ended by itself, with what it wrote to its standard error; `None`: it runs.
    pub(super) fn ended(&mut self) -> io::Result<Option<(ExitStatus, String)>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        Ok(Some((status, std::fs::read_to_string(&self.errors).unwrap_or_default())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.orders.take());
        _ = self.child.kill();
        _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            _ = listener.join();
        }
    }
}

/// A process is stopped while this lives.
#[derive(Debug)]
pub(super) struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        _ = self.0.wait();
    }
}
