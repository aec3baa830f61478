//! Conversation: what one client may say, and what it is answered.
//!
//! Commands that work on keys are gathered for as long as they follow each other and are run as one stretch; anything
//! else is answered in between, so that the order is always that in which they came. Whether a command may be said is
//! checked in the order of Redis: its name, its number of words, who says it, and where.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::Door;
use super::below;
use super::clients::{Card, Counts, Seen};
use super::frame::Bounds;
use super::transaction::Queue;
use super::words::{self, What, Word};
use super::write::Proto;
use crate::identity::apps::PasswordDigest;
use crate::keyspace::hub::{Message, Subscriber};
use crate::keyspace::{self, Call, Reply, Scope, Watched, wrong};
use crate::limits;

/// Who says it.
pub enum Who {
    /// Nobody known.
    Nobody,
    /// Whoever sees everything.
    Everything,
    /// An app, by the digest of its password, as of this count of changes.
    App { digest: PasswordDigest, seen: u64 },
}

/// One client.
pub struct Conversation {
    pub(super) door: Arc<Door>,
    pub(super) card: Arc<Card>,
    pub(super) who: Who,
    pub(super) scope: Scope,
    pub(super) proto: Proto,
    /// What waits for `EXEC`.
    pub(super) queue: Option<Queue>,
    pub(super) watched: Vec<Watched>,
    pub(super) subscriber: Option<Subscriber>,
    /// Whether the connection ends when everything is answered.
    pub closes: bool,
    /// What somebody unknown may still say.
    patience: u32,
    /// What was counted here.
    counts: Counts,
    /// What was said last.
    pub(super) last: &'static str,
}

/// What is to be done about a command.
enum Way {
    /// It is run with others on keys.
    Keys,
    /// It is run here.
    Here(&'static Word),
    /// It waits for `EXEC`.
    Waits,
    /// It is answered with this error.
    Refused(Reply),
    /// Whoever says that speaks something else.
    Cut,
}

impl Conversation {
    /// Somebody who just came.
    pub fn new(door: Arc<Door>, card: Arc<Card>) -> Self {
        let (who, scope) = (Who::Nobody, door.settings.everything());
        let mut new = Self {
            door,
            card,
            who,
            scope,
            proto: Proto::Two,
            queue: None,
            watched: Vec::new(),
            subscriber: None,
            closes: false,
            patience: limits::REDIS_UNKNOWN_COMMANDS_MAX,
            counts: Counts::default(),
            last: "",
        };
        new.begin_anew();
        new
    }

    /// As somebody who just came.
    pub(super) fn begin_anew(&mut self) {
        self.who = if self.door.settings.is_open { Who::Everything } else { Who::Nobody };
        self.scope = self.door.settings.everything();
        self.proto = Proto::Two;
        (self.queue, self.subscriber) = (None, None);
        self.watched.clear();
        let new = || Seen { user: "default".into(), proto: 2, ..Default::default() };
        self.card.note(|seen| *seen = Seen { counts: seen.counts, ..new() });
    }

    /// Whether it is known who this is.
    pub fn is_known(&self) -> bool {
        !matches!(self.who, Who::Nobody)
    }

    /// How much may be sent at once.
    pub fn bounds(&self) -> Bounds {
        if self.is_known() { Bounds::KNOWN } else { Bounds::UNKNOWN }
    }

    /// The dialect that replies are written in.
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Whether the app is still one, with the same password.
    pub fn is_still_welcome(&mut self) -> bool {
        let Who::App { digest, seen } = &mut self.who else { return true };
        let changed = self.door.identity.apps_changed();
        if *seen == changed {
            return true;
        }
        let name = self.scope.app.as_ref().map(|app| app.name.clone()).unwrap_or_default();
        let app = self.door.identity.app_by_digest(&name, digest);
        *seen = changed;
        let is_same = app.as_ref().map(|app| &app.prefix) == self.scope.app.as_ref().map(|app| &app.prefix);
        let is_welcome = app.is_some() && is_same;
        if is_welcome {
            self.scope.app = app;
        }
        is_welcome
    }

