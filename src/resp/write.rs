//! Write: replies as bytes, in either dialect.
//!
//! By hand rather than by redis-protocol, which wants its own frames made first: values go straight from the entry into
//! the buffer that is sent.

use bytes::{BufMut as _, BytesMut};

use crate::keyspace::{Reply, show_double, wrong};
use crate::limits::REDIS_REPLY_MAX;

/// The dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    Two,
    Three,
}

impl Proto {
    /// Its number.
    pub fn number(self) -> i64 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// Appends a reply. One that is larger than any answer may be becomes an error.
pub fn reply(out: &mut BytesMut, reply: &Reply, proto: Proto) {
    if is_large(reply) && size(reply) > REDIS_REPLY_MAX {
        return put(out, &wrong::large(), proto);
    }
    put(out, reply, proto);
}

fn put(out: &mut BytesMut, reply: &Reply, proto: Proto) {
    match reply {
        Reply::Status(status) => text(out, b'+', status.as_bytes()),
        Reply::RawStatus(status) => text(out, b'+', status),
        Reply::RawError(error) => text(out, b'-', error),
        Reply::Error(error) if error.contains(['\r', '\n']) => {
            text(out, b'-', error.replace(['\r', '\n'], " ").as_bytes())
        }
        Reply::Error(error) => text(out, b'-', error.as_bytes()),
        Reply::Int(n) => header(out, b':', *n),
        Reply::Bool(is_so) if proto == Proto::Three => text(out, b'#', if *is_so { b"t" } else { b"f" }),
        Reply::Bool(is_so) => header(out, b':', i64::from(*is_so)),
        Reply::Bulk(bytes) => bulk(out, b'$', bytes),
        Reply::Value(entry) => bulk(out, b'$', entry.value()),
        Reply::Double(n) if proto == Proto::Three => text(out, b',', show_double(*n).as_bytes()),
        Reply::Double(n) => bulk(out, b'$', show_double(*n).as_bytes()),
        Reply::Verbatim(words) if proto == Proto::Three => {
            header(out, b'=', int(words.len() + 4));
            out.extend_from_slice(b"txt:");
            out.extend_from_slice(words.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Reply::Verbatim(words) => bulk(out, b'$', words.as_bytes()),
        Reply::Null | Reply::NullArray if proto == Proto::Three => out.extend_from_slice(b"_\r\n"),
        Reply::Null => out.extend_from_slice(b"$-1\r\n"),
        Reply::NullArray => out.extend_from_slice(b"*-1\r\n"),
        Reply::Array(items) => all(out, b'*', items, proto),
        Reply::Set(items) => all(out, if proto == Proto::Three { b'~' } else { b'*' }, items, proto),
        Reply::Push(items) => all(out, if proto == Proto::Three { b'>' } else { b'*' }, items, proto),
        Reply::Pairs(pairs) if proto == Proto::Three => {
            header(out, b'*', int(pairs.len()));
            for (name, value) in pairs {
                header(out, b'*', 2);
                put(out, name, proto);
                put(out, value, proto);
            }
        }
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            match proto {
                Proto::Three => header(out, b'%', int(pairs.len())),
                Proto::Two => header(out, b'*', int(pairs.len() * 2)),
            }
            for (name, value) in pairs {
                put(out, name, proto);
                put(out, value, proto);
            }
        }
    }
}

fn all(out: &mut BytesMut, sign: u8, items: &[Reply], proto: Proto) {
    header(out, sign, int(items.len()));
    items.iter().for_each(|item| put(out, item, proto));
}

fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn text(out: &mut BytesMut, sign: u8, text: &[u8]) {
    out.reserve(text.len() + 3);
    out.put_u8(sign);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut BytesMut, sign: u8, bytes: &[u8]) {
    out.reserve(bytes.len() + 24);
    header(out, sign, int(bytes.len()));
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A sign and a number.
fn header(out: &mut BytesMut, sign: u8, n: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.reserve(24);
    out.put_u8(sign);
    if n < 0 {
        out.put_u8(b'-');
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Whether a reply may be larger than one value.
fn is_large(reply: &Reply) -> bool {
    matches!(reply, Reply::Array(_) | Reply::Map(_) | Reply::Pairs(_) | Reply::Set(_) | Reply::Push(_))
}

/// About so many bytes.
fn size(reply: &Reply) -> usize {
    let sum = |items: &[Reply]| items.iter().map(size).sum::<usize>();
    16 + match reply {
        Reply::Status(words) | Reply::Error(words) => words.len(),
        Reply::Bulk(bytes) | Reply::RawStatus(bytes) | Reply::RawError(bytes) => bytes.len(),
        Reply::Value(entry) => entry.value().len(),
        Reply::Verbatim(words) => words.len(),
        Reply::Int(_) | Reply::Double(_) | Reply::Null | Reply::NullArray | Reply::Bool(_) => 0,
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => sum(items),
        Reply::Map(pairs) | Reply::Pairs(pairs) => pairs.iter().map(|(name, value)| size(name) + size(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(what: &Reply, proto: Proto) -> String {
        let mut out = BytesMut::new();
        reply(&mut out, what, proto);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn both_dialects_say_the_same() {
        for (what, two, three) in [
            (Reply::OK, "+OK\r\n", "+OK\r\n"),
            (Reply::err("ERR no"), "-ERR no\r\n", "-ERR no\r\n"),
            (Reply::Int(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (Reply::Int(0), ":0\r\n", ":0\r\n"),
            (Reply::bulk("a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
            (Reply::Null, "$-1\r\n", "_\r\n"),
            (Reply::Bool(true), ":1\r\n", "#t\r\n"),
            (Reply::Bool(false), ":0\r\n", "#f\r\n"),
            (Reply::NullArray, "*-1\r\n", "_\r\n"),
            (Reply::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (Reply::Verbatim("x".into()), "$1\r\nx\r\n", "=5\r\ntxt:x\r\n"),
            (Reply::Array(vec![Reply::Int(1)]), "*1\r\n:1\r\n", "*1\r\n:1\r\n"),
            (Reply::Set(vec![Reply::Int(1)]), "*1\r\n:1\r\n", "~1\r\n:1\r\n"),
            (Reply::Push(vec![Reply::Int(1)]), "*1\r\n:1\r\n", ">1\r\n:1\r\n"),
            (Reply::Map(vec![(Reply::Int(1), Reply::Null)]), "*2\r\n:1\r\n$-1\r\n", "%1\r\n:1\r\n_\r\n"),
        ] {
            assert_eq!((written(&what, Proto::Two).as_str(), written(&what, Proto::Three).as_str()), (two, three));
        }
    }

    #[test]
    fn an_answer_has_a_bound() {
        let large = Reply::Bulk(vec![b'x'; 1 << 20].into());
        let told = written(&Reply::Array(vec![large; 65]), Proto::Two);
        assert!(told.starts_with("-ERR the answer would be larger"), "{}", &told[..40]);
    }
}
