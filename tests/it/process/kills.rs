//! Kills: `kill -9` is an ordinary way to stop.
//!
//! Several people at a time sign up and in and out, count in their sessions and change passwords; the process is killed
//! at a moment that nobody chose, while it serves, while it starts, or while it writes a snapshot; then it is started
//! again on the same data and everybody looks. `TEST_KILLS=200` makes it long, `TEST_SEED` repeats what was chosen.

use std::time::{Duration, Instant};

use super::crowd::{Gone, Person};
use super::dice::Dice;
use crate::program::{Place, Program, Starting};

const WORKERS: u8 = 4;
/// People whom one worker looks after.
const PEOPLE: u8 = 5;
/// What a plain `cargo test` has patience for.
const KILLS: u64 = 5;

/// People who take turns, and the dice that say whose it is.
struct Worker {
    people: Vec<Person>,
    dice: Dice,
    number: u8,
    /// Lives of the node so far.
    lives: u8,
}

impl Worker {
    fn new(number: u8, dice: Dice) -> Self {
        Self { people: vec![Person::new(number, 0)], dice, number, lives: 0 }
    }

    fn moved_to(&mut self, url: &str) {
        self.lives = self.lives.wrapping_add(1);
        for (at, person) in self.people.iter_mut().enumerate() {
            person.moved_to(url, format!("10.{}.{}.{at}", self.lives, self.number));
        }
    }

    /// Uses the node until it is gone. Answers how much it acknowledged.
    async fn work(mut self, url: String) -> (Self, u64) {
        self.moved_to(&url);
        let mut acknowledged = 0;
        loop {
            let count = self.people.len() as u8;
            if count < PEOPLE && self.dice.below(100) == 0 {
                let mut person = Person::new(self.number, count);
                person.moved_to(&url, format!("10.{}.{}.{count}", self.lives, self.number));
                self.people.push(person);
            }
            let whose = self.dice.below(self.people.len() as u64) as usize;
            match self.people[whose].act(&mut self.dice).await {
                Ok(more) => acknowledged += more,
                Err(Gone) => return (self, acknowledged),
            }
        }
    }

    /// Everybody looks whether everything is there. Answers how many facts that were.
    async fn look(mut self, url: String, last: bool) -> (Self, u64) {
        self.moved_to(&url);
        let mut facts = 0;
        let chosen = self.dice.below(self.people.len() as u64) as usize;
        for (at, person) in self.people.iter_mut().enumerate() {
            match person.look(last || at == chosen).await {
                Ok(more) => facts += more,
                Err(Gone) => panic!("the node went away while it was looked at"),
            }
        }
        (self, facts)
    }
}

async fn all<F>(workers: Vec<Worker>, task: impl Fn(Worker) -> F) -> (Vec<Worker>, u64)
where
    F: Future<Output = (Worker, u64)> + Send + 'static,
{
    let running: Vec<_> = workers.into_iter().map(|worker| tokio::spawn(task(worker))).collect();
    let mut back = Vec::new();
    let mut sum = 0;
    for worker in running {
        let (worker, more) = worker.await.expect("nobody found anything missing");
        back.push(worker);
        sum += more;
    }
    (back, sum)
}

/// How the next life of the node ends.
enum End {
    Serving,
    Snapshot,
}

/// Lets everybody work for a while, and kills the node. Answers what was acknowledged.
async fn live_and_die(
    node: Program,
    workers: Vec<Worker>,
    place: &Place,
    dice: &mut Dice,
    end: End,
) -> (Vec<Worker>, u64) {
    let url = node.url.clone();
    let work = tokio::spawn(all(workers, move |worker| worker.work(url.clone())));
    tokio::time::sleep(Duration::from_millis(30 + dice.below(400))).await;
    if let End::Snapshot = end {
        let target = place.file("backup");
        let mut asked = place.command(&["backup", &target.display().to_string()]).spawn().expect("the binary runs");
        tokio::time::sleep(Duration::from_millis(5 + dice.below(60))).await;
        node.kill();
        // it may have been whole before the node was gone
        let _ = asked.wait();
    } else {
        node.kill();
    }
    work.await.expect("workers come back")
}

/// Starts the node, killing it on its way now and then. Answers how many lives that cost.
fn rise(place: &Place, dice: &mut Dice) -> (Program, u64) {
    let mut kills = 0;
    loop {
        let starting: Starting = place.spawn();
        if dice.below(4) > 0 {
            let program = starting.ready().unwrap_or_else(|ended| panic!("it does not start again: {}", ended.log));
            return (program, kills);
        }
        match starting.ready_within(Duration::from_millis(dice.below(150))) {
            Ok(Ok(program)) => return (program, kills),
            Ok(Err(ended)) => panic!("it does not start again: {}", ended.log),
            Err(starting) => starting.kill(),
        }
        kills += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kills() {
    let kills_wanted = std::env::var("TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let (mut dice, seed) = Dice::seeded();
    println!("TEST_SEED={seed}");
    // everybody who looks signs in, and the oldest session must not make room for that
    let place = Place::new().with("SOJOURN_SESSIONS_PER_USER_MAX", "10000");
    let mut workers: Vec<Worker> = (0..WORKERS).map(|number| Worker::new(number, dice.split())).collect();
    let (mut node, mut kills) = (place.start(), 0);
    let (mut acknowledged, mut facts, mut snapshots) = (0, 0, 0);
    let begun = Instant::now();
    while kills < kills_wanted {
        // every tenth time, and early enough for a short run
        let end = if kills % 10 < 2 && kills >= snapshots * 10 { End::Snapshot } else { End::Serving };
        snapshots += u64::from(matches!(end, End::Snapshot));
        let more;
        (workers, more) = live_and_die(node, workers, &place, &mut dice, end).await;
        acknowledged += more;
        let (risen, lives) = rise(&place, &mut dice);
        node = risen;
        kills += 1 + lives;
        let (url, last) = (node.url.clone(), kills >= kills_wanted);
        let looked;
        (workers, looked) = all(workers, move |worker| worker.look(url.clone(), last)).await;
        facts += looked;
    }
    let (secs, people) = (begun.elapsed().as_secs_f64(), workers.iter().map(|w| w.people.len()).sum::<usize>());
    println!(
        "{kills} kills in {secs:.0} s, {snapshots} of them during a snapshot: {acknowledged} acknowledged writes of \
         {people} people, {facts} sessions looked at"
    );
    assert!(acknowledged > kills * 10, "too little was under way: {acknowledged} acknowledged in {kills} kills");
    assert_eq!(node.stop(), Some(0));
}
