//! Frame: commands out of the bytes that a client sends.
//!
//! A command is an array of bulk strings, or a line (see `inline`). redis-protocol reads the arrays, but only those that
//! are whole and within bounds: every length is looked at here as it arrives, and what has been looked at is not looked
//! at again when more comes. So a length costs nothing until its bytes are there, and neither depth nor drip-feeding
//! costs more than the bytes themselves. The texts of what is wrong are Redis's.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

use super::inline;
use crate::limits;

/// How much a client may send at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    args: i64,
    bulk: i64,
    inline: usize,
    is_known: bool,
}

impl Bounds {
    /// Of somebody who has proved who they are.
    pub const KNOWN: Self = Self {
        args: limits::REDIS_ARGS_MAX as i64,
        bulk: limits::REDIS_BULK_MAX as i64,
        inline: limits::REDIS_INLINE_MAX,
        is_known: true,
    };
    /// Of anybody else.
    pub const UNKNOWN: Self = Self {
        args: limits::REDIS_UNKNOWN_ARGS_MAX as i64,
        bulk: limits::REDIS_UNKNOWN_BULK_MAX as i64,
        inline: limits::REDIS_UNKNOWN_BULK_MAX,
        is_known: false,
    };
}

/// What is wrong with what was sent, to be read after "Protocol error: ".
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong(pub String);

impl From<&str> for Wrong {
    fn from(what: &str) -> Self {
        Self(what.to_owned())
    }
}

/// The most characters of a length, with its sign in front.
const LENGTH_MAX: usize = 24;

/// How far the command that is arriving has been looked at.
#[derive(Default)]
pub struct Frames {
    /// Bytes of it that have been looked at.
    seen: usize,
    /// Arguments that are still to come; `None` before the first line.
    left: Option<usize>,
}

impl Frames {
    /// Takes the next command off the bytes that came; `None` when it is not whole yet. A command without any words is
    /// passed over.
    ///
    /// # Errors
    /// What is wrong with it: nothing that follows can be read.
    pub fn next(&mut self, input: &mut BytesMut, bounds: Bounds) -> Result<Option<Vec<Bytes>>, Wrong> {
        loop {
            let Some(first) = input.first() else { return Ok(None) };
            if *first != b'*' {
                match inline::next(input, bounds.inline)? {
                    Some(words) if words.is_empty() => continue,
                    words => return Ok(words),
                }
            }
            if self.left.is_none() {
                let Some(count) = self.count(input, bounds)? else { return Ok(None) };
                if count == 0 {
                    let _ = input.split_to(std::mem::take(&mut self.seen));
                    continue;
                }
                self.left = Some(count);
            }
            if !self.is_whole(input, bounds)? {
                return Ok(None);
            }
            let frame = input.split_to(std::mem::take(&mut self.seen)).freeze();
            self.left = None;
            return words(&frame).map(Some);
        }
    }

    /// Bytes that are known to be missing: worth making room for, as far as they arrive.
    pub fn is_partial(&self) -> bool {
        self.left.is_some()
    }

    /// The number of arguments.
    fn count(&mut self, input: &[u8], bounds: Bounds) -> Result<Option<usize>, Wrong> {
        let Some((line, end)) = line(input, 1).map_err(|()| "invalid multibulk length")? else { return Ok(None) };
        let count = length(line).filter(|count| *count <= i64::from(i32::MAX)).ok_or("invalid multibulk length")?;
        if count > bounds.args {
            return Err(
                if bounds.is_known { "invalid multibulk length" } else { "unauthenticated multibulk length" }.into()
            );
        }
        self.seen = end;
        Ok(Some(usize::try_from(count).unwrap_or(0)))
    }

    /// Looks at what has not been looked at; says whether all arguments are there.
    fn is_whole(&mut self, input: &[u8], bounds: Bounds) -> Result<bool, Wrong> {
        while let Some(left @ 1..) = self.left {
            let Some(sign) = input.get(self.seen) else { return Ok(false) };
            if *sign != b'$' {
                return Err(Wrong(format!("expected '$', got '{}'", shown(*sign))));
            }
            let found = line(input, self.seen + 1).map_err(|()| "invalid bulk length")?;
            let Some((line, end)) = found else { return Ok(false) };
            let bytes = length(line).filter(|bytes| *bytes >= 0).ok_or("invalid bulk length")?;
            if bytes > bounds.bulk {
                return Err(if bounds.is_known { "invalid bulk length" } else { "unauthenticated bulk length" }.into());
            }
            let end = end + usize::try_from(bytes).unwrap_or(0) + 2;
            if end > limits::REDIS_REQUEST_MAX {
                return Err("too big request".into());
            }
            if input.len() < end {
                return Ok(false);
            }
            (self.seen, self.left) = (end, Some(left - 1));
        }
        Ok(true)
    }
}

