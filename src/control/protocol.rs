//! Protocol: what a command may ask of a node, and what the node answers.
//!
//! Both sides are the same program, mostly of the same version; unknown fields are ignored so that the other cases fare
//! well. Passwords of people travel towards the node only; whatever is secret hides from `Debug`.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use super::copied::{Copied, CopiedKey, Held, KeyChunk, Over, Raw};
pub use super::credentials::{App, NewApp, NewToken, Token};
use crate::clock::Millis;
use crate::error::Error;

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Whether the node is ready. Answer: [`Response::Health`].
    Health,
    /// What the node is and holds. Answer: [`Response::Status`].
    Status,
    /// Make an account, approved and verified. Answer: [`Response::UserAdded`], with a link when no password came.
    UserAdd(NewAccount),
    /// Accounts by address, a page at a time, after this cursor. Answer: [`Response::Users`].
    UserList { after: Option<String> },
    /// One account. Answer: [`Response::User`].
    UserShow { email: String },
    /// Refuse every way in and end the sessions. Answer: [`Response::User`].
    UserDisable { email: String },
    /// Allow it again. Answer: [`Response::User`].
    UserEnable { email: String },
    /// Forget the account and end its sessions. Answer: [`Response::Done`].
    UserDelete { email: String },
    /// Replace the password and end the sessions. Answer: [`Response::Done`].
    UserSetPassword { email: String, password: Password },
    /// A one-time link that sets the password; while nobody is admin, one that makes the first admin for an address
    /// that nobody has. Answer: [`Response::Link`].
    UserLink { email: String },
    /// Let pass forward-auth. Answer: [`Response::User`].
    UserApprove { email: String },
    /// Be in these groups and no others. Answer: [`Response::User`].
    UserGroups { email: String, groups: Vec<String> },
    /// Add the accounts of a piece of a file. Answer: [`Response::Imported`].
    UserImport(ImportChunk),
    /// Live sessions, a page at a time, of one user or of all. Answer: [`Response::Sessions`].
    SessionList { user: Option<String>, after: Option<String> },
    /// One session, by id or handle. Answer: [`Response::Session`].
    SessionShow { id: String },
    /// End one session, by id or handle. Answer: [`Response::Ended`].
    SessionRevoke { id: String },
    /// End all sessions of a user. Answer: [`Response::Ended`].
    SessionRevokeUser { email: String },
    /// Add an app. Answer: [`Response::AppSecret`].
    AppAdd(NewApp),
    /// All apps. Answer: [`Response::Apps`].
    AppList,
    /// Forget an app. Answer: [`Response::Done`].
    AppRemove { name: String },
    /// Give an app another password. Answer: [`Response::AppSecret`].
    AppRotate { name: String },
    /// Make a personal access token. Answer: [`Response::TokenAdded`].
    TokenAdd(NewToken),
    /// The tokens of a user. Answer: [`Response::Tokens`].
    TokenList { email: String },
    /// End a token. Answer: [`Response::Done`].
    TokenRemove { id: String },
    /// Write keys of another store. Answer: [`Response::Copied`].
    CopyKeys(KeyChunk),
    /// The nodes of the cluster. Answer: [`Response::Cluster`].
    ClusterStatus,
    /// A token by which so many nodes may join for so long. Answer: [`Response::Token`].
    ClusterToken { uses: u32, ttl_ms: u64 },
    /// This learner is to vote. Answer: [`Response::Done`].
    ClusterPromote { id: u64 },
    /// This node is to be a member no longer. Answer: [`Response::Done`].
    ClusterRemove { id: u64 },
    /// This voter is to lead. Answer: [`Response::Done`].
    ClusterTransfer { id: u64 },
    /// The node that is asked is to be a member no longer, and to stop. Answer: [`Response::Done`].
    ClusterLeave,
    /// The cluster is to have another secret. Answer: [`Response::Rotated`].
    ClusterRotateSecret,
    /// What of a doctor's requests reached the sign-in check. Answer: [`Response::Sightings`].
    DoctorSeen { nonce: String },
    /// A copy of everything. Answer: a file, then [`Response::Done`].
    Backup(Extent),
}

/// What a backup is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// Everything that the cluster acknowledged before.
    Cluster,
    /// What this node has, though no leader answer.
    Node,
}

/// An account to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAccount {
    /// Address, not yet normalised.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// Whether they may administer.
    pub admin: bool,
    /// Without one, a link is answered that sets it.
    pub password: Option<Password>,
}

/// A password on its way to the node, or a secret that is shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// A piece of a file with accounts: whole records.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportChunk {
    /// How records are written.
    pub format: ImportFormat,
    /// The first line of a CSV file, which names the columns; empty for JSON lines.
    pub header: String,
    /// The records, each with its line end.
    pub rows: String,
    /// The number in the file of the first of these lines, from 1.
    pub first_line: u64,
}

/// Rows hold password hashes: only their size is shown.
impl fmt::Debug for ImportChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportChunk({:?}, {} bytes from line {})", self.format, self.rows.len(), self.first_line)
    }
}

