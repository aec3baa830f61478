//! What happens to people's sessions is told on every node, in the order in which it happened, to whoever may know.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sojourn::control::protocol::NewApp;
use sojourn::control::{self};

use crate::harness::{Cluster, Node, Visitor, body};

/// How long an event may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// An app's password.
async fn app(node: &Node) -> String {
    let new = NewApp { name: "chat".into(), prefix: "chat:".into(), may_sign_in: false, share: 50 };
    match node.ask(control::Request::AppAdd(new)).await {
        Ok(control::Response::AppSecret { password, .. }) => password.0,
        other => panic!("an app was to be added: {other:?}"),
    }
}

/// A service that listens, and what it was sent and has not read yet.
struct Ear {
    response: Response,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Heard {
    id: String,
    event: String,
    data: Value,
}

fn request(node: &Node, password: &str) -> RequestBuilder {
    let http = reqwest::Client::builder().build().expect("a client");
    http.get(format!("{}/api/v1/events", node.url)).basic_auth("chat", Some(password))
}

impl Ear {
    async fn at(node: &Node, password: &str) -> Self {
        Self::of(request(node, password)).await
    }

    async fn after(node: &Node, password: &str, id: &str) -> Self {
        Self::of(request(node, password).header("last-event-id", id)).await
    }

    async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the node answers");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; `None` when the node ends the stream.
    async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n").map(|(f, r)| (f.to_owned(), r.to_owned())) {
                self.text = rest;
                let field = |name: &str| {
                    let line = frame.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().trim_start_matches(':').trim().to_owned()
                };
                if field("event").is_empty() {
                    continue;
                }
                let data = serde_json::from_str(&field("data")).expect("JSON");
                return Some(Heard { id: field("id"), event: field("event"), data });
            }
            let piece = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("an event comes in time");
            self.text += std::str::from_utf8(&piece.ok()??).expect("text");
        }
    }

    /// The name to come back with, which is told first.
    async fn place(&mut self) -> String {
        while !self.text.contains("\n\n") {
            let piece = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("it comes in time");
            self.text += std::str::from_utf8(&piece.expect("it is there").expect("it goes on")).expect("text");
        }
        self.text.trim().strip_prefix("id:").expect("a name").trim().to_owned()
    }

    async fn event(&mut self) -> Heard {
        self.next().await.expect("the stream goes on")
    }
}

async fn handle(person: &mut Visitor) -> String {
    person.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_tells_the_same_and_goes_on_where_another_broke_off() {
    let cluster = Cluster::start(3).await;
    let password = app(&cluster.nodes[0]).await;
    let [mut one, mut two] = [Ear::at(&cluster.nodes[1], &password).await, Ear::at(&cluster.nodes[2], &password).await];
    let mut ada = cluster.nodes[0].person("ada@example.com").await;
    let session = handle(&mut ada).await;
    let began = one.event().await;
    assert_eq!((began.event.as_str(), began.data["session"].as_str()), ("signin", Some(session.as_str())));
    assert_eq!(two.event().await, began);
    ada.post("/api/v1/signout", &json!({})).await;
    let ended = one.event().await;
    assert_eq!((ended.event.as_str(), &ended.data["session"]), ("signout", &began.data["session"]));
    assert_eq!(ended.data["user"], began.data["user"]);
    assert_eq!(two.event().await, ended);
    let mut back = Ear::after(&cluster.nodes[0], &password, &began.id).await;
    assert_eq!(back.event().await, ended, "what was missed comes first");
    let mut lost = Ear::after(&cluster.nodes[0], &password, "1000000-0").await;
    assert_eq!(lost.event().await.event, "lost", "nothing happened yet that has this name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_heard_nothing_yet_can_go_on_elsewhere_too() {
    let cluster = Cluster::start(2).await;
    let password = app(&cluster.nodes[0]).await;
    let place = Ear::at(&cluster.nodes[0], &password).await.place().await;
    cluster.nodes[0].person("ada@example.com").await;
    let mut back = Ear::after(&cluster.nodes[1], &password, &place).await;
    assert_eq!(back.event().await.event, "signin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_from_elsewhere_and_a_deadline_are_told_in_time() {
    let mut node = Node::start().await;
    let password = app(&node).await;
    let mut ear = Ear::at(&node, &password).await;
    node.person("ada@example.com").await;
    assert_eq!(ear.event().await.event, "signin");
    node.ask(control::Request::SessionRevokeUser { email: "ada@example.com".into() }).await.expect("revoked");
    assert_eq!(ear.event().await.event, "revoked");
    let mut eve = node.person("eve@example.com").await;
    assert_eq!(ear.event().await.event, "signin");
    let made = eve.post("/api/v1/tokens", &json!({"name": "a", "scopes": ["sessions"]})).await;
    let token = body(made).await["token"].as_str().expect("a token").to_owned();
    let path = format!("/api/v1/sessions/{}", handle(&mut eve).await);
    let ended = node.visitor().request(Method::DELETE, &path).bearer_auth(token).send().await.expect("an answer");
    assert!(ended.status().is_success());
    assert_eq!(ear.event().await.event, "revoked", "by a token is from elsewhere, too");
    node.person("bob@example.com").await;
    let began = ear.event().await;
    node.pass(3_600 + 61);
    let expired = ear.event().await;
    assert_eq!((expired.event.as_str(), &expired.data["session"]), ("expired", &began.data["session"]));
    node.stop().await;
    assert_eq!(ear.next().await, None, "a node that stops ends the stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_apps_and_those_who_administer_are_told() {
    let node = Node::start().await;
    let password = app(&node).await;
    let status = async |request: RequestBuilder| request.send().await.expect("the node answers").status();
    let bare = || reqwest::Client::new().get(format!("{}/api/v1/events", node.url));
    let wrong = [bare(), bare().basic_auth("chat", Some("wrong")), bare().bearer_auth("sjt_wrong")];
    for request in wrong {
        let answer = request.send().await.expect("the node answers");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let ways = answer.headers().get_all(WWW_AUTHENTICATE).iter().map(|way| way.to_str().expect("ASCII"));
        let ways: Vec<&str> = ways.filter_map(|way| way.split(' ').next()).collect();
        assert_eq!(ways, ["Bearer", "Basic"]);
    }
    let ada = node.person("ada@example.com").await;
    assert_eq!(status(ada.request(Method::GET, "/api/v1/events")).await, StatusCode::UNAUTHORIZED);
    let odd = request(&node, &password).header("last-event-id", "nonsense");
    assert_eq!(status(odd).await, StatusCode::BAD_REQUEST);
}
