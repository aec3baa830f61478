//! The Redis door, as clients of every kind see it.

mod apps;
mod bounds;
mod channels;
mod handshake;
mod keys;
mod nodes;
mod operators;
mod scripts;
mod tls;
mod transactions;

use crate::harness::{Cluster, Node};
use crate::wire::Wire;

/// A node whose Redis door is open to this machine.
pub async fn open() -> Node {
    Node::with(&[("redis.listen", "127.0.0.1:0")]).await
}

/// A password that opens everything.
pub const PASSWORD: &str = "a password for everything";

/// A node whose Redis door wants that password.
pub async fn locked() -> Node {
    Node::with(&[("redis.listen", "127.0.0.1:0"), ("redis.password", PASSWORD)]).await
}

/// Three nodes with open Redis doors.
pub async fn three() -> Cluster {
    Cluster::with(3, &[("redis.listen", "127.0.0.1:0")]).await
}

/// Somebody who talks to a node.
pub async fn talk(node: &Node) -> Wire {
    Wire::to(node.redis()).await
}
