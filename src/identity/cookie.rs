//! Cookie: Express's signed cookie, byte for byte what `express-session` sets and accepts.
//!
//! `s:<sid>.<HMAC-SHA256 in base64 without padding>`, percent-encoded as JavaScript's `encodeURIComponent` does. The
//! first secret signs, all verify. Signatures are compared as *encoded* strings in constant time: four different last
//! characters decode to the same bytes, and only one of them is ours. Whatever is not exactly that is no cookie.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The longest cookie value that is looked at, bytes as sent. Ours take at most 171.
pub const COOKIE_MAX: usize = 256;

/// Bytes of a signature in unpadded base64.
const SIGNATURE: usize = 43;

/// What `encodeURIComponent` escapes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The secrets, each with its HMAC keyed once.
#[derive(Clone)]
pub struct Signer {
    keys: Vec<Hmac<Sha256>>,
}

impl Signer {
    /// A signer of these secrets: the first signs, all verify.
    ///
    /// # Panics
    /// Without any secret: the settings are checked before.
    pub fn new<S: AsRef<[u8]>>(secrets: &[S]) -> Self {
        assert!(!secrets.is_empty(), "a signer needs a secret");
        let key = |s: &S| Hmac::new_from_slice(s.as_ref()).expect("HMAC takes keys of any length");
        Self { keys: secrets.iter().map(key).collect() }
    }

    /// The cookie value for `sid`, ready for `Set-Cookie`.
    pub fn sign(&self, sid: &str) -> String {
        let signature = signature(&self.keys[0], sid.as_bytes());
        let signature = std::str::from_utf8(&signature).expect("base64 is ASCII");
        let mut out = String::with_capacity(sid.len() + SIGNATURE + 24);
        out.push_str("s%3A");
        out.extend(utf8_percent_encode(sid, ESCAPED));
        out.push('.');
        out.extend(utf8_percent_encode(signature, ESCAPED));
        out
    }

    /// The session id in a cookie value as sent, if one of our secrets signed it. Decoded once; longer than
    /// [`COOKIE_MAX`], unsigned, badly encoded: `None`.
    pub fn verify(&self, raw: &str) -> Option<Verified> {
        let mut buffer = [0; COOKIE_MAX];
        let signed = decoded(raw, &mut buffer)?.strip_prefix(b"s:")?;
        let dot = signed.iter().rposition(|b| *b == b'.')?;
        let (sid, given) = (&signed[..dot], &signed[dot + 1..]);
        let ours = |key: &Hmac<Sha256>| bool::from(signature(key, sid).ct_eq(given));
        if sid.is_empty() {
            return None;
        }
        let secret = self.keys.iter().position(ours)?;
        Some(Verified { sid: std::str::from_utf8(sid).ok()?.to_owned(), outdated: secret > 0 })
    }
}

/// What a cookie says that one of our secrets signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified {
    /// The session id.
    pub sid: String,
    /// Another than the first secret signed it: a cookie set now would be another.
    pub outdated: bool,
}

/// Secrets are never printed.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} secrets)", self.keys.len())
    }
}

fn signature(key: &Hmac<Sha256>, sid: &[u8]) -> [u8; SIGNATURE] {
    let digest = key.clone().chain_update(sid).finalize().into_bytes();
    let mut out = [0; SIGNATURE];
    STANDARD_NO_PAD.encode_slice(digest, &mut out).expect("32 bytes take 43 characters");
    out
}

