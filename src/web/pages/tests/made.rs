//! Made: tokens of an account, as its pages show them.

use super::super::tokens::{TokenRow, Tokens};
use super::{NOON, trouble};
use crate::identity::{Scopes, Token};

pub(super) fn tokens(text: &str) -> Tokens {
    let row = |name: &str, ends: Option<i64>| {
        TokenRow::of(Token {
            id: "0199a1b2-c3d4-7abc-8abc-0123456789ab".to_owned(),
            user: "u1".to_owned(),
            name: name.to_owned(),
            digest: [0; 32],
            scopes: Scopes::PROFILE.with(Scopes::SESSIONS),
            created_at: NOON,
            last_used: ends,
            expires_at: ends,
        })
    };
    Tokens { rows: vec![row(text, Some(NOON + 7_776_000_000)), row("phone", None)], ..Tokens::default() }
}

pub(super) fn fresh(text: &str) -> Tokens {
    Tokens { fresh: Some("sjt_0123456789abcdefghijklmnopqrst3Kx9aB".to_owned()), admin: true, ..tokens(text) }
}

pub(super) fn refused(text: &str) -> Tokens {
    Tokens { name: text.to_owned(), trouble: trouble("name", text), rows: Vec::new(), ..tokens(text) }
}
