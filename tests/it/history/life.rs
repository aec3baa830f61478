//! Life: what the people of a run do all day.
//!
//! They sign up, now and then for an address that somebody else wants as well; sign in somewhere else; write and read
//! their session from two places at once; sign out while they still write; and go on asking every node whether they are
//! signed in. Some sessions are kept to the end of the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use sojourn::control::{Request, Response};
use tokio::task::JoinSet;

use super::client::{Client, Cookies};
use super::cluster::Cluster;
use super::record::{Act, Record, Said};
use crate::harness::eventually;
use crate::process::Dice;

/// People who live at once.
const PEOPLE: usize = 5;
/// Operations of one hand on one session.
const STEPS: u64 = 10;
/// A session on which so much went unanswered is ended: a checker has to try every fate.
const UNKNOWN_MAX: usize = 4;
/// For how long ended sessions are tried.
const AFTER: Duration = Duration::from_millis(2_600);

/// What all people of a run share.
struct World {
    cluster: Arc<Cluster>,
    record: Arc<Record>,
    people: AtomicU32,
    sessions: AtomicUsize,
    numbers: AtomicI64,
    kept: AtomicUsize,
    is_over: AtomicBool,
}

/// The people.
pub struct Crowd {
    world: Arc<World>,
    people: JoinSet<Option<(Client, Cookies)>>,
}

