//! Sojourn: sign-in and shared sessions for a fleet of services, in one binary.

pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod error;
pub mod identity;
pub mod limits;
pub mod log;
pub mod node;
pub mod raft;
pub mod random;
pub mod state;
pub mod trace;
pub mod web;
