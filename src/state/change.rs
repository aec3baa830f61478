//! Change: what a caller wants (`Op`), what the log carries (`Record` of `Change`s), what came of it (`Outcome`).
//!
//! An `Op` is decided once, by the leader. A `Change` is its whole effect: put this entry with this absolute deadline,
//! or remove these keys. It never says "if", "add" or "extend", so replaying it in log order gives the same state on
//! every node, whatever each has forgotten meanwhile. Only questions about users are answered when applied, by SQLite,
//! which is deterministic; what a Change does to entries never depends on that answer.
//!
//! These carry password hashes and session ids, and libraries print what they carry when asked to be verbose: `Debug`
//! shows what kind of thing it is and no more.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::command::{Commands, Reply};
use super::entry::Entry;
use super::facts::Proof;
use super::key::Key;
use super::token::Token;
use crate::clock::Millis;

/// What one log entry carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Log time of the decision.
    pub stamp: Millis,
    /// In the order in which they were decided.
    pub changes: Vec<Change>,
}

/// The effect of one Op.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What happens to entries, in order.
    pub effects: Vec<Effect>,
    /// What happens to users, answered when applied.
    pub user: Option<UserChange>,
}

impl Change {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.user.is_none()
    }
}

/// The effect on one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// The key holds this entry, whatever it held.
    Put(Key, Entry),
    /// The key holds nothing.
    Remove(Key),
    /// Whoever listens is told; nothing is remembered.
    Tell(Told),
}

/// What whoever listens is told, on every node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// A message in a channel of a database's apps.
    Message { channel: Bytes, payload: Bytes },
    /// Something about somebody's session.
    Session { what: SessionEvent, user: String, key: Key },
}

/// What happened to somebody's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionEvent {
    /// It began.
    SignIn,
    /// Its owner ended it, or began another in its place.
    SignOut,
    /// Its deadline came.
    Expired,
    /// It was ended from elsewhere: by an operator, a change of password, another session of theirs.
    Revoked,
}

/// Messages are an app's own.
impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { payload, .. } => write!(f, "Message({} bytes)", payload.len()),
            Self::Session { what, .. } => write!(f, "Session({what:?})"),
        }
    }
}

/// What a caller wants done to the shared state.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// Begin a session, ending the one it replaces in the same step.
    Begin(Box<Begin>),
    /// Change the value of a live session.
    Edit(Edit),
    /// Slide the deadlines of these sessions; those that are gone stay gone.
    Touch(Vec<Key>),
    /// End these sessions: their keys stay dead until the sessions' absolute deadlines.
    End(Vec<Key>),
    /// End all sessions of a user.
    EndUser(EndUser),
    /// Take one try from each of these budgets, or from none of them.
    Try(Vec<Budget>),
    /// Give tries back.
    Forgive(Forgiven),
    /// Change users, and end sessions with it in the same step.
    User { change: UserChange, end: Option<EndUser> },
    /// Set a cluster-wide setting; with `only_if_absent` the first writer wins.
    Setting { name: String, value: Bytes, only_if_absent: bool },
    /// Let a key hold something else, if it holds what is expected; `Gone` when it does not.
    Exchange(Exchange),
    /// Allow something so many times, for so long.
    Allow { key: Key, uses: u32, ttl_ms: i64 },
    /// Use one of the times that are left; `Gone` when none is.
    Use(Key),
    /// What an app asks of its keys, as one.
    Commands(Box<Commands>),
    /// Forget those of these keys whose deadline has come, and tell whoever listens.
    Expire(Vec<Key>),
    /// End these sessions from elsewhere: the same as [`Op::End`], and told as something else.
    Revoke(Vec<Key>),
}

impl Op {
    /// Bytes of what it carries, about.
    pub fn weight(&self) -> usize {
        const EACH: usize = 256;
        EACH + match self {
            Self::Begin(begin) => begin.value.len(),
            Self::Edit(edit) => edit.merge.len(),
            Self::Commands(commands) => commands.weight(),
            Self::Exchange(exchange) => exchange.value.as_ref().map_or(0, |value| value.len()),
            Self::Touch(keys) | Self::End(keys) | Self::Revoke(keys) | Self::Expire(keys) => keys.len() * EACH,
            _ => 0,
        }
    }
}

/// What a key holds for ever, before and after. `None` is nothing.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    pub key: Key,
    pub held: Option<Bytes>,
    pub value: Option<Bytes>,
}

