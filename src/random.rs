//! Random: unpredictable bytes, drawn before the log and never while applying it.
//!
//! One source, the operating system's generator. A process that cannot get randomness must not mint session ids, so a
//! failure ends it instead of being answered with something weaker.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Fills an array of `N` bytes from the operating system's generator.
///
/// # Panics
/// When the operating system has no randomness to give; nothing secret can be made then.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    getrandom::fill(&mut out).expect("the operating system provides randomness");
    out
}

/// `N` random bytes as unpadded base64url: a session id is `token::<24>()`, 32 characters, as `uid-safe` makes them.
pub fn token<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<N>())
}

/// `N` random bytes in hexadecimal.
pub fn hex<const N: usize>() -> String {
    bytes::<N>().iter().map(|byte| format!("{byte:02x}")).collect()
}
