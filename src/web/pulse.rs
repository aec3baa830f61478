//! Pulse: whether a connection is working, dawdling or idle, and for how long.
//!
//! Three states: a request is in flight (its own time limits apply), bytes came but no request yet (a head is on its
//! way, or somebody holds it back), nothing at all. The timer is only moved when it fires or must fire sooner, so a
//! busy connection never touches it. HTTP/2 peers also speak between requests, so theirs are told apart by requests
//! alone. A request is in flight until its answer has left to the last piece: some are as long as somebody listens.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Version;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection was seen doing. Shared by its reader, its service and its timer.
#[derive(Debug, Default)]
pub struct Pulse {
    busy: AtomicUsize,
    /// Requests begun, ever.
    begun: AtomicUsize,
    /// Bytes came since the last request began or ended.
    heard: AtomicBool,
    multiplexed: AtomicBool,
}

/// A request in flight; ended when dropped.
pub struct Busy(Arc<Pulse>);

impl Pulse {
    /// A request begins.
    pub fn begin(self: &Arc<Self>, version: Version) -> Busy {
        self.busy.fetch_add(1, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.heard.store(false, Relaxed);
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Relaxed);
        }
        Busy(self.clone())
    }

    fn state(&self) -> State {
        let begun = self.begun.load(Relaxed);
        if self.busy.load(Relaxed) > 0 {
            State::Working { begun }
        } else if begun == 0 || (self.heard.load(Relaxed) && !self.multiplexed.load(Relaxed)) {
            State::Dawdling { begun }
        } else {
            State::Idle { begun }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.heard.store(false, Relaxed);
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer, whose request is in flight until its end.
pub struct Answering<B> {
    body: B,
    _busy: Busy,
}

impl<B> Answering<B> {
    pub fn new(body: B, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// `begun` tells one idle time from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Working { begun: usize },
    Dawdling { begun: usize },
    Idle { begun: usize },
}

/// How long a connection may dawdle over a head, and lie idle.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub head: Duration,
    pub idle: Duration,
}

/// Ready when the connection has dawdled or idled too long. Poll it after the connection itself.
pub struct Watch {
    pulse: Arc<Pulse>,
    bounds: Bounds,
    state: State,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Watch {
    pub fn new(pulse: Arc<Pulse>, bounds: Bounds) -> Self {
        let since = Instant::now();
        Self {
            pulse,
            bounds,
            state: State::Dawdling { begun: 0 },
            since,
            timer: Box::pin(sleep_until(since + bounds.head)),
        }
    }

    /// When the state that was last seen has lasted too long. Work is looked at again after an idle time.
    fn deadline(&self) -> Instant {
        match self.state {
            State::Dawdling { .. } => self.since + self.bounds.head,
            State::Working { .. } | State::Idle { .. } => self.since + self.bounds.idle,
        }
    }
}

impl Future for Watch {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.pulse.state();
        if state != self.state {
            (self.state, self.since) = (state, Instant::now());
            let deadline = self.deadline();
            if deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
            }
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let deadline = self.deadline();
            match self.state {
                State::Working { .. } => {
                    let again = now + self.bounds.idle;
                    self.timer.as_mut().reset(again);
                }
                _ if deadline <= now => return Poll::Ready(()),
                _ => self.timer.as_mut().reset(deadline),
            }
        }
    }
}

/// A stream whose bytes are noticed.
pub struct Heard<IO> {
    stream: IO,
    pulse: Arc<Pulse>,
}

impl<IO> Heard<IO> {
    pub fn new(stream: IO, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Heard<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.pulse.heard.store(true, Relaxed);
        }
        Poll::Ready(result)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Heard<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
