//! What the whole program promises, tried through its public doors: real nodes on port 0, time in the tests' hands.
//!
//! One file a capability. Everything here needs nothing but Rust; what needs more (a browser, other servers) asks for
//! it and says so when it is missing, and `tests/all` installs it.

mod account;
mod admin;
mod bad_input;
mod browser;
mod claims;
mod clients;
mod clocks;
mod cluster;
mod concurrency;
mod enumeration;
mod events;
mod forward_auth;
mod fuzz;
mod harness;
mod headers;
mod health;
mod history;
mod introspection;
mod lifetimes;
mod links;
mod origin;
mod pages;
mod pour;
mod process;
mod program;
mod redis;
mod redis_same;
mod session_data;
mod session_list;
mod sessions;
mod signin;
mod signup;
mod throttle;
mod tokens;
mod wire;
