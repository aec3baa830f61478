//! Witness: knows what a node has acknowledged, and says what of it is missing.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{PASSWORD, Visitor, body};
use crate::program::Program;

/// Sessions and accounts that must be there, and sessions that must not.
#[derive(Default)]
pub struct Witness {
    /// Address and password.
    pub people: Vec<(String, String)>,
    /// A live session and its counter.
    pub live: Vec<(Visitor, u64)>,
    pub dead: Vec<Visitor>,
}

impl Witness {
    /// Makes people do a bit of everything.
    pub async fn of_some_life(node: &Program) -> Self {
        let mut witness = Self::default();
        for name in ["ada", "bob"] {
            witness.person(node, &format!("{name}@example.com")).await;
        }
        let mut leaving = witness.live[0].0.clone();
        witness.sign_in(node, 0).await;
        assert_eq!(leaving.post("/api/v1/signout", &json!({})).await.status(), StatusCode::NO_CONTENT);
        let left = witness.live.remove(0).0;
        witness.dead.push(left);
        witness.change_password(node).await;
        witness.count().await;
        witness
    }

    /// Somebody signs up and in.
    pub async fn person(&mut self, node: &Program, email: &str) {
        node.visitor().sign_up(email).await;
        self.people.push((email.to_owned(), PASSWORD.to_owned()));
        self.sign_in(node, self.people.len() - 1).await;
    }

    async fn sign_in(&mut self, node: &Program, who: usize) {
        let (email, password) = &self.people[who];
        let mut visitor = node.visitor();
        assert_eq!(visitor.sign_in(email, password).await.status(), StatusCode::OK);
        self.live.push((visitor, 0));
    }

    /// The second person changes the password in a new session, which ends the one before.
    async fn change_password(&mut self, node: &Program) {
        let at = self.live.len();
        self.sign_in(node, 1).await;
        let new = "another horse battery";
        let words = json!({"current_password": PASSWORD, "new_password": new});
        assert_eq!(self.live[at].0.post("/api/v1/password", &words).await.status(), StatusCode::NO_CONTENT);
        self.people[1].1 = new.to_owned();
        self.dead.push(self.live.remove(0).0);
    }

    /// Everybody who is signed in counts one on.
    pub async fn count(&mut self) {
        for (visitor, count) in &mut self.live {
            let request = visitor.request(Method::PATCH, "/api/v1/session").json(&json!({"count": *count + 1}));
            assert_eq!(visitor.send(request).await.status(), StatusCode::OK);
            *count += 1;
        }
    }

    /// What is missing at this node, or there that must not be.
    pub async fn missing(&self, node: &Program) -> Vec<String> {
        let mut missing = Vec::new();
        for (email, password) in &self.people {
            let answer = node.visitor().sign_in(email, password).await.status();
            if answer != StatusCode::OK {
                missing.push(format!("{email} cannot sign in: {answer}"));
            }
        }
        for (visitor, count) in &self.live {
            let response = visitor.at_url(&node.url).get("/api/v1/session").await;
            if response.status() != StatusCode::OK {
                missing.push(format!("a session is {}", response.status()));
                continue;
            }
            let session = body(response).await;
            if session["data"]["count"] != json!(*count) || session["authenticated"] != true {
                missing.push(format!("a session with counter {count} is {session}"));
            }
        }
        for visitor in &self.dead {
            if visitor.at_url(&node.url).is_signed_in().await {
                missing.push("a dead session lives".into());
            }
        }
        missing
    }

    /// Everything is there.
    pub async fn finds_all(&self, node: &Program) {
        let missing = self.missing(node).await;
        assert!(missing.is_empty(), "{missing:?}\n{}", node.log());
    }
}
