//! The command line as an operator types it, without a node.

use std::sync::Arc;

use clap::Parser;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::*;
use crate::control::protocol::{
    Account, ClusterNode, Copied, Health, Imported, JoinToken, Link, LiveSession, Password, Purpose, Refused, Role,
    Rotated, Status,
};
use crate::control::{Extent, Operator, Progress, Server};
use crate::error::{Error, Result as RoomResult};
use crate::log::Answer;

mod cluster;
mod credentials;

/// A moment: 2023-11-14 22:13:20Z.
const THEN: i64 = 1_700_000_000_000;

/// Writes down what it is asked, and answers from a small made-up state.
struct Stub {
    asked: Mutex<Vec<Request>>,
    backup: PathBuf,
    ready: bool,
}

fn account(email: &str) -> Account {
    Account {
        id: "01890a5d".into(),
        email: email.into(),
        first_name: "Ada".into(),
        last_name: "Lovelace".into(),
        created_at: THEN,
        admin: email.starts_with("ada"),
        approved: true,
        verified: true,
        disabled: email.starts_with("off"),
        groups: Vec::new(),
        password_scheme: "argon2id".into(),
    }
}

fn session(data: Option<serde_json::Value>) -> LiveSession {
    LiveSession {
        handle: "-hand".into(),
        email: String::new(),
        begun: THEN,
        expires: THEN + 3_600_000,
        absolute: THEN + 86_400_000,
        address: "192.0.2.7".into(),
        agent: "Firefox\u{1b}[31m".into(),
        remember: false,
        data,
    }
}

fn link() -> Link {
    Link { url: "http://localhost:3000/link/abc".into(), expires: THEN, purpose: Purpose::SetPassword }
}

fn peer(id: u64, answers: bool) -> ClusterNode {
    ClusterNode {
        id,
        role: if answers { Role::Leader } else { Role::Learner },
        address: format!("10.0.0.{id}:3001"),
        is_this: answers,
        answers,
        applied: answers.then_some(4_711),
        term: answers.then_some(3),
        lag: answers.then_some(0),
        answered_in_ms: answers.then_some(2),
        version: answers.then(|| "0.1.0".into()),
        holds_up_rotation: false,
    }
}