/// The text from `at` to the end of its line, and where the next line begins; `None` when it has no end yet.
fn line(input: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, ()> {
    let rest = &input[at..];
    let within = &rest[..rest.len().min(LENGTH_MAX)];
    match within.iter().position(|byte| *byte == b'\r') {
        Some(end) => match rest.get(end + 1) {
            Some(b'\n') => Ok(Some((&rest[..end], at + end + 2))),
            Some(_) => Err(()),
            None => Ok(None),
        },
        None if within.len() < LENGTH_MAX => Ok(None),
        None => Err(()),
    }
}

/// A length: a whole number, as Redis reads them.
fn length(text: &[u8]) -> Option<i64> {
    // most are short
    if let [digit @ b'0'..=b'9'] = text {
        return Some(i64::from(digit - b'0'));
    }
    crate::keyspace::parse_int(text)
}

fn shown(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' }
}

/// The arguments in a whole command.
fn words(frame: &Bytes) -> Result<Vec<Bytes>, Wrong> {
    let Ok(Some((RangeFrame::Array(parts), _))) = decode_range(frame) else { return Err("unreadable request".into()) };
    let word = |part: &RangeFrame| match part {
        RangeFrame::BulkString((from, to)) => Ok(frame.slice(*from..*to)),
        _ => Err(Wrong::from("unreadable request")),
    };
    parts.iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], bounds: Bounds) -> Result<Vec<Vec<Bytes>>, Wrong> {
        let (mut frames, mut buffer, mut found) = (Frames::default(), BytesMut::from(input), Vec::new());
        while let Some(call) = frames.next(&mut buffer, bounds)? {
            found.push(call);
        }
        Ok(found)
    }

    fn told(input: &[u8], bounds: Bounds) -> String {
        all(input, bounds).expect_err("is wrong").0
    }

    #[test]
    fn commands_come_out_whole_however_they_arrive() {
        let text = b"*2\r\n$3\r\nGET\r\n$4\r\nk\r\nx\r\n*0\r\n*-1\r\n\r\nPING\r\n*1\r\n$4\r\nPING\r\n";
        let expected = [vec!["GET", "k\r\nx"], vec!["PING"], vec!["PING"]];
        assert_eq!(all(text, Bounds::UNKNOWN).unwrap(), expected);
        let (mut frames, mut buffer, mut found) = (Frames::default(), BytesMut::new(), Vec::new());
        for byte in text {
            buffer.extend_from_slice(&[*byte]);
            found.extend(frames.next(&mut buffer, Bounds::UNKNOWN).unwrap());
        }
        assert_eq!(found, expected);
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_redis() {
        for (input, text) in [
            (&b"*x\r\n"[..], "invalid multibulk length"),
            (b"*01\r\n", "invalid multibulk length"),
            (b"*1000000000000000000000000000", "invalid multibulk length"),
            (b"*1048577\r\n", "invalid multibulk length"),
            (b"*1\r\n+OK\r\n", "expected '$', got '+'"),
            (b"*1\r\n*1\r\n*1\r\n", "expected '$', got '*'"),
            (b"*1\r\n\xff", "expected '$', got '?'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$99999999999\r\n", "invalid bulk length"),
            (b"*1\r\n$4x", "invalid bulk length"),
        ] {
            if input.ends_with(b"x") && !input.contains(&b'\n') {
                continue;
            }
            let got = all(input, Bounds::KNOWN);
            match got {
                Err(wrong) => assert_eq!(wrong.0, text, "{}", String::from_utf8_lossy(input)),
                Ok(none) => assert!(none.is_empty() && input.ends_with(b"x")),
            }
        }
        assert_eq!(told(b"*11\r\n", Bounds::UNKNOWN), "unauthenticated multibulk length");
        assert_eq!(told(b"*1\r\n$16385\r\n", Bounds::UNKNOWN), "unauthenticated bulk length");
    }

    #[test]
    fn a_length_makes_no_room_before_its_bytes_are_there() {
        let mut buffer = BytesMut::from(&b"*100000\r\n$2000000\r\nabc"[..]);
        let before = buffer.capacity();
        let mut frames = Frames::default();
        assert_eq!(frames.next(&mut buffer, Bounds::KNOWN), Ok(None));
        assert_eq!(buffer.capacity(), before);
        assert!(frames.is_partial());
    }

    #[test]
    fn a_request_has_a_bound_in_all() {
        let mut input = b"*100000\r\n".to_vec();
        for _ in 0..5 {
            input.extend_from_slice(b"$2000000\r\n");
            input.extend_from_slice(&vec![b'x'; 2_000_000]);
            input.extend_from_slice(b"\r\n");
        }
        assert_eq!(told(&input, Bounds::KNOWN), "too big request");
    }
}
