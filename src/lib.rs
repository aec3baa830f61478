//! Sojourn: sign-in and shared sessions for a fleet of services, in one binary.

pub mod clock;
pub mod config;
pub mod error;
pub mod identity;
pub mod limits;
pub mod log;
pub mod raft;
pub mod random;
pub mod state;
pub mod web;
