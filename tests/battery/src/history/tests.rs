//! Lines are written and read again, whole ones only.

use std::fs;
use std::io::Write;

use super::{Event, File, Line, Outcome, ReadError, Side};

fn lines() -> Vec<Line> {
    let resource = || String::from("shared:0");
    let fence = orchestrix_locking::FencingToken::new(1 << 62).unwrap();
    let events = vec![
        Event::Acquire { resource: resource(), ttl: 1, wait: Some(0), renewed: true },
        Event::Acquire { resource: resource(), ttl: 1, wait: None, renewed: false },
        Event::Waiting,
        Event::Granted { fence, deadline: u64::MAX },
        Event::Ended { outcome: Outcome::Failed("Unavailable: \"no\"\n".into()) },
        Event::Held { deadline: 3 },
        Event::Extend { by: 4 },
        Event::Extended { outcome: Outcome::Yes, deadline: 5 },
        Event::Lost { deadline: 6 },
        Event::Release { held: true, dropped: false },
        Event::Released { outcome: Outcome::No },
        Event::Store { side: Side::Write, value: Some(7) },
        Event::Stored { side: Side::Read, outcome: Outcome::Unknown("late".into()), value: None },
        Event::Request { resource: resource(), ttl: 1 },
        Event::Handler { fence, deadline: 6 },
        Event::HandlerEnds { finished: true, held: false },
        Event::Answered { outcome: Outcome::GivenUp },
        Event::Fault { kind: "stop".into(), target: Some(3), trusted: true, detail: "SIGSTOP".into(), moved: 0 },
        Event::Clock { wall: 7 },
        Event::Undone { left: vec!["a".into()] },
        Event::Fault { kind: "restart".into(), target: None, trusted: false, detail: String::new(), moved: 5 },
        Event::Healed { kind: "stop".into() },
        Event::Gone { process: 4 },
        Event::Left { keys: vec!["key".into()], locks: 1, waiters: 2 },
        Event::Free { resource: resource(), after: 8 },
        Event::Final { resource: resource(), value: 9 },
    ];
    let line = |(op, event)| Line { at: 1 << 60, process: 5, op: op as u64, event };
    events.into_iter().enumerate().map(line).collect()
}

fn file(name: &str, contents: &[u8]) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("battery-{}-{name}.jsonl", std::process::id()));
    fs::write(&path, contents).unwrap();
    path
}

fn read(file: &mut File) -> Result<(Vec<Line>, bool), ReadError> {
    let mut lines = Vec::new();
    let cut = file.read(|number, line| {
        assert_eq!(u64::from(number), line.op + 1);
        lines.push(line);
    })?;
    Ok((lines, cut))
}

/// Each event comes back as it was. What ends within a line is read when the rest is there.
#[test]
fn a_file_is_read_as_far_as_it_is_written() {
    let lines = lines();
    let texts: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
    let all = texts.concat();
    let path = file("whole", &all.as_bytes()[..all.len() - 10]);
    let mut reader = File::new(&path);
    let (first, cut) = read(&mut reader).unwrap();
    assert_eq!(first, lines[..lines.len() - 1]);
    assert!(cut);
    assert_eq!(read(&mut reader).unwrap(), (Vec::new(), true));
    let mut written = fs::OpenOptions::new().append(true).open(&path).unwrap();
    written.write_all(&all.as_bytes()[all.len() - 10..]).unwrap();
    let (rest, cut) = read(&mut reader).unwrap();
    assert_eq!(rest, lines[lines.len() - 1..]);
    assert!(!cut);
    fs::remove_file(path).unwrap();
}

/// A line that is whole and wrong is an error that says where it is.
#[test]
fn a_bad_line_is_named() {
    let good = serde_json::to_string(&lines()[0]).unwrap();
    let path = file("bad", format!("{good}\n{{\"at\":1}}\n{good}\n").as_bytes());
    let error = File::new(&path).read(|_, _| ()).unwrap_err();
    assert!(error.to_string().contains("bad.jsonl:2 is no line of a history"), "{error}");
    fs::remove_file(path).unwrap();
    let error = File::new("/nowhere/1.jsonl").read(|_, _| ()).unwrap_err();
    assert!(matches!(error, ReadError::Io { .. }) && error.to_string().contains("/nowhere/1.jsonl"));
}
