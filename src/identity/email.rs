//! E-mail: one spelling for each address, made once and used everywhere.
//!
//! Trim, NFKC, lower-case (both parts), *then* validate; what comes out is what is stored, compared and written to.
//! Case mapping and NFKC can make two addresses one (`ı`, `ſ`, `ﬀ`, the Kelvin sign), and whoever owns the one could
//! then claim the other. So characters outside ASCII are refused, save full-width letters and digits, which a
//! Japanese or Chinese keyboard types for the same keys; a full-width `＠` is refused too. Domains in other scripts
//! are written as they travel (`xn--…`). Deliberately absent: quoted local parts, address literals.

use unicode_normalization::UnicodeNormalization as _;

use crate::error::{Error, Result};
use crate::limits;

/// The longest local part in bytes (RFC 5321, 4.5.3.1.1).
const LOCAL_MAX: usize = 64;
/// The longest label of a domain in bytes (RFC 1035, 2.3.4).
const LABEL_MAX: usize = 63;

/// The one spelling of the address in `text`.
///
/// # Errors
/// `Unacceptable` for `email`, with one sentence that says why.
pub fn normalise(text: &str) -> Result<String> {
    let text = text.trim();
    // no character that is let in below takes more than three bytes or gives more than one
    if text.len() > 3 * limits::EMAIL_BYTES_MAX {
        return refuse("The e-mail address is too long.");
    }
    if !text.chars().all(is_plain) {
        return refuse("The e-mail address may contain only plain letters, digits and signs.");
    }
    let address = text.nfkc().collect::<String>().to_lowercase();
    let mut parts = address.split('@');
    let (Some(local), Some(domain), None) = (parts.next(), parts.next(), parts.next()) else {
        return refuse("The e-mail address must contain one @.");
    };
    if address.len() > limits::EMAIL_BYTES_MAX || local.len() > LOCAL_MAX {
        return refuse("The e-mail address is too long.");
    }
    if !is_local(local) {
        return refuse("The part of the e-mail address before the @ is not valid.");
    }
    if !is_domain(domain) {
        return refuse("The part of the e-mail address after the @ is not valid.");
    }
    Ok(address)
}

fn refuse(message: &str) -> Result<String> {
    Err(Error::Unacceptable { field: "email", message: message.into() })
}

/// Visible ASCII, and the full-width forms that NFKC maps to it one to one, save the full-width `@`.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() || matches!(c, '\u{ff01}'..='\u{ff5e}') && c != '\u{ff20}'
}

/// RFC 5321's Dot-string.
fn is_local(local: &str) -> bool {
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

/// Letters, digits and inner hyphens; a last label of digits alone would be an IP address.
fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    domain.split('.').all(label) && !domain.rsplit('.').next().is_some_and(numeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_address_become_one() {
        for spelling in [
            "test@example.com",
            " Test@Example.COM\n",
            "\u{a0}TEST@EXAMPLE.COM\u{3000}",
            "ｔｅｓｔ@ｅｘａｍｐｌｅ．ｃｏｍ",
        ] {
            assert_eq!(normalise(spelling).expect(spelling), "test@example.com");
        }
    }

    #[test]
    fn unusual_and_valid_addresses_pass() {
        for address in [
            "a@b",
            "user@localhost",
            "a.b+c_d-e@sub.example.co.uk",
            "!#$%&'*+-/=?^_`{|}~@example.com",
            "x@xn--mnchen-3ya.example",
            "1@2.example",
        ] {
            assert_eq!(normalise(address).expect(address), address);
        }
        let longest = format!("{}@{}.example", "a".repeat(64), [&"b".repeat(59); 3].map(String::as_str).join("."));
        assert_eq!(longest.len(), 252);
        assert!(normalise(&longest).is_ok());
    }

    #[test]
    fn characters_that_case_mapping_or_nfkc_would_merge_are_refused() {
        for merged in ["ß", "ı", "İ", "ſ", "ﬀ", "\u{212a}", "é", "а", "\u{200b}", "\u{ad}", "\u{feff}", "①", "™"]
        {
            for address in [format!("mi{merged}ke@example.com"), format!("mike@gi{merged}thub.com")] {
                assert!(normalise(&address).is_err(), "{address}");
            }
        }
    }

    #[test]
    fn a_full_width_at_is_no_at_and_never_a_second_one() {
        for address in ["a＠example.com", "a@evil.com＠example.com", "a＠evil.com@example.com"] {
            assert!(normalise(address).is_err(), "{address}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "@",
            "a",
            "a@",
            "@b.example",
            "a@b@c",
            "a@evil@company",
            "a b@example.com",
            "a\0@example.com",
            "a\r\nbcc: x@example.com",
            "a@exa mple.com",
            ".a@example.com",
            "a.@example.com",
            "a..b@example.com",
            "\"a b\"@example.com",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@example..com",
            "a@.example",
            "a@example.",
            "a@-b.example",
            "a@b-.example",
            "a@under_score.example",
            "a,b@example.com",
            "<a@example.com>",
            "a@münchen.de",
            "a(c)@example.com",
            "a\u{7f}@example.com",
        ] {
            assert!(normalise(bad).is_err(), "{bad:?}");
        }
        assert!(normalise(&format!("{}@example.com", "a".repeat(65))).is_err());
        assert!(normalise(&format!("a@{}.example", "b".repeat(64))).is_err());
        assert!(normalise(&format!("a@{}example", "b.".repeat(130))).is_err());
        assert!(normalise(&"a".repeat(10_000_000)).is_err());
    }

    #[test]
    fn the_reason_is_said_of_the_field() {
        let error = normalise("nobody").expect_err("no @");
        assert!(
            matches!(&error, Error::Unacceptable { field: "email", message } if message.contains('@')),
            "{error:?}"
        );
    }

    proptest! {
        #[test]
        fn normalising_again_changes_nothing(text in "[ \\t]?[A-Za-zａ-ｚＡ-Ｚ0-9.+ıſ\u{212a}-]{1,12}[@＠][A-Za-z0-9．.-]{1,12}") {
            if let Ok(once) = normalise(&text) {
                prop_assert!(once.is_ascii());
                prop_assert_eq!(normalise(&once).expect("is valid"), once);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}@?\\PC{0,40}") {
            let _ = normalise(&text);
        }
    }
}