/// How an import is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportFormat {
    /// Comma separated (RFC 4180) with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Done, and nothing to say.
    Done,
    Health(Health),
    Status(Status),
    User(Account),
    UserAdded {
        user: Account,
        link: Option<Link>,
    },
    /// A page of accounts; `next` is the cursor of the page after it.
    Users {
        users: Vec<Account>,
        next: Option<String>,
    },
    Link(Link),
    Imported(Imported),
    /// A page of sessions; `next` as above.
    Sessions {
        sessions: Vec<LiveSession>,
        next: Option<String>,
    },
    Session(LiveSession),
    /// An app and its password, once.
    AppSecret {
        app: App,
        password: Password,
    },
    Apps(Vec<App>),
    /// A token and what to show for it, once.
    TokenAdded {
        token: Token,
        secret: Password,
    },
    Tokens(Vec<Token>),
    /// What came of each key, in order.
    Copied(Vec<Copied>),
    Cluster(Vec<ClusterNode>),
    Token(JoinToken),
    Rotated(Rotated),
    /// What reached the sign-in check.
    Sightings(Vec<Sighting>),
    /// So many sessions were ended.
    Ended {
        sessions: u64,
    },
}

/// A node of the cluster, as the one that was asked sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    pub id: u64,
    pub role: Role,
    /// Where other nodes reach it.
    pub address: String,
    /// Whether it is the one that was asked.
    pub is_this: bool,
    /// Whether it answered just now; the rest is unknown otherwise.
    pub answers: bool,
    /// Index of the last log entry that it has applied.
    pub applied: Option<u64>,
    /// Its term: rises with every election.
    pub term: Option<u64>,
    /// How many entries it is behind the one that is furthest.
    pub lag: Option<u64>,
    /// How long its answer took, milliseconds.
    pub answered_in_ms: Option<u64>,
    pub version: Option<String>,
    /// Whether a rotation of the cluster's secret waits for it.
    #[serde(default)]
    pub holds_up_rotation: bool,
}

/// How far a rotation of the cluster's secret is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// Nodes that it waits for: id, and where other nodes reach it. None: it is over.
    pub waits_for: Vec<(u64, String)>,
    /// Nodes whose settings name a secret.
    pub set_on: Vec<u64>,
}

/// What a node does in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Leader,
    Voter,
    Learner,
}

/// What an operator carries to a new node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JoinToken(pub String);

/// A token is a secret until it is used.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken")
    }
}

/// Whether a node can answer for the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub ready: bool,
    /// Why not; empty when ready.
    pub reason: String,
}

/// What a node is and holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub node: String,
    /// Id of the cluster, which a restore changes; in hexadecimal.
    #[serde(default)]
    pub cluster: String,
    pub ready: bool,
    pub users: u64,
    pub sessions: u64,
    /// Index of the last log entry that is applied.
    pub applied: u64,
    pub uptime_secs: u64,
}

/// An account, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: String,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    /// Milliseconds since the Unix epoch, as all moments here.
    pub created_at: Millis,
    pub admin: bool,
    pub approved: bool,
    pub verified: bool,
    pub disabled: bool,
    #[serde(default)]
    pub groups: Vec<String>,
    /// Scheme of the password hash (`argon2id`, `bcrypt`, …); empty without a password.
    pub password_scheme: String,
}

/// What reached the sign-in check of one of a doctor's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Headers that speak of the original request or of who somebody is, as they came.
    pub headers: Vec<(String, String)>,
    /// The address that the request counts as coming from.
    pub address: String,
    /// Whether it was refused because its headers contradict each other.
    pub refused: bool,
}

/// A live session, as operators see it: never its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveSession {
    pub handle: String,
    /// Address of whom it belongs to; empty for an anonymous one.
    pub email: String,
    pub begun: Millis,
    /// When it ends if nobody uses it.
    pub expires: Millis,
    /// When it ends whatever happens.
    pub absolute: Millis,
    pub address: String,
    pub agent: String,
    pub remember: bool,
    /// What apps keep in it; only when one session is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

/// A one-time link.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub url: String,
    pub expires: Millis,
    #[serde(default)]
    pub purpose: Purpose,
}

/// What a one-time link is good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// It sets the password of an account.
    #[default]
    SetPassword,
    /// Whoever opens it becomes the first admin.
    FirstAdmin,
}

/// A link is a secret until it is spent.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link(until {})", self.expires)
    }
}

/// What came of a piece of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Accounts made.
    pub added: u64,
    /// Records whose address or id was taken already.
    pub taken: u64,
    /// Records that break a rule.
    pub refused: Vec<Refused>,
}

/// A record of an import that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Line in the file, from 1.
    pub line: u64,
    pub why: String,
}

/// One line of an answer. The last one is `Done` or `Failed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Still at work.
    Working,
    /// So far.
    Progress { done: u64, total: u64 },
    /// So many raw bytes follow the line's end, then another line.
    File { bytes: u64 },
    /// What came of it.
    Done(Response),
    /// Why not.
    Failed(Fault),
}

/// Why a node did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A stable word for programs.
    pub kind: String,
    /// For people.
    pub message: String,
}

impl Fault {
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self { kind: "malformed".into(), message: message.into() }
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        let kind = match error {
            Error::Malformed(_) => "malformed",
            Error::NotSignedIn | Error::Credentials | Error::Token => "credentials",
            Error::Forbidden(_) => "forbidden",
            Error::NotFound(_) => "not_found",
            Error::Conflict(_) => "conflict",
            Error::Unacceptable { .. } => "unacceptable",
            Error::TooMany { .. } => "too_many",
            Error::Full => "full",
            Error::NotDone(_) => "not_done",
            Error::FateUnknown => "fate_unknown",
            Error::Broken(_) => "broken",
        };
        Self { kind: kind.into(), message: error.to_string() }
    }
}
