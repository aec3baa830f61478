//! Links: this node's connections to all others, by who they lead to and what they carry.
//!
//! What must be quick (heartbeats, votes, questions) does not share a connection with what is large (the log) or huge
//! (snapshots): TCP delivers in order, and a vote behind a megabyte is late.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use parking_lot::Mutex;

use super::link::{Link, Target};
use super::tls::Dialer;
use crate::raft::types::{Member, NodeId};

/// The header that names the node that is called.
pub const TO: &str = "sojourn-to";
/// The header that names the cluster.
pub const CLUSTER: &str = "sojourn-cluster";

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Heartbeats, votes, questions.
    Quick,
    /// Entries of the log and forwarded Ops.
    Log,
    /// Snapshots.
    Bulk,
}

/// All connections.
pub struct Links {
    dialer: Dialer,
    cluster: HeaderValue,
    open: Mutex<HashMap<(NodeId, Lane), Arc<Link>>>,
}

impl Links {
    /// No connections yet; `dialer` makes them, for nodes of `cluster`.
    pub fn new(dialer: Dialer, cluster: &[u8; 16]) -> Self {
        Self { dialer, cluster: header(&hex(cluster)), open: Mutex::default() }
    }

    /// The connection to `node`, which the membership describes as `member`.
    pub fn to(&self, node: NodeId, member: &Member, lane: Lane) -> Arc<Link> {
        let target = Target { address: member.address.clone(), key: member.key.as_slice().try_into().ok() };
        let mut open = self.open.lock();
        if let Some(link) = open.get(&(node, lane)).filter(|link| *link.target() == target) {
            return link.clone();
        }
        let mut headers = HeaderMap::new();
        headers.insert(CLUSTER, self.cluster.clone());
        headers.insert(TO, header(&node.to_string()));
        let link = Link::new(target, self.dialer.clone(), headers);
        open.insert((node, lane), link.clone());
        link
    }

    /// Whether `node` could not be reached when that was last tried.
    pub fn is_down(&self, node: NodeId) -> bool {
        self.open.lock().get(&(node, Lane::Quick)).is_some_and(|link| link.is_down())
    }

    /// Whether `node`, when it was last heard, said that this node is no member.
    pub fn is_disowned_by(&self, node: NodeId) -> bool {
        self.open.lock().get(&(node, Lane::Quick)).is_some_and(|link| link.is_disowned())
    }

    /// Lets go of connections to nodes that are not members any more.
    pub fn keep(&self, is_member: impl Fn(NodeId) -> bool) {
        self.open.lock().retain(|(node, _), _| is_member(*node));
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits are a header's value")
}
