//! Connection: reads what a client sends, has it answered, writes the answers.
//!
//! One read is one turn: all commands that are whole are answered, and all answers are written at once. Buffers grow with
//! what is there, never with what is announced, and shrink again.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use super::clients::Card;
use super::conversation::Conversation;
use super::frame::{Frames, Wrong};
use super::write;
use super::{Door, pubsub};
use crate::keyspace::hub::Message;
use crate::keyspace::{Call, Reply};
use crate::limits;

/// Room that is made for what a client sends next.
const READ: usize = 16 << 10;
/// Room for answers that is kept.
const KEEP: usize = 64 << 10;
/// Answers are sent when they are so many bytes.
const SEND: usize = 64 << 10;
/// Messages that are sent at once.
const MESSAGES: usize = 256;
/// Room that is kept for what a client sends.
const KEEP_INPUT: usize = 256 << 10;
/// How long, and how much, is read of somebody who was told that the connection ends: a connection that is closed on
/// unread bytes takes its last words with it.
const LINGER: Duration = Duration::from_millis(200);
const LINGER_BYTES: usize = 256 << 10;

/// A client's end of the line.
struct Wire<S> {
    stream: S,
    input: BytesMut,
    out: BytesMut,
    frames: Frames,
    /// The most that `input` has held since it was made.
    grown: usize,
    calls: VecDeque<Call>,
    replies: Vec<Reply>,
}

/// Why waiting ended.
enum Event {
    Read(io::Result<usize>),
    Woken,
    Heard(Option<Message>),
    TooLate,
}

/// Talks with a client until either side ends it; gives its `place` back once it is known who it is.
pub async fn converse<S, P>(stream: S, door: Arc<Door>, card: Arc<Card>, place: P)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let until = Instant::now() + limits::REDIS_UNKNOWN_TIME;
    let mut talk = Conversation::new(door.clone(), card.clone());
    let mut place = Some(place).filter(|_| !talk.is_known());
    let mut wire = Wire::over(stream);
    loop {
        let event = tokio::select! {
            biased;
            read = wire.read() => Event::Read(read),
            () = card.wake.notified() => Event::Woken,
            message = talk.heard() => Event::Heard(message),
            () = async { sleep_until(until).await }, if place.is_some() => Event::TooLate,
        };
        let went_well = match event {
            Event::Read(Ok(0) | Err(_)) | Event::Heard(None) => break,
            Event::TooLate => {
                tracing::debug!(address = %card.address, "nobody said who this is");
                door.meters.cut.increment(1);
                break;
            }
            Event::Woken if card.is_cut.load(Ordering::Relaxed) || !talk.is_still_welcome() => break,
            Event::Woken => continue,
            Event::Read(Ok(_)) => wire.turn(&mut talk, &door).await,
            Event::Heard(Some(message)) => wire.tell(&mut talk, message).await,
        };
        match went_well {
            Ok(()) if talk.closes || card.is_cut.load(Ordering::Relaxed) => break,
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(address = %card.address, %error, "a connection ended");
                break;
            }
        }
        if talk.is_known() {
            place = None;
        }
    }
    let _ = timeout(limits::REDIS_WRITE_TIMEOUT, wire.stream.shutdown()).await;
    if talk.closes {
        let _ = timeout(LINGER, wire.linger()).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn over(stream: S) -> Self {
        let (input, out) = (BytesMut::new(), BytesMut::new());
        let (calls, replies) = (VecDeque::new(), Vec::new());
        Self { stream, input, out, frames: Frames::default(), grown: 0, calls, replies }
    }

    /// Reads what is still coming, and throws it away.
    async fn linger(&mut self) {
        let mut left = LINGER_BYTES;
        self.input = BytesMut::with_capacity(READ);
        while left > 0 {
            self.input.clear();
            match self.stream.read_buf(&mut self.input).await {
                Ok(n @ 1..) => left = left.saturating_sub(n),
                _ => return,
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        if self.input.is_empty() && self.grown > KEEP_INPUT {
            (self.input, self.grown) = (BytesMut::new(), 0);
        }
        if self.input.capacity() - self.input.len() < READ / 4 {
            // what is known to come is made room for by doubling, as it comes
            let more = if self.frames.is_partial() { self.input.len().clamp(READ, 1 << 20) } else { READ };
            self.input.reserve(more);
        }
        let read = self.stream.read_buf(&mut self.input).await;
        self.grown = self.grown.max(self.input.len());
        read
    }

    /// Answers all commands that are whole.
    async fn turn(&mut self, talk: &mut Conversation, door: &Door) -> io::Result<()> {
        loop {
            // who is not known yet is heard one command at a time: more may be sent by whoever is
            let most = if talk.is_known() { limits::REDIS_TURN_MAX } else { 1 };
            let wrong = self.take(talk, most);
            let is_full = self.calls.len() >= most;
            while !self.calls.is_empty() && !talk.closes {
                talk.answer(&mut self.calls, &mut self.replies).await;
                self.write(talk).await?;
            }
            if let (Err(Wrong(what)), false) = (wrong, talk.closes) {
                door.meters.cut.increment(1);
                self.replies.push(Reply::error(format!("ERR Protocol error: {what}")));
                talk.closes = true;
                self.write(talk).await?;
            }
            talk.rest();
            self.send().await?;
            if !is_full || talk.closes {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes commands off what was read.
    fn take(&mut self, talk: &Conversation, most: usize) -> Result<(), Wrong> {
        while self.calls.len() < most {
            match self.frames.next(&mut self.input, talk.bounds())? {
                Some(words) => self.calls.push_back(Call(words)),
                None => break,
            }
        }
        Ok(())
    }

    async fn write(&mut self, talk: &mut Conversation) -> io::Result<()> {
        let mut replies = std::mem::take(&mut self.replies);
        for reply in replies.drain(..) {
            if reply.is_error() {
                talk.count_error();
            }
            write::reply(&mut self.out, &reply, talk.proto());
            if self.out.len() >= SEND {
                self.send().await?;
            }
        }
        // the room is kept
        self.replies = replies;
        Ok(())
    }

    async fn send(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = timeout(limits::REDIS_WRITE_TIMEOUT, async {
            self.stream.write_all(&self.out).await?;
            // TLS gathers
            self.stream.flush().await
        });
        written.await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it does not read")))?;
        if self.out.capacity() > KEEP {
            self.out = BytesMut::new()
        } else {
            self.out.clear()
        }
        Ok(())
    }

    async fn tell(&mut self, talk: &mut Conversation, first: Message) -> io::Result<()> {
        let mut next = Some(first);
        let mut told = 0;
        while let Some(message) = next {
            write::reply(&mut self.out, &pubsub::message(message), talk.proto());
            if self.out.len() >= SEND {
                self.send().await?;
            }
            told += 1;
            next = if told < MESSAGES { talk.heard_already() } else { None };
        }
        self.send().await
    }
}

/// What somebody is told who is not even let in.
pub fn farewell(text: &str) -> BytesMut {
    let mut out = BytesMut::with_capacity(text.len() + 3);
    out.put_u8(b'-');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}
