//! Form: the fields of a form or a query string, read strictly.
//!
//! Browsers send well-formed fields, once each. Whatever is doubled, badly encoded or not UTF-8 is refused, since two
//! readers could take it for different things. Deliberately absent: arrays (`a[]=`), `;` between fields, other
//! character sets.

use crate::error::{Error, Result};

/// The most fields that a form may have.
const FIELDS_MAX: usize = 64;

/// Fields by name. Holds passwords, so it cannot be printed.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded` (WHATWG URL, section 5.1).
    ///
    /// # Errors
    /// `Malformed`, with a sentence that says what is wrong and where.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let name = decoded(&pair[..at])?;
            let value = decoded(pair.get(at + 1..).unwrap_or_default())?;
            if name.contains('\0') {
                return Err(malformed("A field's name holds a NUL character."));
            }
            if fields.iter().any(|(n, _)| *n == name) {
                return Err(Error::Malformed(format!("The field `{}` comes more than once.", shown(&name))));
            }
            if fields.len() == FIELDS_MAX {
                return Err(malformed("There are too many fields."));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// A text field; empty when it is absent.
    ///
    /// # Errors
    /// `Malformed` when it holds a NUL, which no text has and some readers stop at.
    pub fn text(&self, name: &str) -> Result<&str> {
        let value = self.secret(name);
        if value.contains('\0') {
            return Err(holds_nul(name));
        }
        Ok(value)
    }

    /// A password: taken as it is; empty when it is absent.
    pub fn secret(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Whether a box was ticked.
    pub fn flag(&self, name: &str) -> bool {
        is_ticked(self.secret(name))
    }

    /// Whether the field is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// All fields, as sent.
    pub(super) fn into_fields(self) -> Vec<(String, String)> {
        self.0
    }
}

/// What a ticked box sends: anything but a word for no.
pub(super) fn is_ticked(value: &str) -> bool {
    !matches!(value, "" | "0" | "false" | "off" | "no")
}

/// The error for a NUL where text was wanted.
pub(super) fn holds_nul(name: &str) -> Error {
    Error::Malformed(format!("The field `{}` holds a NUL character.", shown(name)))
}

/// A name that a stranger chose, short enough to be repeated to them.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn malformed(sentence: &str) -> Error {
    Error::Malformed(sentence.to_owned())
}

fn decoded(part: &[u8]) -> Result<String> {
    let bytes = percent_decoded(part, Plus::IsSpace).ok_or_else(|| malformed("The form is not properly encoded."))?;
    String::from_utf8(bytes).map_err(|_| malformed("The form is not in UTF-8."))
}

/// What `+` stands for: a space in forms, itself in paths.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    IsSpace,
    IsPlus,
}

/// The bytes behind percent-encoding, decoded once; `None` when a `%` is not followed by two hexadecimal digits.
pub(super) fn percent_decoded(text: &[u8], plus: Plus) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' if plus == Plus::IsSpace => b' ',
            b'%' => digit(rest.next()?)? * 16 + digit(rest.next()?)?,
            other => *other,
        });
    }
    Some(out)
}

fn digit(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        match Form::parse(bytes) {
            Err(Error::Malformed(sentence)) => sentence,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("read {:?}", String::from_utf8_lossy(bytes)),
        }
    }

    #[test]
    fn fields_are_decoded_once() {
        let form = Form::parse(b"email=a%2Bb%40c.d&name=J%C3%BCrgen+K&x=%2525&empty=&bare").unwrap();
        assert_eq!(form.text("email").unwrap(), "a+b@c.d");
        assert_eq!(form.text("name").unwrap(), "J\u{fc}rgen K");
        assert_eq!(form.text("x").unwrap(), "%25");
        assert!(form.has("empty") && form.has("bare") && !form.has("other"));
        assert_eq!(form.text("other").unwrap(), "");
    }

    #[test]
    fn a_doubled_field_is_refused_by_name() {
        assert_eq!(refused(b"a=1&b=2&%61=3"), "The field `a` comes more than once.");
    }

    #[test]
    fn bad_encoding_is_refused_not_guessed() {
        for bad in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%+1", b"%g0=1"] {
            assert_eq!(refused(bad), "The form is not properly encoded.");
        }
        for bad in [&b"a=%ff"[..], b"a=\xff", b"%c3%28=1", b"a=%ed%a0%80"] {
            assert_eq!(refused(bad), "The form is not in UTF-8.");
        }
    }

    #[test]
    fn nul_is_no_text_but_may_be_in_a_password() {
        let form = Form::parse(b"email=a%00b&password=a%00b").unwrap();
        assert!(matches!(form.text("email"), Err(Error::Malformed(_))));
        assert_eq!(form.secret("password"), "a\0b");
        refused(b"a%00=1");
    }

    #[test]
    fn there_is_an_end_to_the_fields() {
        let many = |n: usize| (0..n).map(|i| format!("f{i}=")).collect::<Vec<_>>().join("&");
        assert!(Form::parse(many(FIELDS_MAX).as_bytes()).is_ok());
        refused(many(FIELDS_MAX + 1).as_bytes());
    }

    #[test]
    fn a_box_is_ticked_by_anything_but_no() {
        let form = Form::parse(b"a=on&b=1&c=off&d=&e=false").unwrap();
        assert_eq!(["a", "b", "c", "d", "e", "f"].map(|n| form.flag(n)), [true, true, false, false, false, false]);
    }
}