impl Crowd {
    pub fn start(cluster: &Arc<Cluster>, dice: &mut Dice) -> Self {
        let world = Arc::new(World {
            cluster: cluster.clone(),
            record: Arc::new(Record::new()),
            people: AtomicU32::new(0),
            sessions: AtomicUsize::new(0),
            numbers: AtomicI64::new(0),
            kept: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let mut people = JoinSet::new();
        for _ in 0..PEOPLE {
            people.spawn(world.clone().live(dice.split()));
        }
        Self { world, people }
    }

    /// Waits until everybody has a session that is kept.
    pub async fn lives(&self) {
        let kept = async || self.world.kept.load(Ordering::SeqCst) == PEOPLE;
        eventually("everybody has a session", kept).await;
    }

    /// Lets everybody finish, and asks every node for what it holds.
    pub async fn end(mut self, cluster: &Cluster) -> Arc<Record> {
        self.world.is_over.store(true, Ordering::SeqCst);
        let mut kept = Vec::new();
        while let Some(person) = self.people.join_next().await {
            kept.extend(person.expect("nobody panics"));
        }
        for slot in cluster.running() {
            for (client, cookies) in &kept {
                client.act(slot, cookies, Act::Read).await;
            }
            let accounts = accounts(cluster, slot).await;
            self.world.record.accounts.lock().push((slot, accounts));
        }
        self.world.record.clone()
    }
}

impl World {
    /// One person after the other; answers the session that was kept.
    async fn live(self: Arc<Self>, mut dice: Dice) -> Option<(Client, Cookies)> {
        let mut kept: Option<(Client, Cookies)> = None;
        let mut after = JoinSet::new();
        while !self.is_over.load(Ordering::SeqCst) {
            while after.len() >= 2 {
                after.join_next().await;
            }
            let person = self.people.fetch_add(1, Ordering::SeqCst);
            let client = Client::new(person, &self.cluster, self.record.clone());
            // a new contested address every second and a half
            let contested = self.record.now_us() / 1_500_000;
            let (email, is_own) = match dice.below(3) {
                0 => (format!("everybody{contested}@example.com"), false),
                _ => (format!("p{person}@example.com"), true),
            };
            match client.sign_up(self.somewhere(&mut dice).await, &email).await {
                Said::Done => {}
                // whoever shares an account may end the others' sessions
                Said::Unknown if is_own => {}
                _ => continue,
            }
            let Some(mine) = self.signed_in(&client, &email, &mut dice).await else { continue };
            if kept.is_none() {
                self.both_hands(&client, &mine, &mut dice).await;
                kept = Some((client, mine));
                self.kept.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let other = if dice.below(3) == 0 { self.signed_in(&client, &email, &mut dice).await } else { None };
            self.both_hands(&client, &mine, &mut dice).await;
            let (world, dice) = (self.clone(), dice.split());
            after.spawn(async move { world.end(client, (mine, other), dice).await });
            if let Some((client, mine)) = &kept {
                // the one that is kept is used all the time
                let slot = self.somewhere(&mut Dice::of(u64::from(person))).await;
                client.act(slot, mine, Act::Glance).await;
            }
        }
        while after.join_next().await.is_some() {}
        kept
    }

    async fn signed_in(&self, client: &Client, email: &str, dice: &mut Dice) -> Option<Cookies> {
        let session = self.sessions.fetch_add(1, Ordering::SeqCst);
        client.sign_in(self.somewhere(dice).await, email, session).await
    }

    async fn both_hands(&self, client: &Client, mine: &Cookies, dice: &mut Dice) {
        let (mut left, mut right) = (dice.split(), dice.split());
        let steps = 2 + dice.below(STEPS);
        tokio::join!(self.hand(client, mine, (&mut left, steps)), self.hand(client, mine, (&mut right, steps)));
    }

    /// So many operations, one after the other.
    async fn hand(&self, client: &Client, mine: &Cookies, (dice, steps): (&mut Dice, u64)) {
        let mut unknown = 0;
        for _ in 0..steps {
            let act = self.some_act(dice);
            let said = client.act(self.somewhere(dice).await, mine, act).await;
            unknown += usize::from(said == Said::Unknown);
            if unknown * 2 >= UNKNOWN_MAX {
                return;
            }
            tokio::time::sleep(Duration::from_millis(dice.below(25))).await;
        }
    }

    fn some_act(&self, dice: &mut Dice) -> Act {
        match dice.below(10) {
            0..4 => Act::Add,
            4..6 => Act::Write(self.numbers.fetch_add(1, Ordering::SeqCst) + 1),
            6..8 => Act::Read,
            _ => Act::Glance,
        }
    }

    /// Signs out while somebody still writes, and goes on asking.
    async fn end(&self, client: Client, (mine, other): (Cookies, Option<Cookies>), mut dice: Dice) {
        let (mut late, mut asks) = (dice.split(), dice.split());
        let ending = async {
            tokio::time::sleep(Duration::from_millis(dice.below(30))).await;
            let slot = self.somewhere(&mut dice).await;
            match &other {
                Some(other) => client.end_by(slot, (other, &mine)).await,
                None => client.act(slot, &mine, Act::End).await,
            }
        };
        tokio::join!(ending, self.hand(&client, &mine, (&mut late, 3)));
        let until = tokio::time::Instant::now() + AFTER;
        while tokio::time::Instant::now() < until {
            let act = if asks.below(8) == 0 { Act::Add } else { Act::Glance };
            let slot = self.anywhere(&mut asks).await;
            // whoever is cut off answers late: nobody waits for that
            let asked = (client.clone(), mine.clone());
            let asking = tokio::spawn(async move { asked.0.act(slot, &asked.1, act).await });
            let _ = tokio::time::timeout(Duration::from_millis(300), asking).await;
            tokio::time::sleep(Duration::from_millis(30 + asks.below(60))).await;
        }
    }

    /// A node, mostly one that is not paused.
    async fn somewhere(&self, dice: &mut Dice) -> usize {
        if dice.below(12) == 0 {
            return self.anywhere(dice).await;
        }
        self.one_of(|| self.cluster.awake(), dice).await
    }

    async fn anywhere(&self, dice: &mut Dice) -> usize {
        self.one_of(|| self.cluster.running(), dice).await
    }

    async fn one_of(&self, slots: impl Fn() -> Vec<usize>, dice: &mut Dice) -> usize {
        loop {
            let slots = slots();
            if !slots.is_empty() {
                return slots[usize::try_from(dice.below(slots.len() as u64)).expect("is small")];
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Every account that a node knows.
async fn accounts(cluster: &Cluster, slot: usize) -> Vec<String> {
    let (mut emails, mut after) = (Vec::new(), None);
    loop {
        match cluster.ask(slot, Request::UserList { after: after.clone() }).await {
            Ok(Response::Users { users, next }) => {
                emails.extend(users.into_iter().map(|user| user.email));
                after = next;
            }
            other => panic!("accounts were asked for: {other:?}"),
        }
        if after.is_none() {
            return emails;
        }
    }
}
