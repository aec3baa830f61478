//! Things that happen at the same moment: whatever the order turns out to be, what was ended stays ended.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use sojourn::control::Request;

use crate::harness::{Node, PASSWORD, Visitor};

const ADA: &str = "ada@example.com";
const ROUNDS: usize = 30;

async fn signed_in(node: &Node) -> Visitor {
    let mut visitor = node.visitor();
    assert_eq!(visitor.sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
    visitor
}

/// Writes and looks of one session, one after another at several places, until it is over; and a few more then.
async fn busy(session: &Visitor, over: &AtomicBool) {
    let writers = (0..6).map(|n| async move {
        let mut more = 3;
        for write in n.. {
            // a copy for each: what comes back in place of an ended session is not followed
            let mut visitor = session.clone();
            let status = match write % 3 {
                0 => visitor.patch(&json!({format!("m{n}"): write})).await.status(),
                1 => visitor.form("/pour", &[]).await.status(),
                _ => visitor.get("/profile").await.status(),
            };
            assert!(!status.is_server_error(), "{status}");
            more -= i32::from(over.load(Ordering::Relaxed));
            if more == 0 {
                break;
            }
        }
    });
    join_all(writers).await;
}

#[tokio::test]
async fn a_sign_out_wins_against_every_write_of_the_same_session() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    for round in 0..ROUNDS {
        let session = signed_in(&node).await;
        // past the slack, so that every look asks for a later deadline too
        node.pass(61);
        let (mut leaving, over) = (session.clone(), AtomicBool::new(false));
        let leave = async {
            assert!(leaving.is_signed_in().await);
            assert_eq!(leaving.post("/api/v1/signout", &json!({})).await.status(), StatusCode::NO_CONTENT);
            over.store(true, Ordering::Relaxed);
            // from the answer on, nothing may find it
            assert!(!session.clone().is_signed_in().await, "round {round}");
        };
        tokio::join!(busy(&session, &over), leave);
        assert!(!session.clone().is_signed_in().await && session.clone().session().await.is_none(), "round {round}");
    }
    // touches that waited when the sessions ended have been decided by now
    node.pass(1);
    assert_eq!(of_ada(&node).await, 0);
}

#[tokio::test]
async fn ending_a_session_by_handle_or_by_user_wins_too() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    for round in 0..ROUNDS / 3 {
        let mut session = signed_in(&node).await;
        node.pass(61);
        let handle = session.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
        let over = AtomicBool::new(false);
        let end = async {
            let request = match round % 2 {
                0 => Request::SessionRevoke { id: handle },
                _ => Request::SessionRevokeUser { email: ADA.into() },
            };
            assert!(node.ask(request).await.is_ok());
            over.store(true, Ordering::Relaxed);
            assert!(!session.clone().is_signed_in().await, "round {round}");
        };
        tokio::join!(busy(&session, &over), end);
        assert!(!session.clone().is_signed_in().await, "round {round}");
    }
    assert_eq!(of_ada(&node).await, 0);
}

#[tokio::test]
async fn no_session_of_an_old_password_survives_its_change() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let mut current = PASSWORD.to_owned();
    for round in 0..ROUNDS / 3 {
        let mut owner = node.visitor();
        assert_eq!(owner.sign_in(ADA, &current).await.status(), StatusCode::OK);
        let next = format!("a new password of round {round}");
        let change = json!({"current_password": current, "new_password": next});
        let change = async { owner.post("/api/v1/password", &change).await.status() };
        // whoever holds the old password signs in again and again until it is the old one
        let thieves = join_all((0..3).map(|_| {
            let (node, stolen) = (&node, current.clone());
            async move {
                let mut thieves = Vec::new();
                loop {
                    let mut thief = node.visitor();
                    if thief.sign_in(ADA, &stolen).await.status() != StatusCode::OK {
                        return thieves;
                    }
                    thieves.push(thief);
                }
            }
        }));
        let (changed, thieves) = tokio::join!(change, thieves);
        assert_eq!(changed, StatusCode::NO_CONTENT);
        for mut thief in thieves.into_iter().flatten() {
            assert!(!thief.is_signed_in().await, "round {round}: a session of the old password lives");
        }
        assert!(owner.is_signed_in().await);
        current = next;
        // wrong passwords were counted meanwhile; a wait is not what this is about
        node.pass(3_600);
    }
}

#[tokio::test]
async fn whoever_is_disabled_while_signing_in_stays_out() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    for round in 0..ROUNDS / 3 {
        let disable = async { assert!(node.ask(Request::UserDisable { email: ADA.into() }).await.is_ok()) };
        let attempts = join_all((0..4).map(|_| {
            let mut visitor = node.visitor();
            async move {
                visitor.sign_in(ADA, PASSWORD).await;
                visitor
            }
        }));
        let ((), visitors) = tokio::join!(disable, attempts);
        assert!(node.ask(Request::UserEnable { email: ADA.into() }).await.is_ok());
        for mut visitor in visitors {
            assert!(!visitor.is_signed_in().await, "round {round}: a session from before the account was disabled");
        }
        node.pass(3_600);
    }
    signed_in(&node).await;
}

#[tokio::test]
async fn two_who_change_the_password_at_once_do_not_both_believe_it() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let changes = join_all((0..2).map(|n| {
        let mut visitor = node.visitor();
        async move {
            visitor.sign_in(ADA, PASSWORD).await;
            let new = format!("the password of number {n}");
            let change = json!({"current_password": PASSWORD, "new_password": new});
            (visitor.post("/api/v1/password", &change).await.status(), new)
        }
    }));
    let done = changes.await;
    let won: Vec<_> = done.iter().filter(|(status, _)| *status == StatusCode::NO_CONTENT).collect();
    assert_eq!(won.len(), 1, "{done:?}");
    assert_eq!(node.visitor().sign_in(ADA, &won[0].1).await.status(), StatusCode::OK);
}

/// How many live sessions an operator sees.
async fn of_ada(node: &Node) -> usize {
    let list = node.ask(Request::SessionList { user: Some(ADA.into()), after: None }).await;
    match list {
        Ok(sojourn::control::Response::Sessions { sessions, .. }) => sessions.len(),
        other => panic!("{other:?}"),
    }
}
