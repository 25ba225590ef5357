//! A shell that is the server's parent, and outlives the test just long enough to end the server.
//!
//! A test process can end without a chance to clean up: killed by a runner at its time limit, or aborted. Then the
//! shell's standard input closes, and it kills the server and removes its directory. As the server's parent it is
//! also the one that may send signals to its process number without a doubt whose number that is.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// The arguments are the directory and the server's own variables, as `NAME=VALUE`.
///
/// One word per line on standard input, one line of answer for each. What follows `start` is one more argument of the
/// server. Signals for the test's process group are not for the shell: it ends with its input, or a server would be left
/// behind. The log of an earlier start is gone before `start` is answered.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
directory="${1:?}"
shift
server=
while read -r word; do
    case "$word" in
        start*)
            : >"$directory/log"
            env "$@" redis-server "$directory/redis.conf" ${word#start} >>"$directory/log" 2>&1 </dev/null &
            server=$!
            echo "$server"
            ;;
        kill) kill -KILL "$server"; wait "$server"; server=; echo killed ;;
        stop) kill -STOP "$server"; echo stopped ;;
        resume) kill -CONT "$server"; echo resumed ;;
    esac
done
if [ -n "$server" ]; then kill -KILL "$server"; wait "$server"; fi
rm -rf "${directory:?}"
"#;

#[derive(Debug)]
pub(crate) struct Supervisor {
    shell: Child,
    /// `None` only while dropped.
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// `directory` has the `redis.conf`, and is removed at the end. `environment`: more variables for the server.
    pub(crate) fn new(directory: &Path, environment: &[(String, String)]) -> Self {
        require_redis_server();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(directory)
            .args(environment.iter().map(|(name, value)| format!("{name}={value}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        let words = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        Self { shell, words, answers }
    }

    /// Starts the server and returns its process number. It may not be ready yet, and may end at once.
    pub(crate) fn start(&mut self) -> u32 {
        self.ask("start").parse().expect("the shell answers with a process number")
    }

    /// As [`start`](Self::start), as a sentinel.
    pub(crate) fn start_sentinel(&mut self) -> u32 {
        self.ask("start --sentinel").parse().expect("the shell answers with a process number")
    }

    /// Ends the server at once, without a chance for it to do anything. Returns when it is gone.
    pub(crate) fn kill(&mut self) {
        self.ask("kill");
    }

    pub(crate) fn stop(&mut self) {
        self.ask("stop");
    }

    pub(crate) fn resume(&mut self) {
        self.ask("resume");
    }

    fn ask(&mut self, word: &str) -> String {
        let words = self.words.as_mut().unwrap();
        writeln!(words, "{word}").and_then(|()| words.flush()).expect("the shell listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the shell answers");
        assert!(!answer.is_empty(), "the shell has ended instead of an answer to {word}");
        answer.trim_end().to_owned()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // The end of its input is its sign.
        drop(self.words.take());
        _ = self.shell.wait();
    }
}

/// What the kernel says of a process: `T` is stopped. `None` if there is none, or it has ended and only waits for its
/// parent.
pub(crate) fn process_state(pid: u32) -> Option<char> {
    let state = if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses before it may have any character.
        stat.rsplit_once(") ")?.1.chars().next()?
    } else {
        let output = Command::new("ps").args(["-o", "state=", "-p", &pid.to_string()]).output().expect("ps runs");
        String::from_utf8_lossy(&output.stdout).trim_start().chars().next()?
    };
    (state != 'Z').then_some(state)
}

fn require_redis_server() {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = *FOUND.get_or_init(|| match Command::new("redis-server").arg("--version").output() {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("redis-server can't be started: {error}"),
    });
    assert!(
        found,
        "these tests start their own redis-server, and there is none on this machine: install it, on Debian and \
         Ubuntu with: apt-get install redis-server"
    );
}