/// A session to begin.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// Its key. Refused when it is taken, live or dead.
    pub key: Key,
    /// Its value: JSON of express-session's shape.
    pub value: Bytes,
    /// Who signs in; `None` begins an anonymous session.
    pub signed: Option<SignedIn>,
    /// Idle timeout, milliseconds.
    pub idle_ms: i64,
    /// Absolute lifetime, milliseconds.
    pub lifetime_ms: i64,
    /// Whether the cookie outlives the browser.
    pub remember: bool,
    /// Client address.
    pub address: String,
    /// Short name of the browser or client.
    pub agent: String,
    /// The session of the same browser that ends now.
    pub replaces: Option<Key>,
    /// The most live sessions the user may have; the oldest end.
    pub per_user_max: u32,
    /// A budget this takes a try from.
    pub budget: Option<Budget>,
    /// Tries that are given back with it.
    pub forgiven: Forgiven,
}

/// Tries that turned out well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Forgiven {
    /// Counts that are forgotten.
    pub all: Vec<Key>,
    /// Counts that get one try back.
    pub one: Vec<Key>,
}

/// Who signs in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignedIn {
    /// User id.
    pub user: String,
    /// The user's epoch, read before the password was verified. Another one now refuses the sign-in.
    pub epoch: u64,
    /// How they proved it.
    pub proof: Proof,
    /// Digest of the second cookie.
    pub own: [u8; 16],
}

/// A change to a live session's value.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Which session.
    pub key: Key,
    /// A JSON object that is merged into the value (RFC 7396).
    pub merge: String,
    /// Members to add to; one that is absent or no integer counts as 0.
    pub add: Vec<(String, i64)>,
    /// The most bytes the value may have afterwards.
    pub value_max: u64,
}

/// All sessions of one user, except perhaps one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndUser {
    /// User id.
    pub user: String,
    /// A live session of theirs that lives on under the new epoch. When it is none, nothing happens at all: `Gone`.
    pub keep: Option<Key>,
}

/// So many tries, then a wait that doubles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Where the tries are counted.
    pub key: Key,
    /// Tries that cost nothing.
    pub free: u32,
    /// The wait after each further try: this long, doubling each time, in milliseconds.
    pub wait_ms: i64,
    /// The longest wait, milliseconds.
    pub wait_max_ms: i64,
    /// How long tries are remembered after the last one, milliseconds.
    pub memory_ms: i64,
}

/// What came of an Op. A refusal is an outcome, not an error.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done.
    Done,
    /// The session began, or was changed, and is this now.
    Session(Entry),
    /// So many sessions were ended.
    Ended(u64),
    /// There is no such live session.
    Gone,
    /// The key is taken.
    Taken,
    /// The user's epoch is not the one that was read: their sessions were ended meanwhile.
    StaleEpoch,
    /// The value would be larger than allowed, or is no JSON object.
    BadValue,
    /// The store is full.
    Full,
    /// Too many tries; free again after so many milliseconds.
    Limited { wait_ms: i64 },
    /// The value of the setting, as it stands now.
    Setting(Bytes),
    /// What SQLite said.
    User(UserOutcome),
    /// What an app's commands were answered, one by one.
    Replies(Vec<Reply>),
    /// A key that was watched is not what it was: nothing was done.
    Aborted,
}

/// A user as given at sign-up, by an operator or by an import. Text is normalised and checked by `identity` before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUser {
    /// Unique, never reused.
    pub id: String,
    /// Normalised; unique.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// PHC string or another scheme's own form; empty: no password yet.
    pub password_hash: String,
    /// Milliseconds since the Unix epoch.
    pub created_at: Millis,
    /// May administer.
    pub admin: bool,
    /// May pass forward-auth.
    pub approved: bool,
    /// The address is known to be theirs.
    pub verified: bool,
}

/// What a one-time link is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkUse {
    /// Make the first admin; refused once an admin exists.
    FirstAdmin,
    /// Set the password of this user (id).
    SetPassword(String),
}

