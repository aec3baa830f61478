//! Password rules: which passwords may be chosen, after NIST SP 800-63B-4, section 3.1.1.2.
//!
//! Long enough, not among the common ones, not made of what everybody can guess about the account. Nothing else:
//! no composition rules, any Unicode, no truncation. The *whole* password is compared, so a passphrase that contains
//! a common word is fine. Imported hashes are not checked: nobody knows what they were made of.

use std::sync::LazyLock;

use super::passwords::canonical;
use crate::error::{Error, Result};
use crate::limits;

/// Lower case, one a line, most frequent first; see `data/README.md`. Every entry stands between two line ends.
static COMMON: &str = concat!("\n", include_str!("../../data/common-passwords.txt"));

/// Bytes of the longest line, so that a longer password is not looked up at all.
static COMMON_MAX: LazyLock<usize> = LazyLock::new(|| COMMON.lines().map(str::len).max().unwrap_or(0));

/// The product's name is as guessable as the account's.
const PRODUCT: &str = "sojourn";

/// What is known about the account and the place.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The least length, in code points after normalising.
    pub min: usize,
    /// The normalised address.
    pub email: &'a str,
    /// Host name of the public URL; may be empty.
    pub host: &'a str,
}

/// Whether `password` may be chosen for this account.
///
/// # Errors
/// `Unacceptable` for `password`, with one sentence that says why.
pub fn check(password: &str, context: &Context<'_>) -> Result<()> {
    if password.len() > limits::PASSWORD_BYTES_MAX {
        return refuse(format!("The password may be at most {} bytes long.", limits::PASSWORD_BYTES_MAX));
    }
    let password = canonical(password);
    if password.chars().count() < context.min {
        return refuse(format!("The password must have at least {} characters.", context.min));
    }
    let folded = password.to_lowercase();
    if is_trivial(&folded) {
        return refuse("The password must not be one character repeated or a plain sequence.".into());
    }
    if is_common(&folded) {
        return refuse("This password is too common: it is among the first that are tried.".into());
    }
    if is_made_of(&folded, context) {
        return refuse("The password must not be made of your e-mail address or the name of this site.".into());
    }
    Ok(())
}

fn refuse(message: String) -> Result<()> {
    Err(Error::Unacceptable { field: "password", message })
}

/// One pass over the text, some 30 µs beside a hash that takes tens of milliseconds, and no memory for an index.
fn is_common(folded: &str) -> bool {
    folded.len() <= *COMMON_MAX && !folded.contains('\n') && COMMON.contains(&format!("\n{folded}\n"))
}

/// `aaaaaaaa`, `12345678901234`, `87654321`, `abcdefgh`.
fn is_trivial(folded: &str) -> bool {
    [0, 1, -1].into_iter().any(|step| {
        let mut pairs = folded.chars().zip(folded.chars().skip(1)).peekable();
        pairs.peek().is_some() && pairs.all(|(a, b)| follows(a, b, step))
    })
}

/// Whether `b` comes `step` after `a`; 0 comes after 9.
fn follows(a: char, b: char, step: i64) -> bool {
    match (a.to_digit(10), b.to_digit(10)) {
        (Some(a), Some(b)) => (i64::from(a) + step).rem_euclid(10) == i64::from(b),
        _ => i64::from(u32::from(a)) + step == i64::from(u32::from(b)),
    }
}

