//! Passwords: made into hashes that are slow to guess, and verified, away from the async threads.
//!
//! New hashes are argon2id at OWASP's minimum. Hashing runs on its own few threads behind a short queue, so that a
//! storm of sign-ins costs bounded memory and never delays the log's writer. Every password is hashed in Unicode's
//! form C, so that a keyboard that composes `é` and one that does not sign in to the same account; nothing else is
//! changed: no trimming, no case folding, no truncation, NUL included. Form C rather than KC because KC would also
//! merge characters that people can tell apart. Hashes of other programs are verified as they are (see `scheme`).

mod pool;
mod scheme;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization as _;

use crate::error::{Error, Result};
use crate::limits;
use pool::Pool;
use scheme::{Argon2Form, Argon2Kind};
pub use scheme::{Scheme, recognise};

/// Memory of one hash, KiB. With `TIME_COST` and `LANES` the minimum of OWASP's Password Storage Cheat Sheet.
pub const MEMORY_KIB: u32 = 19_456;
/// Passes over the memory.
pub const TIME_COST: u32 = 2;
/// Lanes.
pub const LANES: u32 = 1;
/// Bytes of salt (NIST SP 800-63B-4 asks for 4 or more, RFC 9106 recommends 16).
pub const SALT_BYTES: usize = 16;
/// Bytes of hash.
pub const HASH_BYTES: usize = 32;
/// How long a thread without work keeps its memory.
pub const IDLE: Duration = Duration::from_secs(10);

/// The scheme of a stored hash, for people; empty without one.
pub fn scheme_name(stored: &str) -> &'static str {
    match recognise(stored) {
        _ if stored.is_empty() => "",
        Ok(Scheme::Argon2(_)) if stored.starts_with("$argon2id$") => "argon2id",
        Ok(Scheme::Argon2(_)) => "argon2",
        Ok(Scheme::Bcrypt { .. }) => "bcrypt",
        Ok(Scheme::Scrypt { .. }) => "scrypt",
        Ok(Scheme::Pbkdf2 { .. }) => "pbkdf2",
        Err(_) => "unknown",
    }
}

/// What came of comparing a password with a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It is the password.
    pub matched: bool,
    /// It is, and the stored hash should be replaced: another scheme, weaker parameters, or not of Unicode's form C.
    pub rehash: bool,
}

impl Verdict {
    const NO: Self = Self { matched: false, rehash: false };
}

/// The threads that hash. Holds at most threads × 19 MiB while it works, nothing when it has been idle for a while.
#[derive(Debug)]
pub struct HashPool {
    pool: Pool<Memory>,
    /// The longest that a hash of another program took to verify since the start, nanoseconds.
    slowest: AtomicU64,
}

impl HashPool {
    /// A pool of `threads` OS threads, at least one; [`HashPool::default_threads`] is the usual number.
    ///
    /// # Errors
    /// `Broken` when the system gives no thread.
    pub fn new(threads: usize) -> Result<Self> {
        Self::with_queue(threads, limits::HASH_QUEUE_MAX)
    }

    fn with_queue(threads: usize, queue_max: usize) -> Result<Self> {
        Ok(Self { pool: Pool::new(threads.max(1), queue_max, IDLE)?, slowest: AtomicU64::new(0) })
    }

    /// One that has room for nobody.
    #[cfg(test)]
    pub(super) fn full() -> Self {
        Self::with_queue(1, 0).expect("a thread")
    }

    /// Whether a password could be hashed now; asked before a try is counted, so that a storm of sign-ins costs no
    /// writes. It may be full by the time that it is needed all the same.
    ///
    /// # Errors
    /// `NotDone` when the queue is full.
    pub fn has_room(&self) -> Result<()> {
        self.pool.has_room()
    }

    /// Half of the cores, at least one: the other half serves those who are signed in.
    pub fn default_threads() -> usize {
        std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
    }

