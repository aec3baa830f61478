//! Fuzz: some seconds of chance for everything that strangers write and we read by hand (`tests/fuzz/targets.rs`).
//!
//! Each target is fed its corpus and then mutants of it. `TEST_FUZZ_SECS` says for how long each, `cargo fuzz` in
//! `tests/fuzz` goes on for as long as one likes. What fails is printed, to be put into the corpus.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::Dice;

/// The longest input that is made.
const LENGTH_MAX: usize = 2_048;
/// What inputs of all kinds are made of.
const WORDS: &[&str] = &[
    "*1\r\n",
    "$0\r\n\r\n",
    "*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
    "PING\r\n",
    "\"\\x00\"",
    "'",
    "-1",
    "4294967296",
    "s%3A",
    "s:",
    ".",
    "%2F",
    "%25",
    "%2e",
    "%5c",
    "%3b",
    "..",
    "//",
    ";",
    "?",
    "#",
    "app.example.com",
    "\n",
    "/public",
    "/admin",
    "/api",
    "GET",
    "10.0.0.2",
    "6.6.6.6",
    "[fd00::1]:80",
    ", ",
    "https",
    "::ffff:10.0.0.1",
    "%c0%af",
    "\u{212a}",
    "INNER",
];

fn secs() -> Duration {
    let secs = std::env::var("TEST_FUZZ_SECS").ok().and_then(|secs| secs.parse().ok()).unwrap_or(1);
    Duration::from_secs(secs)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(dir).expect("a corpus").map(|item| item.expect("a file").path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).expect("is readable")).collect()
}

fn below(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.below(end as u64)).expect("it is below a usize")
}

/// One to eight changes: a bit, a byte, a word, a piece less, a piece twice, a piece of another.
fn mutant(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut data = corpus[below(dice, corpus.len())].clone();
    for _ in 0..=below(dice, 8) {
        let at = below(dice, data.len() + 1);
        let end = (at + below(dice, 12)).min(data.len());
        match below(dice, 7) {
            0 if at < data.len() => data[at] ^= 1 << below(dice, 8),
            1 if at < data.len() => data[at] = u8::try_from(below(dice, 256)).expect("a byte"),
            2 => data.insert(at, u8::try_from(below(dice, 256)).expect("a byte")),
            3 => drop(data.drain(at..end)),
            4 => {
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            5 => {
                let other = &corpus[below(dice, corpus.len())];
                let from = below(dice, other.len() + 1);
                data.splice(at..end, other[from..].iter().copied());
            }
            _ => drop(data.splice(at..end, WORDS[below(dice, WORDS.len())].bytes())),
        }
        data.truncate(LENGTH_MAX);
    }
    data
}

fn fed(name: &str, target: fn(&[u8]), data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(data))).is_err() {
        panic!("{name} fails by b\"{}\"; put it into tests/fuzz/corpus/{name}", data.escape_ascii());
    }
}

fn fuzz(wanted: &str) {
    let (name, target) = targets::ALL.into_iter().find(|(name, _)| *name == wanted).expect("it is a target");
    let corpus = corpus(name);
    corpus.iter().for_each(|data| fed(name, target, data));
    let (mut dice, seed) = Dice::seeded();
    let (begun, mut count) = (Instant::now(), 0_u64);
    println!("TEST_SEED={seed}");
    while begun.elapsed() < secs() {
        for _ in 0..100 {
            fed(name, target, &mutant(&corpus, &mut dice));
        }
        count += 100;
    }
    println!("{name}: {} in the corpus, {count} mutants", corpus.len());
}

#[test]
fn frames_are_the_same_in_pieces_and_at_once() {
    fuzz("frames");
}

#[test]
fn no_cookie_is_forged() {
    fuzz("cookie");
}

#[test]
fn what_proxies_did_not_say_is_not_believed() {
    fuzz("forwarded");
}

#[test]
fn what_passes_is_public_however_it_is_read() {
    fuzz("access");
}
