//! Net: what lies between the nodes, and can be cut, one way or both.
//!
//! Each node tells its peers to come to a port of ours. Whose connection it is that comes there is read from the
//! kernel's tables, so nothing needs root. Where a way is cut, bytes wait and are delivered when it is mended, as TCP
//! would do it; those that were meant for a process that has died meanwhile are lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// How many nodes there may be at once.
pub const SLOTS: usize = 5;
/// How often somebody who waits for a way to be mended looks again.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The ways from each node to each other.
#[derive(Default)]
pub struct Net {
    cut: [[AtomicBool; SLOTS]; SLOTS],
    pids: [AtomicU32; SLOTS],
    /// Pieces that had to wait.
    held: AtomicU64,
}

impl Net {
    /// The node of this slot is that process now.
    pub fn is_process(&self, slot: usize, pid: u32) {
        self.pids[slot].store(pid, Ordering::SeqCst);
    }

    /// Nothing comes from the one to the other any more.
    pub fn cut(&self, from: usize, to: usize) {
        self.cut[from][to].store(true, Ordering::SeqCst);
    }

    /// Everything comes everywhere again.
    pub fn mend(&self) {
        self.cut.iter().flatten().for_each(|cut| cut.store(false, Ordering::SeqCst));
    }

    /// Pieces that had to wait so far.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    /// Opens the port for the node of `slot`, which listens at `to`; answers where.
    pub async fn open(self: &Arc<Self>, slot: usize, to: SocketAddr) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (net, at) = (self.clone(), listener.local_addr().expect("it listens"));
        tokio::spawn(async move {
            while let Ok((stream, caller)) = listener.accept().await {
                tokio::spawn(net.clone().carry(stream, (caller, at), (slot, to)));
            }
        });
        at
    }

    async fn carry(
        self: Arc<Self>,
        stream: TcpStream,
        ends: (SocketAddr, SocketAddr),
        (slot, to): (usize, SocketAddr),
    ) {
        let net = self.clone();
        let from = tokio::task::spawn_blocking(move || net.whose(ends)).await.ok().flatten();
        self.passes((from, Some(slot))).await;
        let Ok(there) = TcpStream::connect(to).await else { return };
        let _ = (stream.set_nodelay(true), there.set_nodelay(true));
        let ((read_here, write_here), (read_there, write_there)) = (stream.into_split(), there.into_split());
        tokio::join!(
            self.pump(read_here, write_there, (from, Some(slot))),
            self.pump(read_there, write_here, (Some(slot), from))
        );
    }

    async fn pump(&self, mut read: OwnedReadHalf, mut write: OwnedWriteHalf, way: (Option<usize>, Option<usize>)) {
        let mut piece = vec![0; 64 << 10];
        while let Ok(n @ 1..) = read.read(&mut piece).await {
            self.passes(way).await;
            if write.write_all(&piece[..n]).await.is_err() {
                break;
            }
        }
        // a node that died is not heard of either while the way is cut
        self.passes(way).await;
        let _ = write.shutdown().await;
    }

    /// Returns when the way is open.
    async fn passes(&self, way: (Option<usize>, Option<usize>)) {
        let (Some(from), Some(to)) = way else { return };
        let mut waits = false;
        while self.cut[from][to].load(Ordering::SeqCst) {
            if !waits {
                self.held.fetch_add(1, Ordering::SeqCst);
            }
            waits = true;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whose connection it is: the process that holds its socket.
    fn whose(&self, (caller, at): (SocketAddr, SocketAddr)) -> Option<usize> {
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let (local, remote) = (format!(":{:04X}", caller.port()), format!(":{:04X}", at.port()));
        let inode = table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_it = fields.get(1)?.ends_with(&local) && fields.get(2)?.ends_with(&remote);
            is_it.then(|| fields.get(9).copied())?
        })?;
        let socket = format!("socket:[{inode}]");
        (0..SLOTS).find(|slot| {
            let pid = self.pids[*slot].load(Ordering::SeqCst);
            let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
            pid != 0
                && files.is_ok_and(|files| {
                    let targets = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
                    targets.into_iter().any(|target| target.as_os_str() == socket.as_str())
                })
        })
    }
}
