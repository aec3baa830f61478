//! Commands: a walk along the command line, as an operator takes it.

use std::fs;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::PASSWORD;
use crate::program::{Place, Program};

/// `password`, by bcrypt, as PHP writes it.
const BCRYPT: &str = "$2y$12$7Mj1fG3bdlpmRcXtZpwimOI4pItCQcj5x2.ZqydPbR5wWlKGVaQVe";

async fn signs_in(node: &Program, email: &str, password: &str) -> bool {
    match node.visitor().sign_in(email, password).await.status() {
        StatusCode::OK => true,
        StatusCode::UNAUTHORIZED => false,
        other => panic!("sign-in answered {other}"),
    }
}

/// Runs a command that is to fail with status 1; answers what it said.
fn fails(place: &Place, args: &[&str]) -> String {
    let done = place.run(args);
    assert_eq!((done.status, done.out.as_str()), (1, ""), "{args:?}: {}", done.err);
    assert!(done.err.starts_with("error: "), "{args:?}: {}", done.err);
    done.err
}

/// Runs a command that is wrong use; answers what it said.
fn is_wrong(place: &Place, args: &[&str]) -> String {
    let done = place.run(args);
    assert_eq!((done.status, done.out.as_str()), (2, ""), "{args:?}: {}", done.err);
    assert!(done.err.starts_with("error: "), "{args:?}: {}", done.err);
    done.err
}

