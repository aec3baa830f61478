//! Scheme: the forms of password hash that other programs leave behind, read and verified as they are.
//!
//! Accepted: argon2 (PHC), bcrypt (`$2a$ $2b$ $2y$`), scrypt (PHC, which is passlib's form too), PBKDF2 with SHA-256
//! or SHA-512 (PHC and passlib's form), and Django's `pbkdf2_sha256$…`. What a hash would cost to verify is bounded
//! when it is read, so one that would take a gigabyte or a minute is refused at import and never run.
//! Deliberately absent: MD5, SHA-1 and crypt(3) schemes, `$2x$`, peppered argon2.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Sha256, Sha512};

use crate::error::{Error, Result};

/// The longest stored hash, bytes.
const HASH_TEXT_MAX: usize = 512;
/// The most memory one verification may take, bytes.
const MEMORY_MAX: u64 = 1 << 30;
/// The most memory traffic (memory × passes), bytes: some seconds of work.
const TRAFFIC_MAX: u64 = 8 << 30;
/// bcrypt's cost is a power of two: 16 is about four seconds.
const BCRYPT_COST_MAX: u32 = 16;
/// PBKDF2: some seconds.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;
/// Hashes shorter than this can be met by chance; longer ones than the maximum only cost.
const HASH_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
const SALT_BYTES: std::ops::RangeInclusive<usize> = 1..=128;

/// Unused bits of a last character are ignored: some programs leave salts with random ones there.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BCRYPT64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, LENIENT);

/// A stored hash, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 9106.
    Argon2(Argon2Form),
    /// OpenBSD's; passwords end at 72 bytes.
    Bcrypt { cost: u32, salt: [u8; 16], hash: Vec<u8> },
    /// RFC 7914; the cost is two to the power of `log_n`.
    Scrypt { log_n: u8, block: u32, lanes: u32, salt: Vec<u8>, hash: Vec<u8> },
    /// RFC 8018.
    Pbkdf2 { digest: Digest, rounds: u32, salt: Vec<u8>, hash: Vec<u8> },
}

/// An argon2 hash, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Argon2Form {
    pub kind: Argon2Kind,
    /// 0x10 or 0x13.
    pub version: u32,
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
    pub salt: Vec<u8>,
    pub hash: Vec<u8>,
}

/// Which argon2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argon2Kind {
    D,
    I,
    Id,
}

/// The digest under PBKDF2's HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    Sha256,
    Sha512,
}

/// Reads a stored hash.
///
/// # Errors
/// Why it is refused: no known scheme, damaged, or too costly to verify. Never quotes the hash.
pub fn recognise(text: &str) -> Result<Scheme, String> {
    if text.len() > HASH_TEXT_MAX {
        return Err(format!("the password hash is longer than {HASH_TEXT_MAX} bytes"));
    }
    let parts: Vec<&str> = text.split('$').collect();
    let scheme = match parts[..] {
        ["", "argon2d", ref rest @ ..] => argon2(Argon2Kind::D, rest),
        ["", "argon2i", ref rest @ ..] => argon2(Argon2Kind::I, rest),
        ["", "argon2id", ref rest @ ..] => argon2(Argon2Kind::Id, rest),
        ["", "2a" | "2b" | "2y", cost, both] => bcrypt(cost, both),
        ["", "scrypt", params, salt, hash] => scrypt(params, salt, hash),
        ["", "pbkdf2-sha256", params, salt, hash] => pbkdf2(Digest::Sha256, params, (salt, hash)),
        ["", "pbkdf2-sha512", params, salt, hash] => pbkdf2(Digest::Sha512, params, (salt, hash)),
        ["pbkdf2_sha256", rounds, salt, hash] => django(rounds, salt, hash),
        _ => {
            Err("the password hash is of no known scheme; hint: argon2, bcrypt ($2a$ $2b$ $2y$), scrypt or PBKDF2"
                .into())
        }
    }?;
    if !HASH_BYTES.contains(&scheme.hash().len()) {
        return Err("the password hash is damaged: its length is wrong".into());
    }
    Ok(scheme)
}

