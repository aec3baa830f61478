//! Listen: what all doors share that strangers reach over TCP: TLS from files, the crowd of connections, accepting.
//!
//! What is spoken on a connection is each door's own.

pub mod crowd;
mod next;
mod tls;

pub use crowd::{Crowd, Place};
pub use next::next;
pub use tls::tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// This machine, whose connections are not counted.
pub fn this_machine() -> Vec<IpNet> {
    vec![IpNet::new_assert(Ipv4Addr::LOCALHOST.into(), 8), IpAddr::V6(Ipv6Addr::LOCALHOST).into()]
}
