//! Token text: what a personal access token looks like.
//!
//! `sjt_`, thirty random characters of base62, and the CRC-32 of these thirty in six more, as GitHub forms its own:
//! scanners for secrets find one by its beginning, and know by its end that it is none by chance.

use crate::random;

/// How every token begins.
pub const BEGINNING: &str = "sjt_";
/// Characters that are drawn, and those of the checksum behind them.
const DRAWN: usize = 30;
const CHECKED: usize = 6;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new token.
pub fn drawn() -> String {
    let mut text = String::with_capacity(BEGINNING.len() + DRAWN + CHECKED);
    text.push_str(BEGINNING);
    while text.len() < BEGINNING.len() + DRAWN {
        for byte in random::bytes::<DRAWN>() {
            // 248 is four times 62: what lies above would be drawn more often
            if byte < 248 && text.len() < BEGINNING.len() + DRAWN {
                text.push(char::from(BASE62[usize::from(byte) % 62]));
            }
        }
    }
    let sum = checksum(&text[BEGINNING.len()..]);
    text.push_str(&sum);
    text
}

/// The CRC-32 of a text, in six digits of base62.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKED];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// Whether a text has the form of a token: what was mistyped or made up costs no look.
pub fn is_whole(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(BEGINNING) else { return false };
    rest.len() == DRAWN + CHECKED
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && checksum(&rest[..DRAWN]) == rest[DRAWN..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_form_that_scanners_look_for() {
        let token = drawn();
        assert!(token.starts_with("sjt_") && token.len() == 40 && is_whole(&token), "{token}");
        assert_ne!(token, drawn());
        // the CRC-32 of 30 zeros, computed elsewhere (zlib)
        assert_eq!(checksum(&"0".repeat(30)), in_base62(0x77e5_db82));
        for at in 4..token.len() {
            let other = if token.as_bytes()[at] == b'a' { "b" } else { "a" };
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(!is_whole(&changed), "{changed}");
        }
        for none in ["", "sjt_", "sjt", &token[..39], &format!("{token}0"), &token.replace("sjt_", "ghp_")] {
            assert!(!is_whole(none), "{none}");
        }
        assert!(!is_whole(&format!("sjt_{}", "ä".repeat(18))));
    }

    fn in_base62(mut number: u32) -> String {
        let mut digits = Vec::new();
        for _ in 0..6 {
            digits.insert(0, char::from(BASE62[(number % 62) as usize]));
            number /= 62;
        }
        digits.into_iter().collect()
    }
}
