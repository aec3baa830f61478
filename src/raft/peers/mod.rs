//! Peers: how nodes of one cluster reach each other, and nobody else reaches them.

pub mod door;
pub mod keys;
pub mod link;
pub mod tls;

#[cfg(test)]
mod tests;
