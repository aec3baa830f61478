//! Examples: `cluster/examples` as they are shipped, each started beside a node, and one session for all of them.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{are_wanted, installed};
use crate::harness::{PASSWORD, Visitor, body, eventually};
use crate::process::cluster::{free_address, place, until};
use crate::program::{Place, Program};

const SECRET: &str = "a secret that the apps and their nodes share";
const ADA: &str = "ada@example.com";

/// A service that runs beside the node; ends with its test.
struct Example {
    process: Child,
    url: String,
}

impl Drop for Example {
    fn drop(&mut self) {
        // most often it runs still
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Example {
    fn start(mut command: Command, node: &Program, redis: &str) -> Self {
        let door = free_address();
        let (_, port) = door.rsplit_once(':').expect("an address has a port");
        command.envs([("SOJOURN", node.url.as_str()), ("REDIS", redis), ("SECRET", SECRET), ("PORT", port)]);
        command.env("NODE_PATH", installed().join("node_modules")).env("PYTHONDONTWRITEBYTECODE", "1");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.unwrap_or_else(|e| panic!("{command:?}: {e}\nhint: tests/all installs what it needs"));
        let example = Self { process, url: format!("http://127.0.0.1:{port}") };
        until("the service listens", || TcpStream::connect(&door).is_ok());
        example
    }

    /// What it says of this person: whom it sees and what is in the session; nobody is led to the login page.
    async fn says(&self, person: &Visitor) -> Option<Value> {
        let answer = person.at_url(&self.url).get("/").await;
        match answer.status() {
            StatusCode::OK => {
                let said = body(answer).await;
                (!said["user"].is_null()).then_some(said)
            }
            StatusCode::SEE_OTHER => {
                let location = answer.headers()[LOCATION].to_str().expect("is ASCII");
                assert!(location.contains("/login?next=http%3A%2F%2F127.0.0.1"), "{location}");
                None
            }
            other => panic!("{} answers {other}: {}", self.url, answer.text().await.unwrap_or_default()),
        }
    }

    /// Sends a form that is to lead back.
    async fn sends(&self, person: &mut Visitor, path: &str, form: &[(&str, &str)]) {
        let mut there = person.at_url(&self.url);
        let request = there.request(Method::POST, path).form(form);
        let answer = there.send(request).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        // express-session has saved when the last byte comes, and not before
        answer.bytes().await.expect("it ends");
        person.cookies = there.cookies;
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/examples").join(name)
}

fn program(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(args);
    command
}

/// A node whose Redis door knows an app, and all the services.
struct Street {
    _place: Place,
    node: Program,
    express: Example,
    flask: Example,
    go: Example,
    java: Example,
}

impl Street {
    fn open() -> Self {
        let door = free_address();
        let place = place().with("SOJOURN_REDIS_LISTEN", &door).with("SOJOURN_SESSIONS_SECRETS", SECRET);
        let home = place.start();
        let app = |name: &str, more: &[&str]| {
            let added = place.json(&[&["app", "add", name, "--prefix", "sess:"], more].concat());
            format!("redis://{name}:{}@{door}", added["password"].as_str().expect("it has a password"))
        };
        let (express, flask) = (app("express", &["--may-sign-in"]), app("flask", &[]));
        let script = |name: &str| file(name).display().to_string();
        let python = installed().join("venv/bin/python").display().to_string();
        let node = super::node().display().to_string();
        let go = installed().join("profile").display().to_string();
        Self {
            express: Example::start(program(&node, &[&script("express.cjs")]), &home, &express),
            flask: Example::start(program(&python, &[&script("flask_app.py")]), &home, &flask),
            go: Example::start(program(&go, &[]), &home, ""),
            java: Example::start(program("java", &["-Xshare:auto", &script("Profile.java")]), &home, ""),
            _place: place,
            node: home,
        }
    }

    fn all(&self) -> [&Example; 4] {
        [&self.express, &self.flask, &self.go, &self.java]
    }

    /// Whether every service sees this person, or none does.
    async fn agree(&self, person: &Visitor, id: Option<&str>) {
        for example in self.all() {
            let seen = example.says(&person.clone().a_while_later()).await;
            let seen = seen.as_ref().and_then(|said| said["user"]["id"].as_str());
            assert_eq!(seen, id, "{}", example.url);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_opens_all_doors_and_ends_at_each() {
    if !are_wanted() {
        return;
    }
    let street = Street::open();
    let mut ada = street.node.visitor();
    ada.sign_up(ADA).await;
    street.agree(&ada, None).await;

    // signed in on our pages is signed in there
    ada.sign_in(ADA, PASSWORD).await;
    let id = body(ada.get("/profile").await).await["id"].as_str().expect("an id").to_owned();
    street.agree(&ada, Some(&id)).await;
    assert_eq!(street.express.says(&ada).await.expect("it sees her")["user"]["email"], ADA);

    // what apps keep, all show
    street.express.sends(&mut ada, "/cart", &[("beer", "porter")]).await;
    street.express.sends(&mut ada, "/cart", &[("beer", "stout")]).await;
    street.flask.sends(&mut ada, "/notes", &[("note", "dark")]).await;
    let kept = json!({"cart": ["porter", "stout"], "notes": ["dark"]});
    let session = ada.session().await.expect("she is signed in");
    assert_eq!((&session["data"], &session["authenticated"]), (&kept, &json!(true)));
    assert_eq!(street.express.says(&ada).await.expect("it sees her")["data"], kept);
    assert_eq!(street.flask.says(&ada).await.expect("it sees her")["data"], kept);

    // its sign-out ends ours, in each app that has one, and ours ends theirs
    for out in [&street.express, &street.flask] {
        let kept = ada.clone();
        out.sends(&mut ada, "/logout", &[]).await;
        street.agree(&kept, None).await;
        assert!(!kept.a_while_later().is_signed_in().await);
        ada = street.node.visitor();
        ada.sign_in(ADA, PASSWORD).await;
        street.agree(&ada, Some(&id)).await;
    }
    let kept = ada.clone();
    assert_eq!(ada.post("/api/v1/signout", &json!({})).await.status(), StatusCode::NO_CONTENT);
    street.agree(&kept, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signed_in_at_an_app_that_may_is_signed_in_here() {
    if !are_wanted() {
        return;
    }
    let street = Street::open();
    let mut ada = street.node.visitor();
    ada.sign_up(ADA).await;
    street.express.sends(&mut ada, "/login", &[("email", ADA), ("password", PASSWORD)]).await;
    let profile = ada.clone().a_while_later().get("/profile").await;
    assert_eq!(profile.status(), StatusCode::OK);
    let profile = body(profile).await;
    assert_eq!(profile["email"], ADA);
    let id = profile["id"].as_str().expect("an id");
    street.agree(&ada, Some(id)).await;
    // but the account is opened by a password given to us alone
    assert_eq!(ada.clone().page("/account").await.0, StatusCode::SEE_OTHER);

    // her account lists it, and ends it with all others
    let mut mine = street.node.visitor();
    mine.sign_in(ADA, PASSWORD).await;
    let listed = async || body(mine.clone().get("/api/v1/sessions").await).await;
    eventually("it is listed", async || listed().await.as_array().is_some_and(|list| list.len() == 2)).await;
    let (status, page) = mine.clone().page("/account").await;
    assert_eq!(status, StatusCode::OK);
    for session in listed().await.as_array().expect("a list") {
        assert!(page.contains(session["handle"].as_str().expect("a handle")), "{session} is not on {page}");
    }
    let request = mine.request(Method::DELETE, "/api/v1/sessions?others=true");
    assert!(mine.send(request).await.status().is_success());
    street.agree(&ada, None).await;
    assert!(!ada.a_while_later().is_signed_in().await);
    assert!(mine.is_signed_in().await);
}
