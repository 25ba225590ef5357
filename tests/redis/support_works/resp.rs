//! Frames are found in streams of any kind, in pieces of any size.

use crate::support::{Piece, Splitter};

/// One frame of every type, and some within others. Those that begin with `>` are push frames.
const FRAMES: &[&str] = &[
    "+OK\r\n",
    "+\r\n",
    "-ERR no such command\r\n",
    ":-42\r\n",
    "$5\r\nhello\r\n",
    "$0\r\n\r\n",
    "$-1\r\n",
    "$6\r\n>1\r\n+O\r\n",
    "*0\r\n",
    "*-1\r\n",
    "*2\r\n$1\r\na\r\n*3\r\n:1\r\n*0\r\n_\r\n",
    "_\r\n",
    "#t\r\n",
    ",-1.5e300\r\n",
    ",inf\r\n",
    "(3492890328409238509324850943850943825024385\r\n",
    "!21\r\nSYNTAX invalid syntax\r\n",
    "=15\r\ntxt:Some string\r\n",
    "%0\r\n",
    "%2\r\n+first\r\n:1\r\n+second\r\n%1\r\n#t\r\n~2\r\n:1\r\n:2\r\n",
    "~3\r\n+a\r\n_\r\n$-1\r\n",
    "|1\r\n+key-popularity\r\n%1\r\n$1\r\na\r\n,0.19\r\n*2\r\n:1\r\n|1\r\n+ttl\r\n:3600\r\n:3\r\n",
    ">3\r\n$7\r\nmessage\r\n$5\r\ninbox\r\n$4\r\n\r\n\r\n\r\n",
    ">4\r\n+pmessage\r\n+in*\r\n+inbox\r\n+grant\r\n",
    ">4\r\n$8\r\npmessage\r\n$3\r\nin*\r\n$5\r\ninbox\r\n$5\r\ngrant\r\n",
    ">3\r\n$9\r\nsubscribe\r\n$5\r\ninbox\r\n:1\r\n",
    ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n",
    "|1\r\n+about\r\n+push\r\n>1\r\n+x\r\n",
    "|0\r\n:7\r\n",
];

fn is_push(frame: &str) -> bool {
    frame.starts_with('>') || frame.contains("\r\n>1\r\n+x")
}

/// The answers' bytes, and the push frames.
fn split(stream: &[u8], sizes: impl IntoIterator<Item = usize>) -> (Vec<u8>, Vec<Vec<u8>>, Splitter) {
    let mut splitter = Splitter::default();
    let (mut replies, mut pushes) = (Vec::new(), Vec::new());
    let mut left = stream;
    let mut sizes = sizes.into_iter();
    while !left.is_empty() {
        let (now, later) = left.split_at(sizes.next().unwrap_or(left.len()).clamp(1, left.len()));
        left = later;
        for piece in splitter.feed(now).unwrap() {
            match piece {
                Piece::Reply(mut bytes) => replies.append(&mut bytes),
                Piece::Push(frame) => pushes.push(frame),
            }
        }
    }
    (replies, pushes, splitter)
}

fn check(frames: &[&str], sizes: impl IntoIterator<Item = usize>) {
    let (replies, pushes, mut splitter) = split(frames.concat().as_bytes(), sizes);
    let (of_push, of_reply): (Vec<&str>, Vec<&str>) = frames.iter().copied().partition(|frame| is_push(frame));
    assert_eq!(String::from_utf8(replies).unwrap(), of_reply.concat());
    assert_eq!(pushes.concat(), of_push.concat().as_bytes());
    assert_eq!(pushes.len(), of_push.len());
    assert_eq!(splitter.frames(), frames.len() as u64);
    assert!(splitter.rest().is_empty());
}

#[test]
fn every_type_alone_and_in_pieces_of_every_size() {
    for frame in FRAMES {
        for size in 1..=frame.len() {
            check(&[frame], std::iter::repeat(size));
        }
    }
}

#[test]
fn a_stream_of_all_in_pieces_of_every_size() {
    for size in 1..=FRAMES.concat().len() {
        check(FRAMES, std::iter::repeat(size));
    }
}

#[test]
fn every_two_frames_next_to_each_other() {
    for first in FRAMES {
        for second in FRAMES {
            check(&[first, second], std::iter::repeat(3));
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_frames_in_any_pieces(
        frames in proptest::collection::vec(proptest::sample::select(FRAMES), 0..30),
        sizes in proptest::collection::vec(1_usize..20, 0..100),
    ) {
        check(&frames, sizes);
    }

    #[test]
    fn no_bytes_are_lost_whatever_they_are(
        bytes in proptest::collection::vec(proptest::sample::select(&b"+$*>|%-019a\r\n"[..]), 0..60),
        size in 1_usize..8,
    ) {
        let mut splitter = Splitter::default();
        let mut passed = Vec::new();
        let mut fed = 0;
        for part in bytes.chunks(size) {
            fed += part.len();
            match splitter.feed(part) {
                Ok(pieces) => passed.extend(pieces.into_iter().flat_map(Piece::into_bytes)),
                Err(_) => break,
            }
        }
        passed.append(&mut splitter.rest());
        proptest::prop_assert_eq!(&passed, &bytes[..fed]);
    }
}

#[test]
fn an_answer_is_passed_on_before_it_is_whole() {
    let mut splitter = Splitter::default();
    assert_eq!(splitter.feed(b"$5\r\nhe").unwrap(), [Piece::Reply(b"$5\r\nhe".to_vec())]);
    assert_eq!(splitter.feed(b"llo\r").unwrap(), [Piece::Reply(b"llo\r".to_vec())]);
    assert_eq!(splitter.frames(), 0);
    assert_eq!(splitter.feed(b"\n").unwrap(), [Piece::Reply(b"\n".to_vec())]);
    assert_eq!(splitter.frames(), 1);
    assert_eq!(splitter.feed(b">1\r\n+half").unwrap(), []);
    assert_eq!(splitter.rest(), b">1\r\n+half");
}

#[test]
fn only_published_messages_are_messages() {
    let messages: Vec<&str> = FRAMES
        .iter()
        .copied()
        .filter(|frame| {
            let (_, pushes, _) = split(frame.as_bytes(), []);
            pushes.into_iter().any(|frame| Piece::Push(frame).is_message())
        })
        .collect();
    assert_eq!(messages, [FRAMES[22], FRAMES[24]]);
    assert!(!Piece::Reply(FRAMES[22].into()).is_message());
}

#[test]
fn what_is_no_resp_is_refused_and_kept() {
    for wrong in [
        "\u{16}\u{3}\u{1}",
        "HTTP/1.1 200 OK\r\n",
        "$x\r\n",
        "$\r\n",
        "$+1\r\n",
        "$-2\r\n",
        "*1x\r\n",
        "$?\r\n",
        "*18446744073709551616\r\n",
        "$18446744073709551615\r\n",
        "%9223372036854775808\r\n",
        "*18446744073709551615\r\n*18446744073709551615\r\n",
    ] {
        let stream = format!("+OK\r\n{wrong} and more");
        let mut splitter = Splitter::default();
        let error = splitter.feed(stream.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("not a header of RESP: "), "{error}");
        assert_eq!(String::from_utf8(splitter.rest()).unwrap(), stream);
    }
    let mut endless = Splitter::default();
    assert!(endless.feed("+".repeat(100_000).as_bytes()).is_err());
}