impl Operator for Stub {
    fn perform(&self, request: Request) -> Answer<'_, RoomResult<Response>> {
        self.asked.lock().push(request.clone());
        let answer = match request {
            Request::Health => {
                let reason = if self.ready { "" } else { "no leader is known" };
                Response::Health(Health { ready: self.ready, reason: reason.into() })
            }
            Request::Status => Response::Status(Status {
                version: "0.1.0".into(),
                node: "1".into(),
                cluster: "c0ffee".into(),
                ready: self.ready,
                users: 2,
                sessions: 1,
                applied: 9,
                uptime_secs: 5,
            }),
            Request::UserAdd(new) => {
                Response::UserAdded { user: account(&new.email), link: new.password.is_none().then(link) }
            }
            Request::UserList { after: None } => {
                Response::Users { users: vec![account("ada@example.com")], next: Some("ada@example.com".into()) }
            }
            Request::UserList { .. } => Response::Users { users: vec![account("off@x.org")], next: None },
            Request::UserShow { email } if email.starts_with("nobody") => {
                return Box::pin(async { Err(Error::NotFound("user")) });
            }
            Request::UserShow { email }
            | Request::UserDisable { email }
            | Request::UserEnable { email }
            | Request::UserApprove { email } => Response::User(account(&email)),
            Request::UserDelete { .. } | Request::UserSetPassword { .. } | Request::Backup(_) => Response::Done,
            Request::UserLink { email } if email.starts_with("nobody") => {
                Response::Link(Link { purpose: Purpose::FirstAdmin, ..link() })
            }
            Request::UserLink { .. } => Response::Link(link()),
            Request::UserImport(chunk) => Response::Imported(Imported {
                added: chunk.rows.lines().count() as u64,
                taken: 1,
                refused: chunk
                    .rows
                    .contains("bad")
                    .then(|| Refused { line: 3, why: "no address".into() })
                    .into_iter()
                    .collect(),
            }),
            Request::AppAdd(_) | Request::AppRotate { .. } => {
                Response::AppSecret { app: credentials::app(), password: Password("TheAppPassword".into()) }
            }
            Request::AppList => Response::Apps(vec![credentials::app()]),
            Request::AppRemove { .. } | Request::TokenRemove { .. } => Response::Done,
            Request::TokenAdd(_) => {
                Response::TokenAdded { token: credentials::token(), secret: Password("sjt_TheToken".into()) }
            }
            Request::TokenList { .. } => Response::Tokens(vec![credentials::token()]),
            Request::CopyKeys(chunk) => Response::Copied(vec![Copied::Kept; chunk.keys.len()]),
            Request::ClusterStatus => Response::Cluster(vec![peer(11, true), peer(12, false)]),
            Request::ClusterToken { .. } => Response::Token(JoinToken("sojourn-join-abc".into())),
            Request::ClusterRotateSecret if self.ready => Response::Rotated(Rotated::default()),
            Request::ClusterRotateSecret => {
                Response::Rotated(Rotated { waits_for: vec![(12, "10.0.0.12:3001".into())], set_on: vec![11] })
            }
            Request::ClusterRemove { id: 13 } => return Box::pin(async { Err(Error::NotFound("node")) }),
            Request::ClusterPromote { .. }
            | Request::ClusterRemove { .. }
            | Request::ClusterTransfer { .. }
            | Request::ClusterLeave => Response::Done,
            Request::SessionList { .. } => Response::Sessions { sessions: vec![session(None)], next: None },
            Request::SessionShow { .. } => Response::Session(session(Some(serde_json::json!({"beers": 3})))),
            Request::SessionRevoke { .. } => Response::Ended { sessions: 1 },
            Request::SessionRevokeUser { .. } => Response::Ended { sessions: 4 },
            Request::UserGroups { email, groups } => Response::User(Account { groups, ..account(&email) }),
            Request::DoctorSeen { .. } => Response::Sightings(Vec::new()),
        };
        Box::pin(async { Ok(answer) })
    }

    fn backup(&self, _extent: Extent, _progress: Progress) -> Answer<'_, RoomResult<tokio::fs::File>> {
        Box::pin(async { tokio::fs::File::open(&self.backup).await.map_err(|e| Error::broken("no backup", e)) })
    }
}

/// A node that answers commands.
struct Node {
    _runtime: Runtime,
    _stop: watch::Sender<bool>,
    dir: TempDir,
    stub: Arc<Stub>,
}

impl Node {
    fn start(ready: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let stub = Stub { asked: Mutex::default(), backup: dir.path().join("made"), ready };
        let (runtime, stub) = (Runtime::new().expect("a runtime"), Arc::new(stub));
        let (stop, stopped) = watch::channel(false);
        let server = runtime.block_on(async { Server::open(dir.path()) }).unwrap_or_else(|e| panic!("{e}"));
        runtime.spawn(server.run(stub.clone(), stopped));
        Self { _runtime: runtime, _stop: stop, dir, stub }
    }

    /// What a command prints.
    fn run(&self, args: &[&str]) -> std::result::Result<String, String> {
        let data = self.dir.path().display().to_string();
        let cli = Cli::try_parse_from(["sojourn", "--data", &data].iter().chain(args)).map_err(|e| e.to_string())?;
        let mut out = Vec::new();
        let ran = cli.run(&mut out);
        let shown = String::from_utf8(out).expect("prints text").replace(&data, "DATA");
        ran.map(|()| shown.clone()).map_err(|e| shown + &e.to_string().replace(&data, "DATA"))
    }

    fn prints(&self, args: &[&str]) -> String {
        self.run(args).unwrap_or_else(|e| panic!("{e}"))
    }

    fn asked(&self) -> Request {
        self.stub.asked.lock().pop().expect("was asked")
    }
}

