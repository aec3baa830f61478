//! Next: the next connection of a listener, once there is room for one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long accepting rests when the process is out of file descriptors.
const REST: Duration = Duration::from_millis(50);

/// A connection, whence it comes, and its place among all.
pub type Arrival = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// The next connection, once there is room for one.
pub async fn next(listener: &TcpListener, room: &Arc<Semaphore>) -> Arrival {
    let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // small replies must not wait for more to come
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                return (stream, address, permit);
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Whether a failed accept is about that one connection, not about us.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