impl Scheme {
    /// What deriving must give.
    pub fn hash(&self) -> &[u8] {
        match self {
            Self::Argon2(form) => &form.hash,
            Self::Bcrypt { hash, .. } | Self::Scrypt { hash, .. } | Self::Pbkdf2 { hash, .. } => hash,
        }
    }

    /// What deriving takes.
    pub fn memory_bytes(&self) -> u64 {
        match self {
            Self::Argon2(form) => u64::from(form.memory_kib) * 1_024,
            Self::Scrypt { log_n, block, lanes, .. } => scrypt_bytes(*log_n, *block, *lanes).unwrap_or(u64::MAX),
            Self::Bcrypt { .. } | Self::Pbkdf2 { .. } => 0,
        }
    }

    /// Derives from `password` into `out`, which is as long as [`Scheme::hash`]. Argon2 is the caller's business: it
    /// owns the memory.
    ///
    /// # Errors
    /// `Broken` when the library refuses parameters that [`recognise`] let pass.
    pub(super) fn derive(&self, password: &[u8], out: &mut [u8]) -> Result<()> {
        match self {
            Self::Argon2(_) => return Err(Error::Broken("argon2 is derived with its own memory".into())),
            Self::Bcrypt { cost, salt, .. } => {
                let derived = bcrypt::bcrypt(*cost, *salt, &bcrypt_key(password));
                out.copy_from_slice(&derived[..out.len()]);
            }
            Self::Scrypt { log_n, block, lanes, salt, .. } => {
                let params = scrypt::Params::new(*log_n, *block, *lanes).map_err(|e| Error::broken("scrypt", e))?;
                scrypt::scrypt(password, salt, &params, out).map_err(|e| Error::broken("scrypt", e))?;
            }
            Self::Pbkdf2 { digest: Digest::Sha256, rounds, salt, .. } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *rounds, out);
            }
            Self::Pbkdf2 { digest: Digest::Sha512, rounds, salt, .. } => {
                pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, *rounds, out);
            }
        }
        Ok(())
    }
}

/// What bcrypt mixes in: the password and a closing NUL, cut at 72 bytes. A NUL inside the password does not end it,
/// as it would in C: that would let a prefix of the password sign in.
fn bcrypt_key(password: &[u8]) -> Vec<u8> {
    password.iter().copied().chain([0]).take(72).collect()
}

fn argon2(kind: Argon2Kind, rest: &[&str]) -> Result<Scheme, String> {
    let (version, params, salt, hash) = match rest {
        ["v=19", params, salt, hash] => (0x13, params, salt, hash),
        ["v=16", params, salt, hash] | [params, salt, hash] => (0x10, params, salt, hash),
        _ => return Err(damaged("argon2")),
    };
    let [memory_kib, passes, lanes] = numbers(params, ["m", "t", "p"])?;
    let traffic = (u64::from(memory_kib) * 1_024).saturating_mul(u64::from(passes));
    if u64::from(memory_kib) * 1_024 > MEMORY_MAX || traffic > TRAFFIC_MAX || lanes > 255 {
        return Err(costly("argon2"));
    }
    let salt = decoded(salt)?;
    if passes == 0 || lanes == 0 || memory_kib < 8 * lanes || salt.len() < 8 {
        return Err(damaged("argon2"));
    }
    Ok(Scheme::Argon2(Argon2Form { kind, version, memory_kib, passes, lanes, salt, hash: decoded(hash)? }))
}

fn bcrypt(cost: &str, both: &str) -> Result<Scheme, String> {
    let cost = number(cost).filter(|c| *c >= 4).ok_or_else(|| damaged("bcrypt"))?;
    if cost > BCRYPT_COST_MAX {
        return Err(costly("bcrypt"));
    }
    let Some((salt, hash)) = both.split_at_checked(22).filter(|(_, hash)| hash.len() == 31) else {
        return Err(damaged("bcrypt"));
    };
    let salt = BCRYPT64.decode(salt).ok().and_then(|s| s.try_into().ok()).ok_or_else(|| damaged("bcrypt"))?;
    let hash = BCRYPT64.decode(hash).map_err(|_| damaged("bcrypt"))?;
    Ok(Scheme::Bcrypt { cost, salt, hash })
}

