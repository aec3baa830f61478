//! Server: the node's side of the control socket.
//!
//! Requests of one connection are answered one after another. Every line, silence and number of connections is bounded,
//! and a waiting command hears from us every few seconds, so that it can tell work from death. Once the node stops,
//! what is under way is finished and idle connections are closed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval_at, timeout};
use tracing::{debug, error, warn};

use super::place::Place;
use super::protocol::{Fault, Line, Request, Response};
use super::{Operator, Progress};
use crate::error::{Error, Result};
use crate::limits;

/// The listening socket. Dropping it without [`Server::run`] leaves the file behind, which the next start removes.
pub struct Server {
    listener: UnixListener,
    place: Place,
}

impl Server {
    /// Listens in the data directory. Wants a tokio runtime.
    ///
    /// # Errors
    /// `Broken` when the socket cannot be made, above all because another node listens there.
    pub fn open(data: &Path) -> Result<Self> {
        let place = Place::of(data).map_err(|e| cannot_listen(data, &e))?;
        let listener = place.listen().and_then(UnixListener::from_std).map_err(|e| cannot_listen(data, &e))?;
        Ok(Self { listener, place })
    }

    /// Answers until `stop` becomes true, then finishes what is under way and removes the socket.
    pub async fn run(self, operator: Arc<dyn Operator>, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let free = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&free) => accepted,
                Some(_) = connections.join_next() => continue,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let Some((stream, permit)) = accepted else { continue };
            let (operator, stop) = (Arc::clone(&operator), stop.clone());
            connections.spawn(async move {
                if let Err(e) = converse(stream, &*operator, stop).await {
                    debug!(cause = %e, "control connection ended early");
                }
                drop(permit);
            });
        }
        if let Err(e) = self.place.remove() {
            warn!(cause = %e, "could not remove the control socket");
        }
        drop(self.listener);
        let finished = async { while connections.join_next().await.is_some() {} };
        if timeout(limits::DRAIN_TIMEOUT, finished).await.is_err() {
            warn!("a command was still running when the node stopped");
        }
    }

    /// The next connection of somebody who may command, once there is room for it.
    async fn accept(&self, free: &Arc<Semaphore>) -> Option<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(free).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) if may_command(&stream) => Some((stream, permit)),
            Ok(_) => {
                warn!("refused a control connection of another user");
                None
            }
            Err(e) => {
                warn!(cause = %e, "could not accept a control connection");
                // out of file descriptors, most likely: without a pause this would spin
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                None
            }
        }
    }
}

fn cannot_listen(data: &Path, cause: &io::Error) -> Error {
    let hint = match cause.kind() {
        io::ErrorKind::AddrInUse => "stop that node first, or give this one a --data directory of its own",
        _ => "the data directory must exist and belong to the user that runs the node",
    };
    Error::Broken(format!("cannot listen on {}: {cause}\n  hint: {hint}", data.join(super::SOCKET).display()))
}

/// Our own user, or root. The socket's mode says so too, but only a moment after it appeared.
fn may_command(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours || peer.uid() == 0)
}

async fn converse(stream: UnixStream, operator: &dyn Operator, mut stop: watch::Receiver<bool>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let line = tokio::select! {
            line = timeout(limits::CONTROL_IDLE, read_line(&mut read)) => line,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        match line {
            Err(_) => return Ok(()),
            Ok(line) => match line? {
                Asked::Nothing => return Ok(()),
                Asked::TooMuch => {
                    let why = format!("a request is one line of at most {} bytes", limits::CONTROL_LINE_MAX);
                    return say(&mut write, &Line::Failed(Fault::malformed(why))).await;
                }
                Asked::Line(line) => match serde_json::from_slice(&line) {
                    Ok(request) => answer(&mut write, operator, request).await?,
                    Err(e) => say(&mut write, &Line::Failed(Fault::malformed(format!("no request: {e}")))).await?,
                },
            },
        }
    }
}

/// What came before the next line end.
enum Asked {
    Line(Vec<u8>),
    TooMuch,
    Nothing,
}

async fn read_line(read: &mut BufReader<OwnedReadHalf>) -> io::Result<Asked> {
    let mut line = Vec::new();
    let most = limits::CONTROL_LINE_MAX as u64 + 1;
    read.take(most).read_until(b'\n', &mut line).await?;
    Ok(match line.pop() {
        Some(b'\n') => Asked::Line(line),
        Some(_) if line.len() as u64 + 1 == most => Asked::TooMuch,
        _ => Asked::Nothing,
    })
}

async fn answer(write: &mut OwnedWriteHalf, operator: &dyn Operator, request: Request) -> io::Result<()> {
    let (progress, told) = Progress::new();
    let done = match request {
        Request::Backup(extent) => match wait(write, operator.backup(extent, progress), told).await? {
            Ok(file) => return send(write, file).await,
            Err(e) => Err(e),
        },
        request => wait(write, operator.perform(request), told).await?,
    };
    match done {
        Ok(response) => say(write, &Line::Done(response)).await,
        Err(e) => {
            if let Error::Broken(detail) = &e {
                error!(%detail, "a command failed");
            }
            say(write, &Line::Failed(Fault::from(&e))).await
        }
    }
}

/// Waits for `work`, saying how far it is. An `Err` outside is the connection's.
async fn wait<T>(
    write: &mut OwnedWriteHalf,
    mut work: crate::log::Answer<'_, Result<T>>,
    mut told: watch::Receiver<(u64, u64)>,
) -> io::Result<Result<T>> {
    let mut beat = interval_at(tokio::time::Instant::now() + limits::CONTROL_BEAT, limits::CONTROL_BEAT);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            Ok(()) = told.changed() => {
                let (done, total) = *told.borrow_and_update();
                say(write, &Line::Progress { done, total }).await?;
            }
            _ = beat.tick() => say(write, &Line::Working).await?,
        }
    }
}

async fn send(write: &mut OwnedWriteHalf, file: tokio::fs::File) -> io::Result<()> {
    let bytes = file.metadata().await?.len();
    say(write, &Line::File { bytes }).await?;
    let sent = tokio::io::copy(&mut file.take(bytes), write).await?;
    if sent != bytes {
        error!(sent, bytes, "a backup became shorter while it was sent");
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    say(write, &Line::Done(Response::Done)).await
}

async fn say(write: &mut OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await
}
