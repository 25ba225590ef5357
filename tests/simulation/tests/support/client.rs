//! A client that tells every reply exactly, and keeps the messages that come between them.

use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use simulation::server::Reply;

/// A connection with RESP3.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
    /// Inboxes and what they were told.
    messages: Vec<(Vec<u8>, Vec<u8>)>,
}

enum Frame {
    Reply(Reply),
    Push(Vec<Reply>),
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut client = Self { stream: BufReader::new(stream), messages: Vec::new() };
        client.send(&[b"HELLO", b"3"])?;
        client.reply()?;
        Ok(client)
    }

    /// What the server answers to one command.
    pub(crate) fn ask(&mut self, words: &[&[u8]]) -> Reply {
        self.send(words).and_then(|()| self.reply()).unwrap()
    }

    pub(crate) fn subscribe(&mut self, channel: &[u8]) {
        self.send(&[b"SUBSCRIBE", channel]).unwrap();
        self.ask(&[b"PING"]);
    }

    pub(crate) fn unsubscribe(&mut self, channel: &[u8]) {
        self.send(&[b"UNSUBSCRIBE", channel]).unwrap();
        self.ask(&[b"PING"]);
    }

    /// Those that came until now. A message that was published before a command is there once that is answered.
    pub(crate) fn take_messages(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        std::mem::take(&mut self.messages)
    }

    /// The server's clock, in microseconds since 1970.
    pub(crate) fn time(&mut self) -> u64 {
        let Reply::List(parts) = self.ask(&[b"TIME"]) else { panic!("TIME answers with a list") };
        let [seconds, microseconds] = parts.as_slice() else { panic!("of two") };
        let number = |reply: &Reply| match reply {
            Reply::Text(text) => std::str::from_utf8(text).unwrap().parse::<u64>().unwrap(),
            other => panic!("{other:?} is no part of a time"),
        };
        number(seconds) * 1_000_000 + number(microseconds)
    }

    fn send(&mut self, words: &[&[u8]]) -> io::Result<()> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes)
    }

    fn reply(&mut self) -> io::Result<Reply> {
        loop {
            match self.frame()? {
                Frame::Reply(reply) => return Ok(reply),
                Frame::Push(parts) => {
                    if let [Reply::Text(kind), Reply::Text(channel), Reply::Text(payload)] = parts.as_slice()
                        && kind == b"message"
                    {
                        self.messages.push((channel.clone(), payload.clone()));
                    }
                }
            }
        }
    }

    fn frame(&mut self) -> io::Result<Frame> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let Some((kind, rest)) = line.strip_suffix(b"\r\n").and_then(<[u8]>::split_first) else {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        };
        let number = || std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok());
        let number = || number().ok_or_else(|| Error::from(ErrorKind::InvalidData));
        Ok(Frame::Reply(match kind {
            b'_' => Reply::Nil,
            b':' => Reply::Integer(number()?),
            b'+' => Reply::Status(rest.to_owned()),
            b'-' => Reply::Error(String::from_utf8_lossy(rest).into_owned()),
            b'$' => {
                let mut text = vec![0; usize::try_from(number()?).map_err(Error::other)? + 2];
                self.stream.read_exact(&mut text)?;
                text.truncate(text.len() - 2);
                Reply::Text(text)
            }
            b'*' => Reply::List(self.parts(number()?)?),
            // A pair is two parts.
            b'%' => Reply::List(self.parts(2 * number()?)?),
            b'>' => return Ok(Frame::Push(self.parts(number()?)?)),
            _ => return Err(Error::new(ErrorKind::InvalidData, String::from_utf8_lossy(&line))),
        }))
    }

    fn parts(&mut self, count: i64) -> io::Result<Vec<Reply>> {
        (0..count)
            .map(|_| match self.frame()? {
                Frame::Reply(reply) => Ok(reply),
                Frame::Push(_) => Err(Error::from(ErrorKind::InvalidData)),
            })
            .collect()
    }
}