    /// Answers commands in order, until none is left, or so much was answered that it should be sent, or one changes what
    /// replies look like: that one, too, is answered by itself.
    pub async fn answer(&mut self, calls: &mut VecDeque<Call>, replies: &mut Vec<Reply>) {
        if !self.is_still_welcome() {
            self.closes = true;
            return;
        }
        let mut stretch = Vec::new();
        while let Some(call) = calls.front() {
            match self.way(call) {
                Way::Keys if stretch.len() < limits::REDIS_STRETCH_MAX => stretch.extend(calls.pop_front()),
                Way::Keys => {
                    self.run(&mut stretch, replies).await;
                    if self.closes || replies.iter().map(Reply::weight).sum::<usize>() > limits::REDIS_STRETCH_BYTES {
                        return;
                    }
                }
                way => {
                    self.run(&mut stretch, replies).await;
                    if self.closes || matches!(way, Way::Here(word) if changes_dialect(word) && !replies.is_empty()) {
                        return;
                    }
                    let Some(call) = calls.pop_front() else { return };
                    let is_last = matches!(way, Way::Here(word) if changes_dialect(word));
                    self.otherwise(way, call, replies).await;
                    if self.closes || is_last {
                        return;
                    }
                }
            }
        }
        self.run(&mut stretch, replies).await;
    }

    async fn otherwise(&mut self, way: Way, call: Call, replies: &mut Vec<Reply>) {
        self.door.meters.others.increment(1);
        self.counts.commands += 1;
        if !self.is_known() {
            self.patience = self.patience.saturating_sub(1);
            self.closes |= self.patience == 0;
        }
        match way {
            Way::Refused(error) => {
                if let Some(queue) = &mut self.queue {
                    queue.spoil();
                }
                replies.push(error);
            }
            Way::Waits => {
                self.last = name_of(&call);
                replies.push(self.wait(call));
            }
            Way::Here(word) => self.here(word, &call, replies).await,
            Way::Cut | Way::Keys => {
                tracing::warn!(address = %self.card.address, "somebody speaks HTTP to the Redis door, and is cut off");
                self.closes = true;
            }
        }
    }

    /// Runs what was gathered.
    async fn run(&mut self, stretch: &mut Vec<Call>, replies: &mut Vec<Reply>) {
        if stretch.is_empty() {
            return;
        }
        self.door.meters.keys.increment(stretch.len() as u64);
        self.counts.commands += stretch.len() as u64;
        self.last = stretch.last().map_or("", name_of);
        let ended = self.door.keyspace.run(&self.scope, stretch, replies).await;
        stretch.clear();
        self.closes |= ended.is_err();
    }

    fn way(&self, call: &Call) -> Way {
        let Some(name) = call.0.first() else { return Way::Refused(keyspace::unknown(&call.0)) };
        let listens = self.proto == Proto::Two && self.subscriber.is_some();
        if let Some(word) = words::find(name) {
            return self.way_of_word(word, call, listens);
        }
        let Some(spec) = keyspace::find(name) else {
            if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
                return Way::Cut;
            }
            // these two are known by another name
            let is_by_sha = name.eq_ignore_ascii_case(b"evalsha") || name.eq_ignore_ascii_case(b"evalsha_ro");
            return match is_by_sha && keyspace::find(b"eval").is_some() {
                true => self.way_of_keys(call, "evalsha", listens),
                false => Way::Refused(keyspace::unknown(&call.0)),
            };
        };
        if self.queue.is_none() && !listens && self.is_known() {
            return Way::Keys;
        }
        if !spec.takes(call.0.len()) {
            return Way::Refused(wrong::arity(spec.name));
        }
        if let Some(refused) = below::refusal(spec.name, &call.0) {
            return Way::Refused(refused);
        }
        let own = self.scope.app.as_ref();
        let may_name = |raw: &&Bytes| own.is_none_or(|app| raw.starts_with(&app.prefix));
        match spec.keys_of(&call.0) {
            Some(keys) if self.is_known() && !keys.iter().all(may_name) => Way::Refused(Reply::err(
                "NOPERM this user has no permissions to access one of the keys used as arguments",
            )),
            _ => self.way_of_keys(call, spec.name, listens),
        }
    }

