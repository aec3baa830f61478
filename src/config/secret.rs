//! Secret: text that signs, refused when others could guess it, and never printed.
//!
//! Examples from manuals end up in production: express-session's own says "keyboard cat". Length alone does not tell,
//! so what is well known or repeats itself is taken away first, and enough has to remain.

use std::fmt;

use crate::limits::SECRET_BYTES_MIN;

/// A signing secret. Shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text, unchecked.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for keying a MAC.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Pieces of secrets that stand in manuals, lower case, without separators. Longer ones first where one holds another.
const WELL_KNOWN: &[&str] = &[
    "thisisasecret",
    "keyboardcat",
    "shhhhh",
    "changethis",
    "changeme",
    "replaceme",
    "replacethis",
    "supersecret",
    "topsecret",
    "mysecret",
    "yoursecret",
    "secretkey",
    "sessionsecret",
    "cookiesecret",
    "password",
    "insecure",
    "unsafe",
    "default",
    "development",
    "production",
    "example",
    "testing",
    "sojourn",
    "session",
    "cookie",
    "secret",
    "generate",
    "random",
    "string",
    "please",
    "0123456789",
    "1234567890",
    "123456789",
    "12345678",
    "abcdefghijklmnopqrstuvwxyz",
    "abcdefgh",
    "abcdef",
    "fedcba",
    "qwertyuiop",
    "qwerty",
    "asdfgh",
    "deadbeef",
    "cafebabe",
];

/// What has to be left, in bytes, once well-known pieces are gone.
const REST_MIN: usize = 16;

/// Fewest different characters: hexadecimal digits of 16 random bytes have about 14.
const DISTINCT_MIN: usize = 8;

/// Why this text must not sign anything; `None` when it may.
pub fn weakness(text: &str) -> Option<String> {
    if is_well_known(text) {
        return Some("is a well-known example, or repeats itself".into());
    }
    if text.len() < SECRET_BYTES_MIN {
        return Some(format!("has {} bytes, and {SECRET_BYTES_MIN} are the least", text.len()));
    }
    None
}

fn is_well_known(text: &str) -> bool {
    let mut rest: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    let whole = rest.len();
    for piece in WELL_KNOWN {
        rest = rest.replace(piece, "");
    }
    let named = rest.len() < whole && rest.len() < REST_MIN;
    named || (text.len() >= SECRET_BYTES_MIN && repeats(text))
}

fn repeats(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut seen = bytes.to_vec();
    seen.sort_unstable();
    seen.dedup();
    let period = (1..=bytes.len()).find(|p| bytes[*p..] == bytes[..bytes.len() - p]).unwrap_or(bytes.len());
    seen.len() < DISTINCT_MIN || period <= bytes.len() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_from_manuals_are_refused_at_any_length() {
        for text in [
            "keyboard cat",
            "secret",
            "changeme",
            "keyboard cat keyboard cat keyboard cat",
            "CHANGE_ME_change-me-CHANGE_ME_changeme",
            "your-super-secret-session-secret-please-change-this",
            "0123456789abcdef0123456789abcdef",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababababababababababab",
            "k3jfh2k3jfh2k3jfh2k3jfh2k3jfh2k3jfh2",
            "x9$Lq2!vRt7^mWz4x9$Lq2!vRt7^mWz4",
        ] {
            let why = weakness(text).unwrap_or_default();
            assert_eq!(why, "is a well-known example, or repeats itself", "{text}");
        }
    }

    #[test]
    fn short_secrets_are_refused_with_both_lengths() {
        let why = weakness("x9$Lq2!vRt7^mWz4kJ8#nB5&pD1*fG6").unwrap_or_default();
        assert_eq!(why, "has 31 bytes, and 32 are the least");
        assert_eq!(weakness("").unwrap_or_default(), "has 0 bytes, and 32 are the least");
    }

    #[test]
    fn random_secrets_are_accepted() {
        assert_eq!(weakness("x9$Lq2!vRt7^mWz4kJ8#nB5&pD1*fG6y"), None);
        assert_eq!(weakness("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"), None);
        for _ in 0..1_000 {
            assert_eq!(weakness(&crate::random::token::<33>()), None);
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("x9$Lq2!v")), "Secret(8 bytes)");
    }
}
