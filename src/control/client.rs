//! Client: a command's side of the control socket. Blocking, because a command does one thing.
//!
//! Whatever goes wrong is said in words that the person at the terminal can act on.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::place::{Place, SOCKET};
use super::protocol::{Extent, Fault, Line, Request, Response};
use crate::limits;

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Nobody listens in this data directory.
    NoNode(PathBuf),
    /// Somebody may, and this user may not ask.
    Denied(PathBuf),
    /// The node says no.
    Refused(Fault),
    /// The conversation broke, for this reason.
    Broken(String),
    /// What arrived could not be kept.
    NotKept(io::Error),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode(data) => {
                let data = data.display();
                write!(f, "no node runs on {data}\n  hint: start it with `sojourn serve --data {data}`")
            }
            Self::Denied(data) => write!(
                f,
                "not allowed to speak to the node on {}\n  hint: run this as the user that runs the node, or as root",
                data.display()
            ),
            Self::Refused(fault) => f.write_str(&fault.message),
            Self::Broken(why) => write!(f, "no answer from the node: {why}\n  hint: its log may say more"),
            Self::NotKept(e) => write!(f, "cannot write what the node sent: {e}\n  hint: is the disk full?"),
        }
    }
}

impl std::error::Error for Unanswered {}

impl From<io::Error> for Unanswered {
    fn from(e: io::Error) -> Self {
        Self::Broken(match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("it has been silent for {} s", limits::CONTROL_ANSWER_TIMEOUT.as_secs())
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                "it closed the connection".into()
            }
            _ => e.to_string(),
        })
    }
}

/// How far a long piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The node prepares: `done` of `total` pieces.
    Preparing { done: u64, total: u64 },
    /// The bytes arrive: `done` of `total`.
    Receiving { done: u64, total: u64 },
}

/// A conversation with a node.
pub struct Client {
    read: BufReader<UnixStream>,
}

impl Client {
    /// Finds the node that runs on this data directory.
    ///
    /// # Errors
    /// `NoNode`, `Denied`, or whatever else the system says.
    pub fn connect(data: &Path) -> Result<Self, Unanswered> {
        let found = Place::of(data).and_then(|place| place.connect());
        let stream = found.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Unanswered::NoNode(data.into()),
            io::ErrorKind::PermissionDenied => Unanswered::Denied(data.into()),
            _ => Unanswered::Broken(format!("{}: {e}", data.join(SOCKET).display())),
        })?;
        stream.set_read_timeout(Some(limits::CONTROL_ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(limits::CONTROL_ANSWER_TIMEOUT))?;
        Ok(Self { read: BufReader::new(stream) })
    }

    /// Asks, and waits for what comes of it.
    ///
    /// # Errors
    /// `Refused` with the node's reason; `Broken`.
    pub fn ask(&mut self, request: &Request) -> Result<Response, Unanswered> {
        self.say(request)?;
        loop {
            match self.hear()? {
                Line::Done(response) => return Ok(response),
                Line::Failed(fault) => return Err(Unanswered::Refused(fault)),
                Line::Working | Line::Progress { .. } => {}
                Line::File { .. } => return Err(Unanswered::Broken("it sent a file that nobody asked for".into())),
            }
        }
    }

    /// Asks for a backup and writes it to `into`, telling `watch` how far it is. Answers the number of bytes; whoever
    /// gets an error instead must throw away what was written.
    ///
    /// # Errors
    /// As [`Client::ask`]; `NotKept` when `into` fails.
    pub fn backup(
        &mut self,
        extent: Extent,
        into: &mut impl Write,
        watch: &mut dyn FnMut(Step),
    ) -> Result<u64, Unanswered> {
        self.say(&Request::Backup(extent))?;
        let mut kept = 0;
        loop {
            match self.hear()? {
                Line::Working => {}
                Line::Progress { done, total } => watch(Step::Preparing { done, total }),
                Line::File { bytes } => {
                    self.receive(bytes, into, watch)?;
                    kept = bytes;
                }
                Line::Done(_) => return Ok(kept),
                Line::Failed(fault) => return Err(Unanswered::Refused(fault)),
            }
        }
    }

    fn receive(&mut self, total: u64, into: &mut impl Write, watch: &mut dyn FnMut(Step)) -> Result<(), Unanswered> {
        let mut buffer = vec![0; 64 << 10];
        let mut done = 0;
        while done < total {
            let want = usize::try_from(total - done).unwrap_or(usize::MAX).min(buffer.len());
            let got = self.read.read(&mut buffer[..want])?;
            if got == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            into.write_all(&buffer[..got]).map_err(Unanswered::NotKept)?;
            done += got as u64;
            watch(Step::Receiving { done, total });
        }
        Ok(())
    }

    fn say(&mut self, request: &Request) -> Result<(), Unanswered> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        Ok(self.read.get_mut().write_all(&line)?)
    }

    fn hear(&mut self) -> Result<Line, Unanswered> {
        let mut line = Vec::new();
        let most = limits::CONTROL_ANSWER_MAX as u64;
        (&mut self.read).take(most).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_slice(&line)
            .map_err(|_| Unanswered::Broken("it speaks another version of this program's language".into()))
    }
}
