//! Pool: a few OS threads that do heavy work, one piece at a time each, behind a bounded queue.
//!
//! Not tokio's blocking pool: that one grows to hundreds of threads, and the log's fsyncs would wait behind hashes.
//! Each thread owns an `M` (its memory), made by `Default`, kept between pieces of work and dropped after some time
//! without any, or when a piece panics. Work whose caller has gone away is skipped.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::error::{Error, Result};

type Job<M> = Box<dyn FnOnce(&mut M) + Send>;

/// The threads end when this is dropped, each after the piece of work it is at.
pub struct Pool<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    queue: Mutex<Queue<M>>,
    wake: Condvar,
    queue_max: usize,
    idle: Duration,
    holding: AtomicUsize,
}

struct Queue<M> {
    jobs: VecDeque<Job<M>>,
    closed: bool,
}

enum Next<M> {
    Job(Job<M>),
    Idle,
    Closed,
}

impl<M: Default + 'static> Pool<M> {
    /// `threads` threads, at most `queue_max` pieces of work waiting; memory is dropped after `idle` without work.
    ///
    /// # Errors
    /// `Broken` when the system gives no thread.
    pub fn new(threads: usize, queue_max: usize, idle: Duration) -> Result<Self> {
        let queue = Mutex::new(Queue { jobs: VecDeque::new(), closed: false });
        let shared = Shared { queue, wake: Condvar::new(), queue_max, idle, holding: AtomicUsize::new(0) };
        let pool = Self { shared: Arc::new(shared) };
        for n in 0..threads {
            let shared = Arc::clone(&pool.shared);
            std::thread::Builder::new()
                .name(format!("password-{n}"))
                .spawn(move || shared.work())
                .map_err(|e| Error::broken("password thread", e))?;
        }
        Ok(pool)
    }

    /// Runs `work` on one of the threads.
    ///
    /// # Errors
    /// `NotDone` when too much waits already; `Broken` when the work panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut M) -> T + Send + 'static) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.push(Box::new(move |memory| {
            if !answer.is_closed() {
                let _caller_may_have_gone = answer.send(work(memory));
            }
        }))?;
        answered.await.map_err(|_| Error::Broken("a password thread failed".into()))
    }

    /// Whether more work would be taken now.
    ///
    /// # Errors
    /// `NotDone` when too much waits already.
    pub fn has_room(&self) -> Result<()> {
        self.shared.room(&self.shared.queue.lock())
    }

    fn push(&self, job: Job<M>) -> Result<()> {
        let mut queue = self.shared.queue.lock();
        self.shared.room(&queue)?;
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl<M> Pool<M> {
    /// Threads that hold their memory at this moment.
    pub fn holding(&self) -> usize {
        self.shared.holding.load(Ordering::SeqCst)
    }
}

impl<M: Default> Shared<M> {
    fn room(&self, queue: &Queue<M>) -> Result<()> {
        if queue.jobs.len() < self.queue_max {
            return Ok(());
        }
        Err(Error::NotDone("the password queue is full".into()))
    }

    fn work(&self) {
        let mut memory = None;
        loop {
            match self.next(memory.as_ref()) {
                Next::Closed => return,
                Next::Idle => self.release(&mut memory),
                Next::Job(job) => {
                    let own = memory.get_or_insert_with(|| {
                        self.holding.fetch_add(1, Ordering::SeqCst);
                        M::default()
                    });
                    if catch_unwind(AssertUnwindSafe(|| job(own))).is_err() {
                        tracing::error!("a password thread panicked and goes on");
                        self.release(&mut memory);
                    }
                }
            }
        }
    }

    fn release(&self, memory: &mut Option<M>) {
        if memory.take().is_some() {
            self.holding.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Waits without end when there is no `memory` to give back.
    fn next(&self, memory: Option<&M>) -> Next<M> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return Next::Closed;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Next::Job(job);
            }
            if memory.is_none() {
                self.wake.wait(&mut queue);
            } else if self.wake.wait_for(&mut queue, self.idle).timed_out() && queue.jobs.is_empty() {
                return Next::Idle;
            }
        }
    }
}

impl<M> Drop for Pool<M> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.wake.notify_all();
    }
}

impl<M> std::fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads hold memory)", self.holding())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(3_600);

    /// Counts what one thread did with the same memory.
    #[derive(Default)]
    struct Count(u32);

    impl Count {
        fn up(&mut self) -> u32 {
            self.0 += 1;
            self.0
        }
    }

    #[tokio::test]
    async fn a_thread_keeps_its_memory_between_pieces_of_work() {
        let pool = Pool::<Count>::new(1, 8, LONG).expect("threads");
        assert_eq!(pool.holding(), 0, "nothing before the first piece");
        assert_eq!(pool.run(Count::up).await.expect("runs"), 1);
        assert_eq!(pool.run(Count::up).await.expect("runs"), 2);
        assert_eq!(pool.holding(), 1);
    }

    #[tokio::test]
    async fn an_idle_thread_drops_its_memory_and_takes_new_when_it_works_again() {
        let pool = Pool::<Count>::new(1, 8, Duration::from_millis(1)).expect("threads");
        assert_eq!(pool.run(Count::up).await.expect("runs"), 1);
        while pool.holding() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(pool.run(Count::up).await.expect("runs"), 1);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_to_its_caller_and_the_thread_goes_on_with_fresh_memory() {
        let pool = Pool::<Count>::new(1, 8, LONG).expect("threads");
        pool.run(Count::up).await.expect("runs");
        let error = pool.run(|_: &mut Count| panic!("on purpose")).await.map(|()| 0).expect_err("panicked");
        assert!(matches!(error, Error::Broken(_)), "{error:?}");
        assert_eq!(pool.run(Count::up).await.expect("still runs"), 1);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_what_nobody_waits_for_is_skipped() {
        let pool = Pool::<Count>::new(1, 2, LONG).expect("threads");
        let (started, has_started) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let mut busy = Box::pin(pool.run(move |_: &mut Count| {
            started.send(()).expect("the test listens");
            may_go.recv().expect("the test says go");
        }));
        assert!(polled(&mut busy).is_none());
        has_started.recv().expect("the thread is busy");
        let mut kept = Box::pin(pool.run(Count::up));
        let mut given_up = Box::pin(pool.run(Count::up));
        assert!(pool.has_room().is_ok());
        assert!(polled(&mut kept).is_none() && polled(&mut given_up).is_none());
        assert!(pool.has_room().is_err());
        let refused = pool.run(Count::up).await.expect_err("two wait already");
        assert!(matches!(&refused, Error::NotDone(why) if why == "the password queue is full"), "{refused:?}");
        drop(given_up);
        go.send(()).expect("the thread listens");
        busy.await.expect("runs");
        assert_eq!(kept.await.expect("runs"), 1);
        assert_eq!(pool.run(Count::up).await.expect("runs"), 2, "the one given up never ran");
    }

    fn polled<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(out) => Some(out),
            std::task::Poll::Pending => None,
        }
    }
}
