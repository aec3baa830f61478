//! `cargo fuzz run --fuzz-dir tests/fuzz frames`
#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code, reason = "each takes its part of it")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::frames(data));