/// A change to users, decided by SQLite when applied.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum UserChange {
    /// Add one; `Conflict` when the address or id is taken.
    Add(NewUser),
    /// Add those whose address and id are free; answers how many.
    Import(Vec<NewUser>),
    /// Replace the password hash. With `only_if` only while the hash is still that one (a rehash at sign-in).
    SetPassword { user: String, hash: String, only_if: Option<String> },
    /// Change the names.
    SetNames { user: String, first_name: String, last_name: String },
    /// Refuse every way in, or allow it again.
    SetDisabled { user: String, disabled: bool },
    /// Let pass forward-auth.
    Approve { user: String },
    /// Forget the user and all that belongs to them.
    Delete { user: String },
    /// Remember a one-time link by its digest, until `expires_at` (log time).
    AddLink { digest: [u8; 32], usage: LinkUse, expires_at: Millis, now: Millis },
    /// Spend a link that sets the password of `user`. `Spent` when it is not theirs, unknown, spent or past `now`.
    SpendLink { digest: [u8; 32], user: String, hash: String, now: Millis },
    /// Spend a link that makes the first admin.
    SpendAdminLink { digest: [u8; 32], user: NewUser, now: Millis },
    /// Add a token to a user who may come in and has fewer than `max`; `TooMany` when they have as many.
    AddToken { token: Box<Token>, max: u32 },
    /// End a token, of this user if one is named.
    DeleteToken { id: String, user: Option<String> },
    /// Note the days on which tokens (ids) were used.
    TouchTokens(Vec<(String, Millis)>),
    /// Be in these groups and no others.
    SetGroups { user: String, groups: Vec<String> },
}

/// What SQLite said about a [`UserChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserOutcome {
    /// Done.
    Done,
    /// So many of an import were added; the others' addresses or ids were taken.
    Imported(u64),
    /// The address or id is taken, or the hash is not the one expected.
    Conflict,
    /// No such user.
    NotFound,
    /// The link is unknown, spent or too old.
    Spent,
    /// There is an admin already.
    AdminExists,
    /// They have as many as anybody may.
    TooMany,
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begin(_) => "Begin",
            Self::Edit(_) => "Edit",
            Self::Touch(_) => "Touch",
            Self::End(_) => "End",
            Self::EndUser(_) => "EndUser",
            Self::Try(_) => "Try",
            Self::Forgive(_) => "Forgive",
            Self::User { .. } => "User",
            Self::Setting { .. } => "Setting",
            Self::Exchange(_) => "Exchange",
            Self::Allow { .. } => "Allow",
            Self::Use(_) => "Use",
            Self::Commands(_) => "Commands",
            Self::Expire(_) => "Expire",
            Self::Revoke(_) => "Revoke",
        })
    }
}

/// A setting may be the secret that cookies are signed with.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Session(entry) => f.debug_tuple("Session").field(entry).finish(),
            Self::Ended(count) => f.debug_tuple("Ended").field(count).finish(),
            Self::Gone => f.write_str("Gone"),
            Self::Taken => f.write_str("Taken"),
            Self::StaleEpoch => f.write_str("StaleEpoch"),
            Self::BadValue => f.write_str("BadValue"),
            Self::Full => f.write_str("Full"),
            Self::Limited { wait_ms } => write!(f, "Limited({wait_ms} ms)"),
            Self::Setting(value) => write!(f, "Setting({} bytes)", value.len()),
            Self::User(said) => f.debug_tuple("User").field(said).finish(),
            Self::Replies(replies) => write!(f, "Replies({})", replies.len()),
            Self::Aborted => f.write_str("Aborted"),
        }
    }
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewUser({})", self.id)
    }
}

impl fmt::Debug for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add(_) => "Add",
            Self::Import(_) => "Import",
            Self::SetPassword { .. } => "SetPassword",
            Self::SetNames { .. } => "SetNames",
            Self::SetDisabled { .. } => "SetDisabled",
            Self::Approve { .. } => "Approve",
            Self::Delete { .. } => "Delete",
            Self::AddLink { .. } => "AddLink",
            Self::SpendLink { .. } => "SpendLink",
            Self::SpendAdminLink { .. } => "SpendAdminLink",
            Self::AddToken { .. } => "AddToken",
            Self::DeleteToken { .. } => "DeleteToken",
            Self::TouchTokens(_) => "TouchTokens",
            Self::SetGroups { .. } => "SetGroups",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_holds_no_secret() {
        let change = UserChange::SetPassword { user: "u".into(), hash: "$argon2id$secret".into(), only_if: None };
        let op = Op::Setting { name: "cookie_secret".into(), value: "secret".into(), only_if_absent: true };
        let change = Change { effects: vec![Effect::Remove(Key::new("sess:secret"))], user: Some(change) };
        let outcome = Outcome::Setting("secret".into());
        let printed = format!("{op:?} {outcome:?} {:?}", Record { stamp: 1, changes: vec![change] });
        assert!(printed.contains("SetPassword") && !printed.contains("secret"), "{printed}");
    }
}
