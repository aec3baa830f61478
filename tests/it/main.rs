//! What the whole program promises, tried through its public doors: real nodes on port 0, time in the tests' hands.
//!
//! One file a capability. Everything here needs nothing but Rust; what needs more (a browser, other servers) asks for
//! it and says so when it is missing, and `tests/all` installs it.

mod harness;
mod process;
mod program;
mod signin;