    fn way_of_keys(&self, call: &Call, name: &str, listens: bool) -> Way {
        match &self.queue {
            _ if !self.is_known() => Way::Refused(no_auth()),
            _ if listens => Way::Refused(only_listens(name)),
            Some(_) if name == "evalsha" && call.0.len() < 3 => Way::Refused(wrong::arity(name)),
            Some(_) => Way::Waits,
            None if name == "evalsha" && call.0.len() < 3 => Way::Refused(wrong::arity(name)),
            None => Way::Keys,
        }
    }

    fn way_of_word(&self, word: &'static Word, call: &Call, listens: bool) -> Way {
        if !word.takes(call.0.len()) {
            return Way::Refused(wrong::arity(word.name));
        }
        if let Some(refused) = below::refusal(word.name, &call.0) {
            return Way::Refused(refused);
        }
        if !self.is_known() && !word.is_for_strangers() {
            return Way::Refused(no_auth());
        }
        if listens && !word.is_for_listeners() {
            return Way::Refused(only_listens(word.name));
        }
        match self.queue {
            Some(_) if word.is_at_once() => Way::Here(word),
            Some(_) if word.may_wait() => Way::Waits,
            Some(_) => {
                let name = word.name.to_uppercase();
                Way::Refused(Reply::error(format!("ERR Command not allowed inside a transaction: {name}")))
            }
            None => Way::Here(word),
        }
    }

    /// The next message of a channel; waits for ever where nothing is listened to. `None` when it was too far behind.
    pub async fn heard(&mut self) -> Option<Message> {
        match &mut self.subscriber {
            Some(subscriber) => subscriber.next().await,
            None => std::future::pending().await,
        }
    }

    /// A message that waits already.
    pub fn heard_already(&mut self) -> Option<Message> {
        self.subscriber.as_mut().and_then(Subscriber::try_next)
    }

    /// Notes that a command is answered with an error.
    pub fn count_error(&mut self) {
        self.counts.errors += 1;
        self.door.meters.errors.increment(1);
    }

    /// Shows others what was said in a turn: once, and not with each command.
    pub fn rest(&self) {
        self.card.note(|seen| {
            seen.queued = self.queue.as_ref().map(Queue::len);
            seen.command = self.last;
            seen.at = Some(std::time::Instant::now());
            seen.counts = self.counts;
        });
    }

    /// What others may see of this client, as it is now.
    pub(super) fn show(&mut self, command: &'static str) {
        self.last = command;
        let count = |by| self.subscriber.as_ref().map_or(0, |subscriber| subscriber.all(by).len());
        self.card.note(|seen| {
            seen.db = self.scope.db;
            seen.proto = self.proto.number();
            seen.user = self.scope.app.as_ref().map_or_else(|| "default".to_owned(), |app| app.name.clone());
            seen.channels = count(keyspace::hub::By::Channel);
            seen.patterns = count(keyspace::hub::By::Pattern);
            seen.queued = self.queue.as_ref().map(Queue::len);
        });
        self.rest();
    }
}

/// The name of a command by which others know it.
pub(super) fn name_of(call: &Call) -> &'static str {
    let Some(name) = call.0.first() else { return "" };
    match (words::find(name), keyspace::find(name)) {
        (Some(word), _) => below::name(word.name, &call.0),
        (None, Some(spec)) => below::name(spec.name, &call.0),
        (None, None) if name.eq_ignore_ascii_case(b"evalsha_ro") => "evalsha_ro",
        (None, None) => "evalsha",
    }
}

fn changes_dialect(word: &Word) -> bool {
    matches!(word.what, What::Hello | What::Reset)
}

fn no_auth() -> Reply {
    Reply::err("NOAUTH Authentication required.")
}

fn only_listens(name: &str) -> Reply {
    Reply::error(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context"
    ))
}
