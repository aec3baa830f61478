//! Express: the value of a session, as `express-session` writes it, so that apps of any language read the same thing.
//!
//! `{"cookie":{"originalMaxAge":…,"expires":…,"secure":true,"httpOnly":true,"path":"/","sameSite":"lax"},
//! "passport":{"user":"<id>"}, …the app's members…}`. A new value has its members in the order in which
//! `express-session` writes them (`secure` only when it holds); after a merge they are sorted by name, which no JSON
//! reader minds. Nothing here is believed: who is signed in stands in the facts beside the value.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::Millis;

/// What goes into a new value.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Who is signed in: the user's id.
    pub user: Option<&'a str>,
    /// How long the cookie was given when it was set, milliseconds; `None` for one that ends with the browser.
    pub max_age_ms: Option<i64>,
    /// When the cookie ends; `None` for one that ends with the browser.
    pub expires: Option<Millis>,
    /// Whether the cookie travels on https only.
    pub secure: bool,
    /// The app's members. `cookie` and `passport` among them are left out: those are ours.
    pub data: &'a Map<String, Value>,
}

/// Members of the value that are not the app's.
pub const RESERVED: [&str; 2] = ["cookie", "passport"];

#[derive(Serialize)]
struct Session<'a> {
    cookie: Cookie,
    #[serde(skip_serializing_if = "Option::is_none")]
    passport: Option<Passport<'a>>,
    #[serde(flatten)]
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cookie {
    original_max_age: Option<i64>,
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secure: Option<bool>,
    http_only: bool,
    path: &'static str,
    same_site: &'static str,
}

#[derive(Serialize)]
struct Passport<'a> {
    user: &'a str,
}

struct Data<'a>(&'a Map<String, Value>);

impl Serialize for Data<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str())))
    }
}

/// The value of a session of this shape.
pub fn value(shape: &Shape<'_>) -> String {
    let cookie = Cookie {
        original_max_age: shape.max_age_ms,
        expires: shape.expires.map(iso),
        secure: shape.secure.then_some(true),
        http_only: true,
        path: "/",
        same_site: "lax",
    };
    let session = Session { cookie, passport: shape.user.map(|user| Passport { user }), data: Data(shape.data) };
    serde_json::to_string(&session).expect("text, numbers and JSON values serialise")
}

/// The app's members of a value: all but `cookie` and `passport`. Empty when the value is no JSON object.
pub fn data(value: &[u8]) -> Map<String, Value> {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(value) else { return Map::new() };
    for reserved in RESERVED {
        members.remove(reserved);
    }
    members
}

/// A moment as JavaScript's `toISOString` prints it. Held within the years 0 to 9999, where it has four digits.
pub fn iso(at: Millis) -> String {
    const YEAR_0: Millis = -62_167_219_200_000;
    const YEAR_9999: Millis = 253_402_207_200_000; // the last moment that jiff has
    let at = jiff::Timestamp::from_millisecond(at.clamp(YEAR_0, YEAR_9999)).expect("within jiff's range");
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    fn shape(data: &Map<String, Value>) -> Shape<'_> {
        Shape { user: None, max_age_ms: None, expires: None, secure: false, data }
    }

    #[test]
    fn a_value_is_what_express_session_writes_byte_for_byte() {
        let none = Map::new();
        let signed = Shape {
            user: Some("1"),
            max_age_ms: Some(3_600_000),
            expires: Some(1_795_232_909_498),
            secure: true,
            ..shape(&none)
        };
        assert_eq!(
            value(&signed),
            r#"{"cookie":{"originalMaxAge":3600000,"expires":"2026-11-21T03:48:29.498Z","secure":true,"httpOnly":true,"path":"/","sameSite":"lax"},"passport":{"user":"1"}}"#
        );
        assert_eq!(
            value(&shape(&none)),
            r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/","sameSite":"lax"}}"#
        );
    }

    #[test]
    fn the_apps_members_come_back_and_ours_do_not() {
        let given = members(json!({"beers": 2, "beer": "Left Sock Porter", "passport": {"user": "evil"}, "cookie": 1}));
        let text = value(&Shape { user: Some("a\"b"), ..shape(&given) });
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["passport"], json!({"user": "a\"b"}));
        assert_eq!(read["cookie"]["path"], "/");
        assert_eq!(text.matches("passport").count(), 1);
        assert_eq!(data(text.as_bytes()), members(json!({"beers": 2, "beer": "Left Sock Porter"})));
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for bad in [&b"null"[..], b"[1]", b"\"x\"", b"", b"{", b"\xff", b"{} x"] {
            assert!(data(bad).is_empty());
        }
    }

    #[test]
    fn moments_are_printed_as_javascript_prints_them() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_007, "2000-02-29T00:00:00.007Z"),
            (1_795_232_909_498, "2026-11-21T03:48:29.498Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso(at), text);
        }
        assert_eq!(iso(Millis::MIN), iso(-62_167_219_200_000));
        assert!(iso(Millis::MAX).starts_with("9999-12-30T"));
    }
}