    /// The hash of `password` as a PHC string, with a new salt.
    ///
    /// # Errors
    /// `Unacceptable` past 1024 bytes; `NotDone` when the queue is full; `Broken` when a thread fails.
    pub async fn hash(&self, password: &str) -> Result<String> {
        if password.len() > limits::PASSWORD_BYTES_MAX {
            return Err(too_long());
        }
        let password = canonical(password);
        let salt = crate::random::bytes::<SALT_BYTES>();
        self.pool.run(move |memory| memory.hash(password.as_bytes(), &salt)).await?
    }

    /// Whether `password` is the one that `stored` was made of.
    ///
    /// Without a stored hash (an unknown address, an account without password) the answer is no, after the work that
    /// a hash of the current parameters would have cost. The password is tried as sent, then in Unicode's form C when
    /// that is different: an imported hash may have been made of either.
    ///
    /// Beside the verdict stands how long a refusal has to wait yet, so that all of them take alike: hashes of other
    /// programs cost more or less than ours. One that costs less is followed by one of ours; one that costs more makes
    /// all refusals from then on take as long, up to [`limits::REFUSAL_MAX`]. What this does not hide: each time that a
    /// costlier hash than any before is met after a start, that one refusal was slower than those of unknown addresses
    /// until then; and hashes that cost more than the maximum.
    ///
    /// # Errors
    /// `NotDone` when the queue is full; `Broken` when the stored hash is none that [`recognise`] accepts.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<(Verdict, Duration)> {
        if password.len() > limits::PASSWORD_BYTES_MAX {
            return Ok((Verdict::NO, Duration::ZERO));
        }
        let scheme = match stored {
            None | Some("") => None,
            Some(hash) => Some(recognise(hash).map_err(|why| Error::broken("stored password hash", why))?),
        };
        let forms = forms(password);
        let foreign = scheme.as_ref().is_some_and(|scheme| !is_ours(scheme));
        let work = move |memory: &mut Memory| {
            let begun = Instant::now();
            check(&forms, scheme.as_ref(), memory).map(|verdict| (verdict, begun.elapsed()))
        };
        let (verdict, took) = self.pool.run(work).await??;
        if foreign {
            let nanos = took.min(limits::REFUSAL_MAX).as_nanos();
            self.slowest.fetch_max(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        let slowest = Duration::from_nanos(self.slowest.load(Ordering::Relaxed));
        Ok((verdict, slowest.saturating_sub(took)))
    }

    /// Threads that hold their memory at this moment.
    pub fn holding(&self) -> usize {
        self.pool.holding()
    }
}

/// `password` in the one form that is hashed: Unicode's form C.
pub fn canonical(password: &str) -> String {
    password.nfc().collect()
}

/// What to try, in order. The last is the canonical form.
fn forms(password: &str) -> Vec<String> {
    let canonical = canonical(password);
    if canonical == password { vec![canonical] } else { vec![password.to_owned(), canonical] }
}

fn too_long() -> Error {
    let message = format!("The password may be at most {} bytes long.", limits::PASSWORD_BYTES_MAX);
    Error::Unacceptable { field: "password", message }
}

fn check(forms: &[String], scheme: Option<&Scheme>, memory: &mut Memory) -> Result<Verdict> {
    for (at, form) in forms.iter().enumerate() {
        let Some(scheme) = scheme else {
            black_box(memory.matches(form.as_bytes(), &dummy())?);
            continue;
        };
        if memory.matches(form.as_bytes(), scheme)? {
            let rehash = !is_current(scheme) || at + 1 < forms.len();
            return Ok(Verdict { matched: true, rehash });
        }
    }
    if scheme.is_some_and(|scheme| !is_ours(scheme)) {
        // it may have cost next to nothing, which would tell the account from one that does not exist
        black_box(memory.matches(b"", &dummy())?);
    }
    Ok(Verdict::NO)
}

/// Stands in for the hash of an account that does not exist; what it answers is thrown away.
fn dummy() -> Scheme {
    Scheme::Argon2(Argon2Form {
        kind: Argon2Kind::Id,
        version: 0x13,
        memory_kib: MEMORY_KIB,
        passes: TIME_COST,
        lanes: LANES,
        salt: vec![0; SALT_BYTES],
        hash: vec![0; HASH_BYTES],
    })
}

/// Whether a hash costs what the ones made today cost.
fn is_ours(scheme: &Scheme) -> bool {
    let Scheme::Argon2(form) = scheme else { return false };
    (form.kind, form.version) == (Argon2Kind::Id, 0x13)
        && (form.memory_kib, form.passes, form.lanes) == (MEMORY_KIB, TIME_COST, LANES)
}

/// Whether a hash is at least as strong as the ones made today.
fn is_current(scheme: &Scheme) -> bool {
    let Scheme::Argon2(form) = scheme else { return false };
    form.kind == Argon2Kind::Id
        && form.version == 0x13
        && form.memory_kib >= MEMORY_KIB
        && form.passes >= TIME_COST
        && form.lanes >= LANES
        && form.salt.len() >= SALT_BYTES
        && form.hash.len() >= HASH_BYTES
}

/// One thread's own block of memory, allocated at the first hash and kept for the next.
#[derive(Default)]
struct Memory {
    blocks: Vec<Block>,
}

/// What `Memory` reserves, in KiB. More than 32 MiB, though only the first 19 are ever touched: up to that size glibc
/// answers a free by raising its threshold for separate mappings, and the next such block would stay with the process
/// when it is dropped. Address space that is not touched costs nothing.
const RESERVED_KIB: usize = 33 * 1_024;

/// Held while a hash runs that needs more than a thread's own memory, so that imported ones cannot add up.
static BIG: Mutex<()> = Mutex::new(());

impl Memory {
    fn hash(&mut self, password: &[u8], salt: &[u8]) -> Result<String> {
        let mut out = [0; HASH_BYTES];
        let params = Params::new(MEMORY_KIB, TIME_COST, LANES, Some(HASH_BYTES)).map_err(failed)?;
        self.argon2(Argon2::new(Algorithm::Argon2id, Version::V0x13, params), (password, salt), &mut out)?;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(out));
        Ok(format!("$argon2id$v=19$m={MEMORY_KIB},t={TIME_COST},p={LANES}${salt}${hash}"))
    }

