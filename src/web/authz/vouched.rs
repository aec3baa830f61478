//! Vouched: the headers by which a service behind a proxy knows who somebody is.
//!
//! All of them are always there. Their values are visible ASCII and spaces; whatever else a name holds, and `%`, is
//! percent-encoded as UTF-8 (`J%C3%BCrgen`): WSGI reads headers as Latin-1, PHP and Node as bytes, some proxies refuse
//! or drop what is not ASCII, and RFC 8187's own form is known to nearly nobody. An address is told only if it is
//! verified, since services take it for proof. Made once for each row of a user in memory: this is asked for every
//! request of every service.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Dialect;
use crate::identity::User;

/// What services read, in the order in which values are kept.
const NAMES: [HeaderName; 4] = [
    HeaderName::from_static("remote-user"),
    HeaderName::from_static("remote-email"),
    HeaderName::from_static("remote-name"),
    HeaderName::from_static("remote-groups"),
];

/// The same as oauth2-proxy calls it.
const OAUTH2_NAMES: [HeaderName; 4] = [
    HeaderName::from_static("x-auth-request-user"),
    HeaderName::from_static("x-auth-request-email"),
    HeaderName::from_static("x-auth-request-preferred-username"),
    HeaderName::from_static("x-auth-request-groups"),
];

/// What a value must not hold as it is.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Says who somebody is, or that it is nobody.
pub fn put(headers: &mut HeaderMap, who: Option<&Arc<User>>, dialect: Dialect) {
    let mut packed = who.map_or_else(Bytes::new, |user| user.shown.vouched(|| pack(user)));
    for (name, also) in NAMES.into_iter().zip(OAUTH2_NAMES) {
        let end = packed.iter().position(|byte| *byte == b'\n').unwrap_or(packed.len());
        let value = packed.split_to(end);
        let _line_end = packed.split_to(packed.len().min(1));
        let value = HeaderValue::from_maybe_shared(value).unwrap_or(HeaderValue::from_static(""));
        if dialect == Dialect::OAuth2 {
            headers.insert(also, value.clone());
        }
        headers.insert(name, value);
    }
}

/// All values, a line each.
fn pack(user: &User) -> Bytes {
    let email = if user.verified { user.email.as_str() } else { "" };
    let name = format!("{} {}", user.first_name, user.last_name);
    let values = [user.id.clone(), email.to_owned(), name.trim().to_owned(), user.groups.join(",")];
    Bytes::from(values.map(|value| utf8_percent_encode(&value, ENCODED).to_string()).join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(first_name: &str) -> User {
        User {
            id: "u1".into(),
            email: "ada@example.com".into(),
            first_name: first_name.into(),
            last_name: "Stout".into(),
            groups: vec!["admins".into(), "staff".into()],
            created_at: 0,
            admin: false,
            approved: true,
            verified: true,
            disabled: false,
            shown: Default::default(),
        }
    }

    fn put_for(who: Option<User>) -> Vec<String> {
        let mut headers = HeaderMap::new();
        put(&mut headers, who.map(Arc::new).as_ref(), Dialect::ForwardAuth);
        assert_eq!(headers.len(), 4);
        NAMES.iter().map(|name| headers[name].to_str().expect("ASCII").to_owned()).collect()
    }

    #[test]
    fn everything_is_said_or_empty() {
        assert_eq!(put_for(Some(user("Ada"))), ["u1", "ada@example.com", "Ada Stout", "admins,staff"]);
        assert_eq!(put_for(None), ["", "", "", ""]);
        let unverified = User { verified: false, groups: Vec::new(), last_name: String::new(), ..user("") };
        assert_eq!(put_for(Some(unverified)), ["u1", "", "", ""]);
    }

    #[test]
    fn values_are_ascii_and_one_line_whatever_a_name_is() {
        assert_eq!(put_for(Some(user("Jürgen 100%")))[2], "J%C3%BCrgen 100%25 Stout");
        assert_eq!(put_for(Some(user("a\r\nRemote-User: root\0")))[2], "a%0D%0ARemote-User: root%00 Stout");
        assert_eq!(put_for(Some(User { id: "a\nb".into(), ..user("x") }))[..2], ["a%0Ab", "ada@example.com"]);
    }
}
