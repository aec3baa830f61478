//! Inline: a command as a line of words, as people type it and health checks send it.
//!
//! Words are parted by blanks; in double quotes `\n`, `\xff` and the like stand for bytes, in single quotes only `\'`.

use bytes::{Bytes, BytesMut};

use super::frame::Wrong;

/// Takes the next line off the bytes that came; `None` when it has no end yet.
pub fn next(input: &mut BytesMut, max: usize) -> Result<Option<Vec<Bytes>>, Wrong> {
    let Some(end) = input.iter().take(max + 2).position(|byte| *byte == b'\n') else {
        return if input.len() > max { Err("too big inline request".into()) } else { Ok(None) };
    };
    let line = input.split_to(end + 1);
    let line = &line[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    split(line).map(Some).ok_or_else(|| "unbalanced quotes in request".into())
}

/// The words of a line; `None` when a quote has no end, or something other than a blank behind it.
pub fn split(line: &[u8]) -> Option<Vec<Bytes>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() || rest[0] == 0 {
            return Some(words);
        }
        let mut word = Vec::new();
        rest = one(rest, &mut word)?;
        words.push(Bytes::from(word));
    }
}

/// Takes one word; answers what is behind it.
fn one<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t' | 0, ..] => return Some(rest),
            [b'"', inner @ ..] => return closed(double_quoted(inner, word)?),
            [b'\'', inner @ ..] => return closed(single_quoted(inner, word)?),
            [byte, more @ ..] => {
                word.push(*byte);
                more
            }
        };
    }
}

/// A quote ends a word.
fn closed(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(u8::is_ascii_whitespace).then_some(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'"', more @ ..] => return Some(more),
            [b'\\', b'x', high, low, more @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(digit(*high) << 4 | digit(*low));
                more
            }
            [b'\\', sign, more @ ..] => {
                word.push(match sign {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                more
            }
            [byte, more @ ..] => {
                word.push(*byte);
                more
            }
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'\'', more @ ..] => return Some(more),
            [b'\\', b'\'', more @ ..] => {
                word.push(b'\'');
                more
            }
            [byte, more @ ..] => {
                word.push(*byte);
                more
            }
        };
    }
}

fn digit(hex: u8) -> u8 {
    char::from(hex).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_as_redis_parts_them() {
        for (line, words) in [
            (&b"PING"[..], &[&b"PING"[..]][..]),
            (b"  SET  k   v ", &[b"SET", b"k", b"v"]),
            (b"SET k \"a b\\n\\x41\\\"\"", &[b"SET", b"k", b"a b\nA\""]),
            (b"SET k 'a \\'b\\n'", &[b"SET", b"k", b"a 'b\\n"]),
            (b"SET k \"\"", &[b"SET", b"k", b""]),
            (b"", &[]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{}", String::from_utf8_lossy(line));
        }
        for line in [&b"SET k \"a"[..], b"SET k 'a", b"SET k \"a\"b", b"SET k 'a'b"] {
            assert_eq!(split(line), None, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_line_has_a_bound() {
        let mut long = BytesMut::from(&[b'x'; 20][..]);
        assert_eq!(next(&mut long, 10), Err("too big inline request".into()));
        let mut short = BytesMut::from(&b"PING"[..]);
        assert_eq!(next(&mut short, 10), Ok(None));
        short.extend_from_slice(b"\r\nX");
        assert_eq!(next(&mut short, 10), Ok(Some(vec![Bytes::from_static(b"PING")])));
        assert_eq!(&short[..], b"X");
    }
}
