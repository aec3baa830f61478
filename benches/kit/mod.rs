//! Kit: what the benches share, so that each file asks one question and nothing else.
//!
//! A bench runs the real binary in a process of its own, its peer in another, and the load in a third, so that none
//! of them is paid for by somebody else. Rounds alternate between the two that are compared, and what is reported is
//! the median round: a machine that is slow for a while is slow for both.

// each bench takes its part of this
#![allow(dead_code)]

pub mod child;
pub mod cluster;
pub mod etcd;
pub mod figures;
pub mod fill;
pub mod load;
pub mod node;
pub mod redis;
pub mod table;
pub mod writes;
