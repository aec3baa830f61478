//! Name: the names that people give themselves: shown back to them, to admins, and to apps in a header.
//!
//! Any script, trimmed, bounded, and without characters that would break a line or hide in one.

use crate::error::{Error, Result};
use crate::limits;

/// `text` trimmed; may be empty. `field` is what the error names.
///
/// # Errors
/// `Unacceptable` when it is longer than 100 code points or holds a control character.
pub fn normalise(field: &'static str, text: &str) -> Result<String> {
    let name = text.trim();
    if name.chars().nth(limits::NAME_CHARS_MAX).is_some() {
        return Err(Error::Unacceptable {
            field,
            message: format!("A name may have at most {} characters.", limits::NAME_CHARS_MAX),
        });
    }
    if name.chars().any(|c| c.is_control() || is_format(c)) {
        return Err(Error::Unacceptable { field, message: "A name may not contain control characters.".into() });
    }
    Ok(name.to_owned())
}

/// Line separators and characters that turn the direction of what follows. Joiners stay: some scripts need them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_script_are_kept_and_trimmed() {
        assert_eq!(normalise("first_name", " Ada ").expect("fine"), "Ada");
        assert_eq!(normalise("first_name", "").expect("fine"), "");
        assert_eq!(normalise("last_name", "O'Brien-Ñandú 李").expect("fine"), "O'Brien-Ñandú 李");
        assert!(normalise("last_name", &"李".repeat(100)).is_ok());
    }

    #[test]
    fn long_ones_and_control_characters_are_refused_by_field() {
        for bad in [
            "x".repeat(101),
            "a\0b".into(),
            "a\r\nb".into(),
            "a\u{1b}[31m".into(),
            "a\u{202e}b".into(),
            "a\u{2028}b".into(),
        ] {
            let error = normalise("last_name", &bad).expect_err("refused");
            assert!(matches!(error, Error::Unacceptable { field: "last_name", .. }), "{error:?}");
        }
    }
}