/// `raw` percent-decoded once into `buffer`; `None` when it is too long or a `%` is not followed by two hex digits.
fn decoded<'a>(raw: &str, buffer: &'a mut [u8; COOKIE_MAX]) -> Option<&'a [u8]> {
    if raw.len() > COOKIE_MAX {
        return None;
    }
    let mut bytes = raw.bytes();
    let mut length = 0;
    while let Some(byte) = bytes.next() {
        buffer[length] = if byte == b'%' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { byte };
        length += 1;
    }
    Some(&buffer[..length])
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vectors {
        secrets: Vec<String>,
        /// Index of the secret, session id, cookie value.
        cookies: Vec<(usize, String, String)>,
    }

    /// Two hundred cookies that the npm packages themselves made.
    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../tests/data/cookies.json")).expect("the file is JSON")
    }

    fn signer() -> Signer {
        Signer::new(&["keyboard cat"])
    }

    fn verified(signer: &Signer, raw: &str) -> Option<String> {
        signer.verify(raw).map(|verified| verified.sid)
    }

    const SID: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz012345";

    #[test]
    fn cookies_made_by_express_are_made_here_byte_for_byte_and_verified() {
        let Vectors { secrets, cookies } = vectors();
        assert_eq!(cookies.len(), 200);
        for (secret, sid, cookie) in &cookies {
            let signer = Signer::new(&[&secrets[*secret]]);
            assert_eq!(&signer.sign(sid), cookie);
            assert_eq!(verified(&signer, cookie).as_ref(), Some(sid));
        }
    }

    #[test]
    fn the_first_secret_signs_and_all_verify() {
        let Vectors { secrets, cookies } = vectors();
        let signer = Signer::new(&secrets);
        for (_, sid, cookie) in &cookies {
            assert_eq!(verified(&signer, cookie).as_ref(), Some(sid));
        }
        assert_eq!(signer.sign(SID), Signer::new(&secrets[..1]).sign(SID));
        assert_eq!(verified(&Signer::new(&secrets[1..]), &signer.sign(SID)), None);
        let outdated = |cookie: &str| signer.verify(cookie).map(|verified| verified.outdated);
        assert_eq!(outdated(&signer.sign(SID)), Some(false));
        assert_eq!(outdated(&Signer::new(&secrets[1..]).sign(SID)), Some(true));
    }

    #[test]
    fn an_unescaped_cookie_is_accepted_as_express_accepts_it() {
        let cookie = signer().sign(SID);
        let plain = percent_encoding::percent_decode_str(&cookie).decode_utf8().expect("is text").into_owned();
        assert!(plain.starts_with("s:"));
        assert_eq!(verified(&signer(), &plain).as_deref(), Some(SID));
        assert_eq!(verified(&signer(), &cookie.replace("%3A", "%3a")).as_deref(), Some(SID));
    }

    #[test]
    fn it_is_decoded_once() {
        assert_eq!(verified(&signer(), &signer().sign(SID).replace('%', "%25")), None);
    }

    #[test]
    fn only_our_spelling_of_a_signature_counts() {
        let plain = |signature: &str| verified(&signer(), &format!("s:{SID}.{signature}"));
        let signature = signature(&signer().keys[0], SID.as_bytes());
        let signature = std::str::from_utf8(&signature).expect("ASCII");
        assert_eq!(plain(signature).as_deref(), Some(SID));
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (head, last) = signature.split_at(42);
        for other in alphabet.chars().filter(|c| !last.contains(*c)) {
            assert_eq!(plain(&format!("{head}{other}")), None, "{other}");
        }
        for tampered in [
            format!("{signature}="),
            format!("{signature}A"),
            format!("{signature} "),
            head.to_owned(),
            String::new(),
            signature.replace('+', "-").replace('/', "_") + "~",
        ] {
            assert_eq!(plain(&tampered), None, "{tampered}");
        }
    }

    #[test]
    fn what_is_no_signed_cookie_is_none() {
        let cookie = signer().sign(SID);
        let unsigned = cookie.strip_prefix("s%3A").expect("signed").to_owned();
        let long = signer().sign(&"x".repeat(COOKIE_MAX));
        for bad in
            ["", "s:", "s%3A", "s:.", "s:x", "s:x.", ".", "%", "%s", "s%3", "s:%zz.x", "s:%+1.x", SID, &unsigned, &long]
        {
            assert_eq!(verified(&signer(), bad), None, "{bad}");
        }
        assert_eq!(verified(&signer(), &signer().sign("")), None, "an empty id is no id");
        for end in 0..cookie.len() {
            assert_eq!(verified(&signer(), &cookie[..end]), None, "cut at {end}");
        }
        assert_eq!(verified(&signer(), &format!("{cookie}%")), None);
        assert_eq!(verified(&signer(), &format!("{cookie}%00")), None);
    }

    #[test]
    fn ids_of_other_bytes_than_utf8_are_none() {
        let signature = signature(&signer().keys[0], b"\xff\xfe");
        let signature = std::str::from_utf8(&signature).expect("ASCII").replace('+', "%2B");
        assert_eq!(verified(&signer(), &format!("s%3A%ff%fe.{signature}")), None);
    }

    #[test]
    fn the_longest_cookie_of_ours_is_well_inside_the_limit() {
        let longest = vectors().cookies.iter().map(|(_, _, cookie)| cookie.len()).max();
        assert!(longest.is_some_and(|l| l < 171), "{longest:?}");
    }

    proptest! {
        #[test]
        fn what_is_signed_is_verified(sid in "\\PC{1,20}") {
            prop_assert_eq!(verified(&signer(), &signer().sign(&sid)), Some(sid));
        }

        #[test]
        fn a_flipped_bit_is_no_cookie_or_spells_the_same_bytes(at in 0usize..83, bit in 0u8..8) {
            let cookie = signer().sign(SID);
            let mut bytes = cookie.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(flipped) = String::from_utf8(bytes) {
                let same = percent_encoding::percent_decode_str(&flipped).eq(percent_encoding::percent_decode_str(&cookie));
                prop_assert_eq!(verified(&signer(), &flipped).is_some(), same);
            }
        }

        #[test]
        fn no_value_makes_verifying_panic_or_succeed(raw in "(s:|s%3A)?[\\PC%.]{0,300}") {
            prop_assert_eq!(verified(&signer(), &raw), None);
        }
    }
}