#[test]
fn the_command_tree_is_sound_and_every_command_has_an_example() {
    fn check(command: &clap::Command) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with("Example"), "{} has no example", command.get_name());
        let shown = format!("sojourn {}", command.get_name());
        assert!(help.contains(&shown) || help.contains(command.get_name()), "{help}");
        command.get_subcommands().for_each(check);
    }
    Cli::command().debug_assert();
    check(&Cli::command());
}

#[test]
fn wrong_use_is_told_from_the_arguments_alone() {
    for wrong in [
        &["sojourn", "user"][..],
        &["sojourn", "user", "add"],
        &["sojourn", "user", "set-password", "a@x.org"],
        &["sojourn", "session", "revoke"],
        &["sojourn", "session", "revoke", "x", "--user", "a@x.org"],
        &["sojourn", "dance"],
        &["sojourn", "restore"],
    ] {
        assert_eq!(Cli::try_parse_from(wrong).expect_err("is refused").exit_code(), 2, "{wrong:?}");
    }
}

#[test]
fn no_command_and_serve_are_the_same() {
    let bare = Cli::try_parse_from(["sojourn", "--listen", "127.0.0.1:0", "--data", "d"]).expect("is right");
    assert!(bare.command.is_none() && bare.serve.given() == Some("--listen"));
    let said = Cli::try_parse_from(["sojourn", "serve", "--listen", "127.0.0.1:0", "--data", "d"]).expect("is right");
    assert!(matches!(said.command, Some(Command::Serve(ref serve)) if serve.given().is_some()));
    let config = said.common.load_with(&bare.serve).expect("loads");
    assert_eq!((config.data, config.web.listen.port()), (PathBuf::from("d"), 0));
}

#[test]
fn a_token_is_given_in_a_flag_or_in_a_file_and_is_one() {
    let parsed = |args: &[&str]| Cli::try_parse_from([&["sojourn", "--data", "d"], args].concat());
    let joining = |args: &[&str]| parsed(args).expect("is right").serve.joining();
    assert!(joining(&[]).expect("is right").token.is_none());
    assert!(joining(&["--learner"]).expect("is right").learner);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("token").display().to_string();
    for refused in [&["--join", "nonsense"][..], &["--join-file", &file]] {
        let told = joining(refused).expect_err("is refused").to_string();
        assert!(told.contains("hint: "), "{told}");
    }
    std::fs::write(&file, "nonsense").expect("is written");
    assert!(joining(&["--join-file", &file]).expect_err("is none").to_string().starts_with("this is no join token"));
    assert!(parsed(&["--join", "a", "--join-file", "b"]).is_err());
}

