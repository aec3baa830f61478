//! Request: one HTTP request, read whole and bounded, with what the accept loop knows of its sender.
//!
//! Bodies become values in one place, so that every route refuses the same things in the same words: doubled fields,
//! wrong types, NUL in text. Requests hold passwords and cookies and therefore cannot be printed.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Version};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::form::{Form, holds_nul, is_ticked, shown};
use super::{Settings, json};
use crate::error::{Error, Result};
use crate::identity::{Client, Cookies};

/// How much of a `User-Agent` is kept, characters.
const AGENT_MAX: usize = 256;
/// Fields that a form sends as ticked boxes and JSON as booleans.
const BOXES: [&str; 1] = ["remember"];

/// A request as routes see it.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub version: Version,
    /// As sent, still percent-encoded.
    pub path: String,
    /// Without the question mark; empty without one.
    pub query: String,
    pub headers: HeaderMap,
    /// At most [`crate::limits::BODY_MAX`] bytes; empty unless the method changes something.
    pub body: Bytes,
    /// The peer's address, or the one a trusted proxy vouches for.
    pub address: IpAddr,
    /// Who is at the other end of the connection: the sender, or a proxy.
    pub peer: IpAddr,
    /// Whether the person's side of the connection is TLS (ours, or a trusted proxy's).
    pub https: bool,
    /// The `{name}` segments of the route, decoded.
    pub params: Vec<(&'static str, String)>,
}

/// The types of body that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Form,
    Json,
    MergePatch,
    Other,
}

impl Request {
    /// Who is asking.
    pub fn client(&self) -> Client {
        let agent = self.headers.get(header::USER_AGENT).map(|v| String::from_utf8_lossy(v.as_bytes()));
        let agent = agent.unwrap_or_default().chars().filter(|c| !c.is_control()).take(AGENT_MAX).collect();
        Client { address: self.address, agent }
    }

    /// The segment that the route calls `{name}`; empty when it has none.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// A header's only value; `None` when it is absent, doubled or not ASCII.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        only(&self.headers, name)
    }

    /// The cookies that concern us, in the order sent.
    pub fn cookies(&self, settings: &Settings) -> Cookies<'_> {
        let mut cookies = Cookies::default();
        for header in self.headers.get_all(header::COOKIE) {
            for piece in header.as_bytes().split(|b| *b == b';') {
                let piece = piece.trim_ascii();
                if let Some(value) = valued(piece, &settings.cookie) {
                    cookies.session.push(value);
                } else if let Some(value) = valued(piece, settings.own_cookie) {
                    cookies.own.push(value);
                }
            }
        }
        cookies
    }

    /// Whether a cookie of this name was sent.
    pub fn has_cookie(&self, name: &str) -> bool {
        let headers = self.headers.get_all(header::COOKIE).iter();
        let mut pieces = headers.flat_map(|header| header.as_bytes().split(|b| *b == b';'));
        pieces.any(|piece| valued(piece.trim_ascii(), name).is_some())
    }

    /// Whether the sender would rather see a page: it names `text/html`, and not with `q=0`.
    pub fn wants_html(&self) -> bool {
        self.headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).any(|accept| {
            accept.split(',').any(|range| {
                let mut parts = range.split(';').map(str::trim);
                let html = parts.next().is_some_and(|t| t.eq_ignore_ascii_case("text/html"));
                html && !parts.any(|p| matches!(p, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        })
    }

    /// What type the body says it has. Several `Content-Type` headers are none that we know.
    pub fn media(&self) -> Media {
        let Some(value) = self.header(header::CONTENT_TYPE) else { return Media::Other };
        let mut parts = value.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        // other character sets would have to be decoded; all senders that matter use this one
        let utf8 = parts.all(|p| {
            let p = p.to_ascii_lowercase();
            p.strip_prefix("charset=").is_none_or(|set| matches!(set.trim_matches('"'), "utf-8" | "utf8"))
        });
        match essence.as_str() {
            _ if !utf8 => Media::Other,
            "application/x-www-form-urlencoded" => Media::Form,
            "application/json" => Media::Json,
            "application/merge-patch+json" => Media::MergePatch,
            _ => Media::Other,
        }
    }

    /// The fields of a form.
    ///
    /// # Errors
    /// `Malformed` when a field comes twice, is not UTF-8 or not properly encoded.
    pub fn form(&self) -> Result<Form> {
        Form::parse(&self.body)
    }

    /// The fields of the query string.
    ///
    /// # Errors
    /// As [`form`](Self::form).
    pub fn queries(&self) -> Result<Form> {
        Form::parse(self.query.as_bytes())
    }

    /// The body, from a form or from JSON, whichever its type says. Members that `T` does not know are ignored, and
    /// `null` is as good as absent.
    ///
    /// # Errors
    /// `Malformed`, naming the field where there is one.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        let fields = match self.media() {
            Media::Form => boxed(self.form()?),
            _ => json::object(&self.body)?.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        };
        for (name, value) in &fields {
            let nul = value.as_str().is_some_and(|text| text.contains('\0'));
            if nul && !name.ends_with("password") {
                return Err(holds_nul(name));
            }
        }
        typed(fields)
    }

    /// The body as a JSON object, members untouched.
    ///
    /// # Errors
    /// `Malformed` when it is anything else.
    pub fn object(&self) -> Result<Map<String, Value>> {
        json::object(&self.body)
    }
}