#[tokio::test]
async fn accounts_are_made_shown_changed_and_forgotten() {
    let place = Place::new();
    let node = place.start();
    let add = ["user", "add", "Ada@Example.com", "--admin", "--password-stdin", "--name", "Ada Lovelace"];
    let added = place.run_with(&add, b"correct horse battery\n");
    assert_eq!((added.status, added.out.as_str()), (0, "added ada@example.com, who may administer\n"), "{}", added.err);
    let bob = place.done(&["user", "add", "bob@example.com"]);
    assert!(bob.contains("/link/") && bob.contains("good once"), "without a password there is a link: {bob}");
    assert!(fails(&place, &["user", "add", "ada@example.com"]).contains("an account with this e-mail address already"));
    assert!(fails(&place, &["user", "add", "nobody"]).contains("address"));
    let weak = place.run_with(&["user", "add", "eve@example.com", "--password-stdin"], b"password");
    assert_eq!(weak.status, 1, "{}", weak.err);

    let listed = place.json(&["user", "list"]);
    let emails: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|u| u["email"].as_str()).collect();
    assert_eq!(emails, ["ada@example.com", "bob@example.com"]);
    let table = place.done(&["user", "list"]);
    assert!(table.starts_with("EMAIL ") && table.contains("Ada Lovelace") && table.contains("no password"), "{table}");
    let ada = place.json(&["user", "show", "ADA@example.com"]);
    assert_eq!((&ada["first_name"], &ada["last_name"]), (&json!("Ada"), &json!("Lovelace")));
    assert_eq!((&ada["admin"], &ada["password_scheme"]), (&json!(true), &json!("argon2id")));
    assert!(ada.get("password_hash").is_none() && ada["created_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert!(place.done(&["user", "show", "ada@example.com"]).contains("admin, approved"));

    let mut session = node.visitor();
    assert_eq!(session.sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK);
    assert_eq!(place.done(&["user", "disable", "ada@example.com"]), "disabled ada@example.com\n");
    assert!(!session.is_signed_in().await, "disabling ends sessions");
    assert!(!signs_in(&node, "ada@example.com", PASSWORD).await);
    assert_eq!(place.json(&["user", "show", "ada@example.com"])["disabled"], true);
    assert_eq!(place.done(&["user", "enable", "ada@example.com"]), "enabled ada@example.com\n");
    assert!(!session.is_signed_in().await, "enabling brings none back");
    assert!(signs_in(&node, "ada@example.com", PASSWORD).await);

    let set = ["user", "set-password", "ada@example.com", "--password-stdin"];
    assert_eq!(session.sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK);
    assert_eq!(place.run_with(&set, b"another horse battery").status, 0);
    assert!(!session.is_signed_in().await, "a new password ends sessions");
    assert!(signs_in(&node, "ada@example.com", "another horse battery").await);
    assert!(!signs_in(&node, "ada@example.com", PASSWORD).await);

    assert_eq!(session.sign_in("ada@example.com", "another horse battery").await.status(), StatusCode::OK);
    assert_eq!(place.done(&["user", "delete", "ada@example.com"]), "deleted ada@example.com\n");
    assert!(!session.is_signed_in().await, "so does deleting");
    for command in ["show", "delete", "disable", "enable", "approve", "link"] {
        let said = fails(&place, &["user", command, "carol@example.com"]);
        // while nobody is admin, a link is for the first one
        assert!(said.contains("user not found"), "{command}: {said}");
        if command == "approve" {
            place.done(&["user", "add", "root@example.com", "--admin"]);
        }
    }
}

#[tokio::test]
async fn people_who_signed_up_wait_for_approval() {
    let place = Place::new();
    let node = place.start();
    node.visitor().sign_up("ada@example.com").await;
    assert_eq!(place.json(&["user", "show", "ada@example.com"])["approved"], false);
    assert!(place.done(&["user", "list"]).contains("waits for approval, address not verified"));
    assert_eq!(place.done(&["user", "approve", "ada@example.com"]), "approved ada@example.com\n");
    assert_eq!(place.json(&["user", "show", "ada@example.com"])["approved"], true);
}

#[tokio::test]
async fn imported_people_sign_in_and_their_hash_becomes_argon2id() {
    let place = Place::new();
    let node = place.start();
    let lines = [
        json!({"id": "1", "email": "test@example.com", "password_hash": BCRYPT, "first_name": "Test"}).to_string(),
        json!({"email": "no-hash@example.com", "created_at": "2024-02-29T12:00:00Z"}).to_string(),
        json!({"email": "odd@example.com", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}).to_string(),
    ];
    fs::write(place.file("people.jsonl"), lines.join("\n")).expect("is written");
    let csv = format!("email,password_hash,last_name\ncsv@example.com,{BCRYPT},\"Stout, Ada\"\ntest@example.com,,\n");
    fs::write(place.file("people.csv"), csv).expect("is written");

    let done = place.run(&["user", "import", &place.file("people.jsonl").display().to_string(), "--json"]);
    assert_eq!(done.status, 1, "one row was refused: {}", done.err);
    let told: Value = serde_json::from_str(&done.out).expect("is JSON");
    assert_eq!((&told["added"], &told["taken"], &told["refused"][0]["line"]), (&json!(2), &json!(0), &json!(3)));
    assert!(!done.out.contains("5f4dcc3b") && !done.err.contains("5f4dcc3b"), "a hash is quoted");
    let told = place.json(&["user", "import", &place.file("people.csv").display().to_string()]);
    assert_eq!(told, json!({"added": 1, "taken": 1, "refused": []}));

    for email in ["test@example.com", "csv@example.com"] {
        let shown = || place.json(&["user", "show", email]);
        assert_eq!(shown()["password_scheme"], "bcrypt");
        assert!(!signs_in(&node, email, "passwort").await);
        assert_eq!(shown()["password_scheme"], "bcrypt", "a wrong password changes nothing");
        assert!(signs_in(&node, email, "password").await);
        assert_eq!(shown()["password_scheme"], "argon2id");
        assert!(signs_in(&node, email, "password").await, "and it goes on being good");
    }
    assert_eq!(place.json(&["user", "show", "csv@example.com"])["last_name"], "Stout, Ada");
    assert_eq!(place.json(&["user", "show", "no-hash@example.com"])["created_at"], "2024-02-29T12:00:00Z");
    // the walk goes on after a kill: the better hash was acknowledged with the sign-in
    node.kill();
    let node = place.start();
    assert_eq!(place.json(&["user", "show", "test@example.com"])["password_scheme"], "argon2id");
    assert!(signs_in(&node, "test@example.com", "password").await);
}

#[tokio::test]
async fn sessions_are_listed_shown_and_revoked_without_their_ids() {
    let place = Place::new();
    let node = place.start();
    let mut people = Vec::new();
    for email in ["ada@example.com", "bob@example.com"] {
        let mut person = node.visitor();
        person.sign_up(email).await;
        assert_eq!(person.sign_in(email, PASSWORD).await.status(), StatusCode::OK);
        people.push(person);
    }
    let mut other = node.visitor();
    assert_eq!(other.sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK);
    let (mut ada, mut bob) = (people.remove(0), people.remove(0));
    let patch = ada.request(reqwest::Method::PATCH, "/api/v1/session").json(&json!({"theme": "dark"}));
    assert_eq!(ada.send(patch).await.status(), StatusCode::OK);

    let all = place.json(&["session", "list"]);
    assert_eq!(all.as_array().map(Vec::len), Some(3), "{all}");
    let hers = place.json(&["session", "list", "--user", "ada@example.com"]);
    assert_eq!(hers.as_array().map(Vec::len), Some(2), "{hers}");
    assert!(hers.as_array().is_some_and(|all| all.iter().all(|s| s["email"] == "ada@example.com")));
    let table = place.done(&["session", "list"]);
    assert!(table.starts_with("HANDLE ") && table.contains("bob@example.com"), "{table}");

    let handle = crate::harness::body(ada.get("/api/v1/session").await).await["id"].as_str().map(str::to_owned);
    let handle = handle.expect("has a handle");
    let shown = place.json(&["session", "show", &handle]);
    assert_eq!((&shown["email"], &shown["data"]["theme"]), (&json!("ada@example.com"), &json!("dark")));
    let cookie = ada.cookies[0].1.clone();
    let sid = cookie.trim_start_matches("s%3A").split('.').next().expect("a cookie has an id").to_owned();
    assert!(sid.len() >= 32, "{sid}");
    for text in [all.to_string(), table, shown.to_string(), place.done(&["session", "show", &handle])] {
        assert!(!text.contains(&sid), "a session id is shown");
    }

    assert_eq!(place.done(&["session", "revoke", &handle]), "ended 1 session\n");
    assert!(!ada.is_signed_in().await && other.is_signed_in().await && bob.is_signed_in().await);
    assert!(fails(&place, &["session", "revoke", &handle]).contains("session not found"));
    assert!(fails(&place, &["session", "show", &handle]).contains("session not found"));
    assert_eq!(place.done(&["session", "revoke", "--user", "ada@example.com"]), "ended 1 session\n");
    assert!(!other.is_signed_in().await && bob.is_signed_in().await);
    assert_eq!(place.done(&["session", "revoke", "--user", "ada@example.com"]), "ended 0 sessions\n");
    assert!(fails(&place, &["session", "list", "--user", "eve@example.com"]).contains("user not found"));
    assert!(is_wrong(&place, &["session", "revoke"]).contains("required"));
}

#[test]
fn a_node_is_asked_how_it_is() {
    let place = Place::new();
    let nobody = fails(&place, &["healthcheck"]);
    assert!(nobody.contains("no node runs on") && nobody.contains("hint: "), "{nobody}");
    let node = place.start();
    assert_eq!(place.done(&["healthcheck"]), "ready\n");
    let status = place.json(&["healthcheck"]);
    assert_eq!((&status["ready"], &status["version"]), (&json!(true), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!((&status["users"], &status["sessions"]), (&json!(0), &json!(0)));
    node.kill();
    assert!(fails(&place, &["healthcheck"]).contains("no node runs on"), "its socket is left and answers nobody");
    assert!(fails(&place, &["user", "list"]).contains("no node runs on"));
}

#[test]
fn settings_are_printed_and_checked() {
    let place = Place::new();
    let printed = place.done(&["config", "print"]);
    assert!(printed.contains("idle = \"1h\"") && printed.contains("[sessions]"), "{printed}");
    fs::write(place.file("whole.toml"), &printed).expect("is written");
    let named = place.file("whole.toml").display().to_string();
    assert_eq!(
        place.done(&["config", "check", "--config", &named]),
        "the settings are right\n",
        "it reads its own hand"
    );
    let rows = place.json(&["config", "print"]);
    assert!(rows.as_array().is_some_and(|rows| rows.len() > 15), "{rows}");

    fs::write(place.file("sojourn.toml"), "[sessions]\nidel = \"30m\"\n").expect("is written");
    for command in [&["config", "check"][..], &["config", "print"], &["serve"], &["user", "list"]] {
        let said = is_wrong(&place, command);
        assert!(said.contains("sessions.idel") && said.contains("sessions.idle"), "{command:?}: {said}");
    }
    fs::write(place.file("sojourn.toml"), "[sessions]\nidle = \"30m\"\n").expect("is written");
    assert!(place.done(&["config", "print"]).contains("idle = \"30m\""));
    let place = place.with("SOJOURN_SESSIONS_IDLE", "soon");
    assert!(is_wrong(&place, &["config", "check"]).contains("sessions.idle"));
    let place = place.with("SOJOURN_SESSIONS_IDLE", "1m").with("SOJOURN_SESSION_LIFETIME", "2h");
    assert!(is_wrong(&place, &["config", "check"]).contains("SOJOURN_SESSIONS_LIFETIME"));
}

#[test]
fn wrong_use_has_a_status_of_its_own() {
    let place = Place::new();
    assert_eq!(place.done(&["version"]), concat!("sojourn ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(place.done(&["--version"]), concat!("sojourn ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(place.done(&["--help"]).contains("Examples:"));
    for command in ["serve", "user", "session", "config", "healthcheck", "backup", "restore", "version"] {
        let help = place.done(&[command, "--help"]);
        assert!(help.contains("Usage:") && (command == "version" || help.contains("Example")), "{command}: {help}");
    }
    for wrong in [&["dance"][..], &["user"], &["user", "show"], &["backup"], &["serve", "--fast"], &["user", "add"]] {
        assert_eq!(place.run(wrong).status, 2, "{wrong:?}");
    }
    let empty = place.run_with(&["user", "set-password", "a@example.com", "--password-stdin"], b"");
    assert_eq!(empty.status, 2, "{}", empty.err);
    assert!(!place.data().exists(), "none of that made a data directory");
}