/// Whether the password is nothing but words that belong to the account or the place, and punctuation between them.
fn is_made_of(folded: &str, context: &Context<'_>) -> bool {
    let local = context.email.split('@').next().unwrap_or_default();
    let (email, host) = (context.email.to_lowercase(), context.host.to_lowercase());
    let words = [email.as_str(), &local.to_lowercase(), PRODUCT, &host];
    if !folded.contains(char::is_alphanumeric) {
        return words.contains(&folded);
    }
    // reached[i]: the first i bytes are words and punctuation
    let mut reached = vec![false; folded.len() + 1];
    reached[0] = true;
    for at in 0..folded.len() {
        if !reached[at] {
            continue;
        }
        if folded.as_bytes()[at].is_ascii_punctuation() || folded.as_bytes()[at] == b' ' {
            reached[at + 1] = true;
        }
        for word in words.iter().filter(|w| !w.is_empty() && folded.as_bytes()[at..].starts_with(w.as_bytes())) {
            reached[at + word.len()] = true;
        }
    }
    reached[folded.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context<'_> = Context { min: 8, email: "ada.love@example.com", host: "login.example.com" };

    fn reason(password: &str) -> String {
        match check(password, &CONTEXT) {
            Err(Error::Unacceptable { field: "password", message }) => message,
            other => panic!("{password:?}: {other:?}"),
        }
    }

    #[test]
    fn length_counts_code_points_in_form_c() {
        assert!(reason("seven7#").contains("at least 8 characters"));
        assert!(check("eight8#?", &CONTEXT).is_ok());
        assert!(reason("🍺🍻🍷🍸🍹🍾🥂").contains("at least 8"), "7 emoji are 28 bytes and 14 UTF-16 units");
        assert!(check("🍺🍻🍷🍸🍹🍾🥂🥃", &CONTEXT).is_ok());
        assert!(reason("e\u{301}a\u{301}o\u{301}u\u{301}").contains("at least 8"), "8 code points compose to 4");
        let min = Context { min: 15, ..CONTEXT };
        assert!(check("fourteen chars", &min).is_err() && check("fifteen  chars!", &min).is_ok());
    }

    #[test]
    fn long_ones_pass_up_to_1024_bytes() {
        for length in [64, 128, 1_024] {
            let long: String = "pour another one ".chars().cycle().take(length).collect();
            assert!(check(&long, &CONTEXT).is_ok(), "{length}");
        }
        let long: String = "pour another one ".chars().cycle().take(1_025).collect();
        assert!(reason(&long).contains("at most 1024 bytes"));
        assert!(reason(&"x".repeat(1_000_000)).contains("at most 1024 bytes"));
    }

    #[test]
    fn nothing_is_asked_of_what_it_is_made_of() {
        for fine in
            ["aaaa bbbb cccc dd", "27182818284590452353", "        x", "\0\0\0\0\0\0\0x", "только буквы", "!?!?!?!?!"]
        {
            assert!(check(fine, &CONTEXT).is_ok(), "{fine:?}");
        }
    }

    #[test]
    fn every_common_password_is_refused_in_any_case() {
        assert!(COMMON.lines().count() >= 30_000);
        let long_enough = || COMMON.lines().filter(|l| l.chars().count() >= 8);
        assert!(long_enough().count() >= 10_000, "of the length that matters");
        for common in long_enough().step_by(997) {
            reason(common);
            reason(&common.to_uppercase());
        }
        for common in ["password", "PassWord1", "JENNIFER", "football", "trustno1"] {
            assert!(reason(common).contains("too common"), "{common}");
        }
    }

    #[test]
    fn a_passphrase_that_contains_a_common_one_is_fine() {
        assert!(check("password and then some", &CONTEXT).is_ok());
        assert!(check(" password", &CONTEXT).is_ok(), "the whole is compared, blanks included");
        assert!(check("123456\npassword", &CONTEXT).is_ok(), "two lines are no entry");
    }

    #[test]
    fn the_list_is_as_the_look_up_expects() {
        for line in COMMON.lines().skip(1) {
            assert!(!line.is_empty() && line.trim() == line && line.to_lowercase() == line, "{line:?}");
        }
    }

    #[test]
    fn repetitions_and_sequences_are_refused() {
        for trivial in [
            "zzzzzzzz",
            "AaAaAaAaA",
            "12345678",
            "1234567890123",
            "2345678901",
            "9876543210",
            "abcdefgh",
            "hgfedcba",
            "🍺🍺🍺🍺🍺🍺🍺🍺",
        ] {
            assert!(reason(trivial).contains("sequence"), "{trivial}");
        }
        assert!(check("abcdefgx1", &CONTEXT).is_ok());
    }

    #[test]
    fn what_everybody_knows_about_the_account_is_refused() {
        for known in [
            "ada.love@example.com",
            "Ada.Love",
            "login.example.com",
            "sojournsojourn",
            "Sojourn-ada.love",
            "ada.love ada.love!",
        ] {
            assert!(reason(known).contains("made of"), "{known}");
        }
        assert!(check("sojourn with ada.love", &CONTEXT).is_ok());
        assert!(check("ada.lovelace", &CONTEXT).is_ok());
        assert!(check("!!--!!--", &Context { host: "", email: "", ..CONTEXT }).is_ok());
    }
}