    /// Compared in constant time.
    fn matches(&mut self, password: &[u8], scheme: &Scheme) -> Result<bool> {
        let big = scheme.memory_bytes() > u64::from(MEMORY_KIB) * 1_024;
        let _one_at_a_time = big.then(|| BIG.lock());
        let mut out = vec![0; scheme.hash().len()];
        match scheme {
            Scheme::Argon2(form) => self.argon2(context(form)?, (password, &form.salt), &mut out)?,
            other => other.derive(password, &mut out)?,
        }
        Ok(out.ct_eq(scheme.hash()).into())
    }

    fn argon2(&mut self, context: Argon2<'_>, (password, salt): (&[u8], &[u8]), out: &mut [u8]) -> Result<()> {
        let count = context.params().block_count();
        if count > MEMORY_KIB as usize {
            return context.hash_password_into(password, salt, out).map_err(failed);
        }
        if self.blocks.is_empty() {
            self.blocks.reserve_exact(RESERVED_KIB);
            self.blocks.resize(MEMORY_KIB as usize, Block::new());
        }
        context.hash_password_into_with_memory(password, salt, out, &mut self.blocks[..count]).map_err(failed)
    }
}

fn context(form: &Argon2Form) -> Result<Argon2<'static>> {
    let algorithm = match form.kind {
        Argon2Kind::D => Algorithm::Argon2d,
        Argon2Kind::I => Algorithm::Argon2i,
        Argon2Kind::Id => Algorithm::Argon2id,
    };
    let version = if form.version == 0x13 { Version::V0x13 } else { Version::V0x10 };
    let params = Params::new(form.memory_kib, form.passes, form.lanes, Some(form.hash.len())).map_err(failed)?;
    Ok(Argon2::new(algorithm, version, params))
}

fn failed(cause: argon2::Error) -> Error {
    Error::broken("argon2", cause)
}

#[cfg(test)]
mod tests;
