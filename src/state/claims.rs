//! Claims: whom a session's value names as the person signed in, in the formats that session stores write.
//!
//! JSON: `passport.user` (Passport), or a member `_auth_user_id` (Django), `_user_id` (Flask-Login), `user_id`. PHP's
//! own format: `user_id|s:36:"…";`. MessagePack and pickle, as Flask-Session and Django's cache write them: the member's
//! name as a string, and right behind it another string. What is none of these names nobody, which is always safe: a
//! claim only has the session listed as somebody's, and ended with theirs. Passport's alone can be more, since nothing but
//! the app writes it: members of other names may hold what a visitor said.

use serde::Deserialize;

/// Members that name the user, the most particular first.
pub const NAMES: [&str; 3] = ["_auth_user_id", "_user_id", "user_id"];

/// The longest user id that is looked for, bytes.
const ID_MAX: usize = 128;
/// How much of a value that is no JSON is looked at, bytes.
const LOOK_MAX: usize = 64 << 10;

#[derive(Deserialize)]
struct Shape {
    passport: Option<Passport>,
    #[serde(rename = "_auth_user_id")]
    django: Option<Id>,
    #[serde(rename = "_user_id")]
    flask: Option<Id>,
    user_id: Option<Id>,
}

#[derive(Deserialize)]
struct Passport {
    user: Option<Id>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
    Other(serde::de::IgnoredAny),
}

impl Id {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number.to_string()),
            Self::Other(_) => None,
        }
    }
}

/// Whom a session's value names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The user's id.
    pub user: String,
    /// Whether `passport.user` says so.
    pub by_passport: bool,
}

/// The user that a session's value names.
pub fn user_of(value: &[u8]) -> Option<Named> {
    let found = if value.first() == Some(&b'{') { in_json(value) } else { in_binary(value).map(|user| (user, false)) };
    let (user, by_passport) = found?;
    (!user.is_empty() && user.len() <= ID_MAX).then_some(Named { user, by_passport })
}

/// The id, and whether Passport's member says it.
fn in_json(value: &[u8]) -> Option<(String, bool)> {
    // most values hold none of these words
    let may_hold = |word: &str| memmem(value, word.as_bytes()).is_some();
    if !may_hold("passport") && !may_hold("user_id") {
        return None;
    }
    let shape: Shape = serde_json::from_slice(value).ok()?;
    if let Some(user) = shape.passport.and_then(|passport| passport.user).and_then(Id::text) {
        return Some((user, true));
    }
    let mut others = [shape.django, shape.flask, shape.user_id].into_iter().flatten();
    others.find_map(Id::text).map(|user| (user, false))
}

fn in_binary(value: &[u8]) -> Option<String> {
    let value = &value[..value.len().min(LOOK_MAX)];
    NAMES.iter().find_map(|name| {
        let at = memmem(value, name.as_bytes())?;
        let before = at.checked_sub(1).map(|before| value[before]);
        // `_user_id` ends in `user_id`
        if before.is_some_and(|byte| byte == b'_' || byte.is_ascii_alphanumeric() && byte != name.len() as u8) {
            return None;
        }
        behind(&value[at + name.len()..])
    })
}

/// The string that a value begins with, in one of the formats.
fn behind(rest: &[u8]) -> Option<String> {
    let text = match rest {
        // PHP: |s:36:"…";
        [b'|', b's', b':', rest @ ..] => quoted(rest)?,
        // inside serialised arrays: ";s:36:"…";
        [b'"', b';', b's', b':', rest @ ..] => quoted(rest)?,
        // pickle: the name is memoised first, in one way or another
        [0x94, 0x8c, length, rest @ ..] => rest.get(..usize::from(*length))?,
        [b'q', _, b'X', a, b, 0, 0, rest @ ..] => rest.get(..usize::from(u16::from_le_bytes([*a, *b])))?,
        [0x8c, length, rest @ ..] => rest.get(..usize::from(*length))?,
        // MessagePack: fixstr, str 8
        [length @ 0xa0..=0xbf, rest @ ..] => rest.get(..usize::from(length & 0x1f))?,
        [0xd9, length, rest @ ..] => rest.get(..usize::from(*length))?,
        _ => return None,
    };
    std::str::from_utf8(text).ok().map(str::to_owned)
}

/// `36:"…"`.
fn quoted(rest: &[u8]) -> Option<&[u8]> {
    let colon = rest.iter().take(4).position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    rest[colon + 1..].strip_prefix(b"\"")?.get(..length)
}

fn memmem(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle[0];
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| *byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199a1b2-c3d4-7abc-8abc-0123456789ab";

    fn named(value: impl AsRef<[u8]>) -> Option<String> {
        user_of(value.as_ref()).map(|named| named.user)
    }

    #[test]
    fn json_sessions_name_their_user() {
        for value in [
            format!(r#"{{"cookie":{{"path":"/"}},"passport":{{"user":"{ID}"}}}}"#),
            format!(r#"{{"_auth_user_id":"{ID}","_auth_user_hash":"x"}}"#),
            format!(r#"{{"a":[1,{{"b":2}}],"_user_id":"{ID}"}}"#),
            format!(r#"{{"user_id":"{ID}"}}"#),
        ] {
            assert_eq!(named(&value).as_deref(), Some(ID), "{value}");
        }
        assert_eq!(named(r#"{"passport":{"user":17}}"#).as_deref(), Some("17"));
        let by_passport = |value: &str| user_of(value.as_bytes()).map(|named| named.by_passport);
        assert_eq!(by_passport(r#"{"user_id":"a","passport":{"user":"b"}}"#), Some(true));
        assert_eq!(by_passport(r#"{"user_id":"a","passport":{}}"#), Some(false));
    }

    #[test]
    fn binary_sessions_name_their_user() {
        let with = |before: &[u8], after: &[u8]| [before, ID.as_bytes(), after].concat();
        // msgpack.packb({"_fresh": True, "_user_id": ID}), pickle.dumps({"_auth_user_id": ID}) of protocols 4 and 2
        let msgpack = with(b"\x82\xa6_fresh\xc3\xa8_user_id\xd9\x24", b"");
        let pickle4 = with(b"\x80\x04\x95\x43\0\0\0\0\0\0\0}\x94\x8c\x0d_auth_user_id\x94\x8c\x24", b"\x94s.");
        let pickle2 = with(b"\x80\x02}q\0X\x0d\0\0\0_auth_user_idq\x01X\x24\0\0\0", b"q\x02s.");
        let php = with(b"a|i:1;user_id|s:36:\"", b"\";b|i:2;");
        let nested = with(b"auth|a:1:{s:7:\"user_id\";s:36:\"", b"\";}");
        for value in [msgpack, pickle4, pickle2, php, nested] {
            assert_eq!(named(&value).as_deref(), Some(ID), "{}", String::from_utf8_lossy(&value));
        }
    }

    #[test]
    fn what_names_nobody_names_nobody() {
        for value in [
            &b""[..],
            b"{",
            b"{}",
            b"[1]",
            br#"{"passport":{}}"#,
            br#"{"passport":{"user":null}}"#,
            br#"{"passport":{"user":{"id":1}}}"#,
            br#"{"passport":"user"}"#,
            br#"{"my_user_idx":"a"}"#,
            b"user_id",
            b"user_id|s:999:\"x\"",
            b"xuser_id|s:1:\"x\"",
            b"\x8c\x0d_auth_user_id\x94\x8c\xff",
        ] {
            assert_eq!(named(value), None, "{}", String::from_utf8_lossy(value));
        }
    }
}