#[test]
fn users_are_listed_page_by_page() {
    let node = Node::start(true);
    insta::assert_snapshot!(node.prints(&["user", "list"]), @"
    EMAIL            NAME          CREATED               STATE
    ada@example.com  Ada Lovelace  2023-11-14 22:13:20Z  admin, approved
    off@x.org        Ada Lovelace  2023-11-14 22:13:20Z  approved, disabled
    ");
    assert_eq!(node.asked(), Request::UserList { after: Some("ada@example.com".into()) });
    let json: serde_json::Value = serde_json::from_str(&node.prints(&["user", "list", "--json"])).expect("is JSON");
    assert_eq!((&json[1]["email"], &json[1]["created_at"]), (&"off@x.org".into(), &"2023-11-14T22:13:20Z".into()));
}

#[test]
fn a_user_is_shown() {
    let node = Node::start(true);
    insta::assert_snapshot!(node.prints(&["user", "show", "ada@example.com"]), @"
    email     ada@example.com
    name      Ada Lovelace
    id        01890a5d
    created   2023-11-14 22:13:20Z
    password  argon2id
    groups
    state     admin, approved
    ");
    assert_eq!(node.run(&["user", "show", "nobody@example.com"]), Err("user not found".into()));
}

#[test]
fn a_user_without_password_gets_a_link() {
    let node = Node::start(true);
    let shown = node.prints(&["user", "add", "ada@example.com", "--admin", "--name", " Ada  King Lovelace "]);
    insta::assert_snapshot!(shown, @"
    added ada@example.com, who may administer
    http://localhost:3000/link/abc
    good once, until 2023-11-14 22:13:20Z
    ");
    let Request::UserAdd(new) = node.asked() else { panic!("was to add") };
    assert_eq!((new.first_name.as_str(), new.last_name.as_str()), ("Ada  King", "Lovelace"));
    assert!(new.admin && new.password.is_none());
}

#[test]
fn users_are_changed_by_one_request_each() {
    let node = Node::start(true);
    let email = || "ada@example.com".to_owned();
    for (word, shown, asked) in [
        ("disable", "disabled ada@example.com\n", Request::UserDisable { email: email() }),
        ("enable", "enabled ada@example.com\n", Request::UserEnable { email: email() }),
        ("approve", "approved ada@example.com\n", Request::UserApprove { email: email() }),
        ("delete", "deleted ada@example.com\n", Request::UserDelete { email: email() }),
        ("groups", "ada@example.com is in no group\n", Request::UserGroups { email: email(), groups: Vec::new() }),
    ] {
        assert_eq!(node.prints(&["user", word, "ada@example.com"]), shown);
        assert_eq!(node.asked(), asked);
    }
    let shown = node.prints(&["user", "groups", "ada@example.com", "staff", "ops"]);
    assert_eq!(shown, "ada@example.com is in staff, ops\n");
    let shown = node.prints(&["user", "link", "ada@example.com"]);
    assert_eq!(shown, "http://localhost:3000/link/abc\ngood once, until 2023-11-14 22:13:20Z\n");
    insta::assert_snapshot!(node.prints(&["user", "link", "nobody@example.com"]), @"
    CAUTION: nobody has the address nobody@example.com, and there is no admin yet:
    whoever opens this link becomes the FIRST ADMIN, with all that this allows.
    http://localhost:3000/link/abc
    good once, until 2023-11-14 22:13:20Z
    ");
    let json = node.prints(&["user", "link", "nobody@example.com", "--json"]);
    assert!(json.contains("\"purpose\": \"first_admin\""), "{json}");
}

#[test]
fn an_import_tells_what_was_added_and_fails_when_records_were_refused() {
    let node = Node::start(true);
    let file = node.dir.path().join("users.csv");
    let path = file.display().to_string();
    std::fs::write(&file, "email\na@x.org\nb@x.org\n").expect("writes");
    let shown = node.prints(&["user", "import", &path]);
    assert_eq!(shown, "added 2, left alone 1 whose address or id exists, refused 0\n");
    std::fs::write(&file, "email\na@x.org\nbad\n").expect("writes");
    insta::assert_snapshot!(node.run(&["user", "import", &path]).expect_err("fails"), @"
    line 3: no address
    added 2, left alone 1 whose address or id exists, refused 1
    some records were refused
      hint: correct them and import again; the others are left alone
    ");
    let json = node.run(&["user", "import", "--json", &path]).expect_err("fails");
    assert!(json.contains("\"line\": 3"), "{json}");
    let missing = node.run(&["user", "import", "/nowhere.csv"]).expect_err("fails");
    assert!(missing.starts_with("cannot read /nowhere.csv: ") && missing.contains("hint: "), "{missing}");
}

#[test]
fn sessions_are_listed_shown_and_revoked() {
    let node = Node::start(true);
    insta::assert_snapshot!(node.prints(&["session", "list", "--user", "ada@example.com"]), @"
    HANDLE  USER         BEGUN                 EXPIRES               ADDRESS    AGENT
    -hand   (anonymous)  2023-11-14 22:13:20Z  2023-11-14 23:13:20Z  192.0.2.7  Firefox�[31m
    ");
    assert_eq!(node.asked(), Request::SessionList { user: Some("ada@example.com".into()), after: None });
    insta::assert_snapshot!(node.prints(&["session", "show", "-hand"]), @r#"
    handle    -hand
    user      (anonymous)
    begun     2023-11-14 22:13:20Z
    expires   2023-11-14 23:13:20Z unless it is used
    ends      2023-11-15 22:13:20Z at the latest
    remember  no
    address   192.0.2.7
    agent     Firefox�[31m
    data      {"beers":3}
    "#);
    assert_eq!(node.asked(), Request::SessionShow { id: "-hand".into() });
    let json = node.prints(&["session", "show", "-hand", "--json"]);
    assert!(json.contains("\"beers\": 3") && json.contains("\"absolute\": \"2023-11-15T22:13:20Z\""), "{json}");
    assert_eq!(node.prints(&["session", "revoke", "-hand"]), "ended 1 session\n");
    assert_eq!(node.asked(), Request::SessionRevoke { id: "-hand".into() });
    assert_eq!(node.prints(&["session", "revoke", "--user", "ada@example.com"]), "ended 4 sessions\n");
    assert_eq!(node.asked(), Request::SessionRevokeUser { email: "ada@example.com".into() });
}

#[test]
fn a_healthcheck_fails_while_the_node_is_not_ready() {
    assert_eq!(Node::start(true).prints(&["healthcheck"]), "ready\n");
    assert_eq!(Node::start(false).run(&["healthcheck"]), Err("not ready: no leader is known".into()));
    let json = Node::start(true).prints(&["healthcheck", "--json"]);
    assert!(json.contains("\"applied\": 9"), "{json}");
}

#[test]
fn a_backup_appears_whole_or_not_at_all() {
    let node = Node::start(true);
    let target = node.dir.path().join("backup");
    let path = target.display().to_string();
    std::fs::write(&target, "old").expect("writes");
    let told = node.run(&["backup", &path]).expect_err("there is none");
    assert!(told.starts_with("no backup: "), "{told}");
    assert_eq!(std::fs::read_to_string(&target).expect("reads"), "old");
    std::fs::write(node.dir.path().join("made"), vec![1; 2_048]).expect("writes");
    assert_eq!(node.prints(&["backup", &path]), "wrote DATA/backup (2.00 KiB)\n");
    assert_eq!(std::fs::read(&target).expect("reads"), vec![1; 2_048]);
    let nowhere = node.run(&["backup", "/nowhere/backup"]).expect_err("fails");
    assert!(nowhere.starts_with("cannot write /nowhere/backup: "), "{nowhere}");
}

#[test]
fn without_a_node_commands_say_how_to_start_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().display().to_string();
    let cli = Cli::try_parse_from(["sojourn", "user", "list", "--data", &data]).expect("is right");
    let told = cli.run(&mut Vec::new()).expect_err("no node runs").to_string();
    assert_eq!(told, format!("no node runs on {data}\n  hint: start it with `sojourn serve --data {data}`"));
}

#[test]
fn the_settings_are_printed_and_checked_without_a_node() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("s.toml");
    let run = |toml: &str, args: &[&str]| {
        std::fs::write(&file, toml).expect("writes");
        let path = file.display().to_string();
        let mut out = Vec::new();
        let cli = Cli::try_parse_from(["sojourn", "--config", &path].iter().chain(args)).expect("is right");
        let ran = cli.run(&mut out);
        ran.map(|()| String::from_utf8(out).expect("prints text")).map_err(|e| e.to_string())
    };
    assert_eq!(run("", &["config", "check"]), Ok("the settings are right\n".into()));
    assert!(run("x = 1", &["config", "check"]).expect_err("is wrong").starts_with("unknown setting x (from "));
    let printed = run("", &["config", "print", "--data", "here"]).expect("prints");
    assert!(printed.contains("\ndata = \"here\"\n"), "{printed}");
    let json = run("data = 'there'", &["config", "print", "--json"]).expect("prints");
    assert!(json.contains("\"value\": \"there\"") && json.contains("\"source\": "), "{json}");
}

#[test]
fn the_version_is_the_package_s() {
    let mut out = Vec::new();
    Cli::try_parse_from(["sojourn", "version"]).expect("is right").run(&mut out).expect("prints");
    assert_eq!(out, format!("sojourn {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}
