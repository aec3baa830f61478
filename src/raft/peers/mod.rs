//! Peers: how nodes of one cluster reach each other, and nobody else reaches them.

pub mod door;
pub mod keys;
pub mod link;
pub mod links;
pub mod messages;
pub mod papers;
pub mod porch;
mod room;
pub mod routes;
pub mod tls;
pub mod token;

#[cfg(test)]
mod tests;
