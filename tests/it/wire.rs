//! Wire: a client of the Redis door that knows nothing but bytes, and shows every reply as text.
//!
//! `+OK`, `-ERR …`, `:1`, `$text`, `_` (nothing), `,1.5`, `=txt:…`, `[a, b]`, `~[a]` (a set), `>[a]` (a push),
//! `{a: b}` (a map).

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a reply may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// A connection.
pub struct Wire {
    line: Box<dyn Line>,
    read: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the door is open");
        stream.set_nodelay(true).expect("a TCP connection");
        Self::over(stream)
    }

    /// Talks over this.
    pub fn over(line: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { line: Box::new(line), read: Vec::new() }
    }

    /// A command and its reply.
    pub async fn ask(&mut self, words: &[&str]) -> String {
        self.ask_bytes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()).await
    }

    /// A command as a line of words without blanks in them, and its reply.
    pub async fn say(&mut self, line: &str) -> String {
        self.ask(&line.split(' ').collect::<Vec<_>>()).await
    }

    /// The same of any bytes.
    pub async fn ask_bytes(&mut self, words: &[&[u8]]) -> String {
        self.send(&command(words)).await;
        self.reply().await
    }

    /// Several commands in one packet, and their replies.
    pub async fn pipeline(&mut self, lines: &[&str]) -> Vec<String> {
        let all: Vec<u8> = lines.iter().flat_map(|line| packed(line)).collect();
        self.send(&all).await;
        let mut replies = Vec::new();
        for _ in lines {
            replies.push(self.reply().await);
        }
        replies
    }

    /// Bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) {
        // a door that has seen enough may close before it was sent everything
        let _ = self.line.write_all(bytes).await;
        let _ = self.line.flush().await;
    }

    /// The next reply.
    pub async fn reply(&mut self) -> String {
        self.try_reply().await.expect("the connection is open")
    }

    /// The next reply; `None` when the connection was closed.
    pub async fn try_reply(&mut self) -> Option<String> {
        Some(shown(&self.try_raw().await?))
    }

    /// The bytes of the next reply; `None` when the connection was closed.
    pub async fn try_raw(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = end_of(&self.read, 0) {
                let rest = self.read.split_off(end);
                return Some(std::mem::replace(&mut self.read, rest));
            }
            let mut piece = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, Pin::new(&mut self.line).read(&mut piece)).await;
            match read.expect("a reply comes in time") {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.read.extend_from_slice(&piece[..n]),
            }
        }
    }

    /// The next bytes, whatever they are.
    pub async fn read_exactly(&mut self, bytes: &mut [u8]) {
        let held = self.read.len().min(bytes.len());
        bytes[..held].copy_from_slice(&self.read[..held]);
        self.read.drain(..held);
        let read = tokio::time::timeout(PATIENCE, self.line.read_exact(&mut bytes[held..])).await;
        read.expect("they come in time").expect("the connection is open");
    }

    /// Everything until the door closes the connection.
    pub async fn until_closed(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.read);
        let mut piece = [0; 4096];
        loop {
            let read = tokio::time::timeout(PATIENCE, self.line.read(&mut piece)).await;
            match read.expect("the connection is closed in time") {
                Ok(0) | Err(_) => return String::from_utf8_lossy(&rest).into_owned(),
                Ok(n) => rest.extend_from_slice(&piece[..n]),
            }
        }
    }
}

/// A command as bytes.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn packed(line: &str) -> Vec<u8> {
    command(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

/// The text of a line, and where the next one begins.
fn line(bytes: &[u8], at: usize) -> Option<(&str, usize)> {
    let end = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
    Some((std::str::from_utf8(&bytes[at..at + end]).expect("replies have text in their lines"), at + end + 2))
}

/// Where the reply ends that begins at `at`, if it is whole.
fn end_of(bytes: &[u8], at: usize) -> Option<usize> {
    let (text, mut next) = line(bytes, at)?;
    let (sign, rest) = text.split_at(1);
    let count: i64 = rest.parse().unwrap_or(-1);
    let parts = match sign {
        "$" | "=" if count >= 0 => {
            let end = next + count as usize + 2;
            return (bytes.len() >= end).then_some(end);
        }
        "*" | "~" | ">" => count.max(0),
        "%" => count * 2,
        _ => 0,
    };
    for _ in 0..parts {
        next = end_of(bytes, next)?;
    }
    Some(next)
}

fn shown(bytes: &[u8]) -> String {
    show(bytes, 0).0
}

fn show(bytes: &[u8], at: usize) -> (String, usize) {
    let (text, mut next) = line(bytes, at).expect("it is whole");
    let (sign, rest) = text.split_at(1);
    let count: i64 = rest.parse().unwrap_or(-1);
    let mut parts = |count: i64| {
        let mut all = Vec::new();
        for _ in 0..count {
            let (part, after) = show(bytes, next);
            all.push(part);
            next = after;
        }
        (all, next)
    };
    match sign {
        "$" | "*" if count < 0 => ("_".into(), next),
        "$" | "=" => {
            let end = next + count as usize;
            (format!("{sign}{}", String::from_utf8_lossy(&bytes[next..end])), end + 2)
        }
        "*" | "~" | ">" => {
            let (all, next) = parts(count);
            (format!("{}[{}]", sign.trim_start_matches('*'), all.join(", ")), next)
        }
        "%" => {
            let (all, next) = parts(count * 2);
            let pairs: Vec<_> = all.chunks(2).map(|pair| pair.join(": ")).collect();
            (format!("{{{}}}", pairs.join(", ")), next)
        }
        _ => (text.to_owned(), next),
    }
}