/// A header's only value; `None` when it is absent, doubled or not ASCII.
pub(super) fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// The value of `name=value`, found as the npm package `cookie` finds it: the name compared exactly, blanks around both
/// trimmed, a pair of double quotes taken off. One that is not UTF-8 is none that we set; it is not allowed to hide the
/// others.
fn valued<'a>(piece: &'a [u8], name: &str) -> Option<&'a str> {
    let value = piece.strip_prefix(name.as_bytes())?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let bare = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    std::str::from_utf8(bare).ok()
}

/// A form's fields as JSON would have them.
fn boxed(form: Form) -> Map<String, Value> {
    let value = |name: &str, text: String| {
        if BOXES.contains(&name) { Value::Bool(is_ticked(&text)) } else { Value::String(text) }
    };
    form.into_fields()
        .into_iter()
        .map(|(name, text)| {
            let value = value(&name, text);
            (name, value)
        })
        .collect()
}

/// The fields as a `T`; on failure, the name of the field that is to blame.
fn typed<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T> {
    match serde_json::from_value(Value::Object(fields.clone())) {
        Ok(value) => Ok(value),
        Err(_) => {
            let mut names = fields.into_iter().filter_map(|(name, value)| {
                let alone = Map::from_iter([(name.clone(), value)]);
                serde_json::from_value::<T>(Value::Object(alone)).is_err().then_some(name)
            });
            let blamed: Cow<'static, str> = match names.next() {
                Some(name) => format!("The field `{}` has the wrong type.", shown(&name)).into(),
                None => "The body has the wrong shape.".into(),
            };
            Err(Error::Malformed(blamed.into_owned()))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use hyper::header::HeaderValue;
    use serde::Deserialize;

    use super::*;

    /// A `GET /` from this machine.
    pub fn plain() -> Request {
        Request {
            method: Method::GET,
            version: Version::HTTP_11,
            path: "/".to_owned(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            address: IpAddr::from([127, 0, 0, 1]),
            peer: IpAddr::from([127, 0, 0, 1]),
            https: false,
            params: Vec::new(),
        }
    }

    /// The same with a header.
    pub fn with(mut request: Request, name: HeaderName, value: &str) -> Request {
        request.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        request
    }

    fn posted(media: &str, body: &'static str) -> Request {
        Request { body: Bytes::from_static(body.as_bytes()), ..with(plain(), header::CONTENT_TYPE, media) }
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Body {
        email: String,
        password: String,
        remember: bool,
    }

    fn refused(request: &Request) -> String {
        match request.read::<Body>() {
            Err(Error::Malformed(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_form_and_json_say_the_same() {
        let form = posted("application/x-www-form-urlencoded", "email=a%40b&password=x&remember=on");
        let json =
            posted("application/json; charset=UTF-8", r#"{"email":"a@b","password":"x","remember":true,"z":[]}"#);
        assert_eq!(form.read::<Body>().unwrap(), json.read::<Body>().unwrap());
        assert!(form.read::<Body>().unwrap().remember);
    }

    #[test]
    fn absent_and_null_are_empty() {
        let body: Body = posted("application/json", r#"{"email":null}"#).read().unwrap();
        assert_eq!(body, Body::default());
    }

    #[test]
    fn a_wrong_type_is_refused_by_the_fields_name() {
        for bad in [r#"{"email":"a","password":5}"#, r#"{"password":["x"]}"#, r#"{"password":{"a":1}}"#] {
            let request = Request { body: Bytes::from(bad), ..posted("application/json", "") };
            assert_eq!(refused(&request), "The field `password` has the wrong type.");
        }
        assert_eq!(
            refused(&posted("application/json", r#"{"remember":"on"}"#)),
            "The field `remember` has the wrong type."
        );
    }

    #[test]
    fn nul_is_refused_in_text_and_kept_in_passwords() {
        assert_eq!(
            refused(&posted("application/json", r#"{"email":"a\u0000"}"#)),
            "The field `email` holds a NUL character."
        );
        let body: Body = posted("application/json", r#"{"password":"a\u0000"}"#).read().unwrap();
        assert_eq!(body.password, "a\0");
    }

    #[test]
    fn a_type_is_known_by_its_essence_and_utf8() {
        let media = |value| with(plain(), header::CONTENT_TYPE, value).media();
        assert_eq!(media("Application/JSON;charset=\"utf-8\""), Media::Json);
        assert_eq!(media("application/merge-patch+json"), Media::MergePatch);
        assert_eq!(media("application/x-www-form-urlencoded"), Media::Form);
        for other in ["text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=x", "", "json"] {
            assert_eq!(media(other), Media::Other, "{other}");
        }
        let doubled = with(with(plain(), header::CONTENT_TYPE, "text/plain"), header::CONTENT_TYPE, "application/json");
        assert_eq!(doubled.media(), Media::Other);
    }

    #[test]
    fn pages_are_for_those_who_name_html() {
        let wants = |value| with(plain(), header::ACCEPT, value).wants_html();
        assert!(wants("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(wants("application/json, Text/HTML;q=0.1"));
        assert!(!wants("*/*") && !wants("text/html;q=0") && !wants("application/json") && !plain().wants_html());
    }

    #[test]
    fn cookies_are_found_in_order_among_others() {
        let settings = Settings::of("http://localhost");
        let mut request = with(plain(), header::COOKIE, "a=b; sojourn=one;sojourn-own=x; xsojourn=no; sojourn=two");
        request.headers.append(header::COOKIE, HeaderValue::from_bytes(b"bad=\xff\xfe; sojourn=three").unwrap());
        let cookies = request.cookies(&settings);
        assert_eq!(cookies.session[..], ["one", "two", "three"]);
        assert_eq!(cookies.own[..], ["x"]);
    }

    #[test]
    fn a_cookie_header_is_read_as_express_reads_it() {
        let settings = Settings::of("http://localhost");
        let all = |header: &str| {
            let request = with(plain(), header::COOKIE, header);
            request.cookies(&settings).session.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(all("a=1; sojourn=2; b=3"), ["2"]);
        assert_eq!(all("sojourn=1;sojourn=2"), ["1", "2"]);
        assert_eq!(all("  sojourn =\t 1 \t; y=2"), ["1"]);
        assert_eq!(all("sojourn=\"1\""), ["1"]);
        assert_eq!(all("sojourn=\"1"), ["\"1"]);
        assert_eq!(all("sojourn=\"\""), [""]);
        assert_eq!(all("sojourn=a=b"), ["a=b"]);
        assert_eq!(all("sojourn="), [""]);
        assert_eq!(all("sojourn; Sojourn=1; sojournx=1; =1; ;;"), Vec::<String>::new());
        assert_eq!(all(""), Vec::<String>::new());
    }

    #[test]
    fn an_agent_is_kept_short_and_printable() {
        let long = format!("curl\t{}", "x".repeat(5_000));
        let client = with(plain(), header::USER_AGENT, &long).client();
        assert!(client.agent.starts_with("curlx") && client.agent.len() == AGENT_MAX);
        assert_eq!(plain().client().agent, "");
    }
}