fn scrypt(params: &str, salt: &str, hash: &str) -> Result<Scheme, String> {
    let [log_n, block, lanes] = numbers(params, ["ln", "r", "p"])?;
    if log_n == 0 || block == 0 || lanes == 0 {
        return Err(damaged("scrypt"));
    }
    let log_n = u8::try_from(log_n).map_err(|_| costly("scrypt"))?;
    let memory = scrypt_bytes(log_n, block, lanes).filter(|m| *m <= MEMORY_MAX).ok_or_else(|| costly("scrypt"))?;
    if memory.saturating_mul(u64::from(lanes)) > TRAFFIC_MAX {
        return Err(costly("scrypt"));
    }
    Ok(Scheme::Scrypt { log_n, block, lanes, salt: decoded(salt)?, hash: decoded(hash)? })
}

/// 128 bytes × block size × (2^log_n + lanes); `None` when that is beyond counting.
fn scrypt_bytes(log_n: u8, block: u32, lanes: u32) -> Option<u64> {
    let n = 1u64.checked_shl(u32::from(log_n))?;
    n.checked_add(u64::from(lanes))?.checked_mul(u64::from(block))?.checked_mul(128)
}

fn pbkdf2(digest: Digest, params: &str, (salt, hash): (&str, &str)) -> Result<Scheme, String> {
    let hash = decoded(hash)?;
    let rounds = match params.split_once(',') {
        // PHC's optional length; it must agree with the hash
        Some((rounds, length)) => {
            if length.strip_prefix("l=").and_then(number).map(|l| l as usize) != Some(hash.len()) {
                return Err(damaged("pbkdf2"));
            }
            rounds
        }
        None => params,
    };
    let rounds = bounded(rounds.strip_prefix("i=").unwrap_or(rounds))?;
    Ok(Scheme::Pbkdf2 { digest, rounds, salt: decoded(salt)?, hash })
}

/// Django's salt is text, used as it stands.
fn django(rounds: &str, salt: &str, hash: &str) -> Result<Scheme, String> {
    if !SALT_BYTES.contains(&salt.len()) {
        return Err(damaged("pbkdf2"));
    }
    let (rounds, salt) = (bounded(rounds)?, salt.as_bytes().to_vec());
    Ok(Scheme::Pbkdf2 { digest: Digest::Sha256, rounds, salt, hash: decoded(hash)? })
}

fn bounded(rounds: &str) -> Result<u32, String> {
    let rounds = number(rounds).filter(|r| *r > 0).ok_or_else(|| damaged("pbkdf2"))?;
    if rounds > PBKDF2_ROUNDS_MAX { Err(costly("pbkdf2")) } else { Ok(rounds) }
}

/// The values of `a=1,b=2,c=3`, these names, each once, in any order, no others.
fn numbers<const N: usize>(params: &str, names: [&str; N]) -> Result<[u32; N], String> {
    let mut found = [None; N];
    for param in params.split(',') {
        let (name, value) = param.split_once('=').ok_or("the parameters of the password hash are damaged")?;
        let Some(at) = names.iter().position(|n| *n == name) else {
            return Err("the password hash has a parameter that is not supported".into());
        };
        if found[at].replace(number(value).ok_or("the parameters of the password hash are damaged")?).is_some() {
            return Err("the password hash gives a parameter twice".into());
        }
    }
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(found) {
        *to = from.ok_or("the password hash lacks a parameter")?;
    }
    Ok(out)
}

/// Decimal digits alone: no sign, no blanks.
fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Base64, padded or not; passlib writes `.` for `+`.
fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let bytes = BASE64.decode(text.replace('.', "+")).map_err(|_| "the password hash is damaged: bad base64")?;
    if SALT_BYTES.contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err("the password hash is damaged: a part is empty or too long".into())
    }
}

fn damaged(scheme: &str) -> String {
    format!("the password hash looks like {scheme} and is damaged")
}

fn costly(scheme: &str) -> String {
    format!("the parameters of the {scheme} hash would cost too much memory or time to verify")
}

/// Hashes are secrets: only what kind they are is ever printed.
impl std::fmt::Debug for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Argon2(_) => "Argon2",
            Self::Bcrypt { .. } => "Bcrypt",
            Self::Scrypt { .. } => "Scrypt",
            Self::Pbkdf2 { .. } => "Pbkdf2",
        })
    }
}
