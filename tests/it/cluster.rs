//! Several nodes share everything: what one acknowledged the others honour, and any one of them may go.
//!
//! Each node has a clock of its own that moves only when told. Where a test lets a node grow stale, it moves that clock.

use reqwest::StatusCode;
use serde_json::json;
use sojourn::control::protocol::Role;
use sojourn::control::{Request, Response};

use crate::harness::{Cluster, Node, PASSWORD, Visitor, body, eventually};

/// What `/api/v1/session` says of the data under `n`.
async fn n_of(visitor: &mut Visitor) -> i64 {
    let session = visitor.session().await.expect("there is a session");
    session["data"]["n"].as_i64().unwrap_or(-1)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_on_one_node_is_signed_in_on_all() {
    let cluster = Cluster::start(3).await;
    for (at, node) in cluster.nodes.iter().enumerate() {
        let mut ada = node.visitor();
        ada.sign_up(&format!("ada{at}@example.com")).await;
        for other in &cluster.nodes {
            let mut there = ada.moved_to(other);
            assert_eq!(there.sign_in(&format!("ada{at}@example.com"), PASSWORD).await.status(), StatusCode::OK);
            for third in &cluster.nodes {
                assert!(there.moved_to(third).is_signed_in().await);
            }
        }
    }
    let again = json!({"email": "ada1@example.com", "password": PASSWORD});
    for node in &cluster.nodes {
        assert_eq!(node.visitor().post("/api/v1/signup", &again).await.status(), StatusCode::CONFLICT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_ended_is_dead_everywhere_within_the_bound() {
    let cluster = Cluster::start(3).await;
    let ada = cluster.nodes[0].person("ada@example.com").await;
    for node in &cluster.nodes {
        assert!(ada.moved_to(node).is_signed_in().await);
    }
    assert_eq!(
        ada.moved_to(&cluster.nodes[1]).post("/api/v1/signout", &json!({})).await.status(),
        StatusCode::NO_CONTENT
    );
    cluster.pass(1_000);
    for node in &cluster.nodes {
        assert!(!ada.moved_to(node).is_signed_in().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wrote_reads_it_on_the_next_node() {
    let cluster = Cluster::start(3).await;
    let mut ada = cluster.nodes[0].person("ada@example.com").await;
    for n in 0..60 {
        let (here, there) = (&cluster.nodes[n % 3], &cluster.nodes[(n + 1 + n / 3 % 2) % 3]);
        let mut writer = ada.moved_to(here);
        assert_eq!(writer.patch(&json!({"n": n})).await.status(), StatusCode::OK);
        ada = writer;
        assert_eq!(n_of(&mut ada.moved_to(there)).await, i64::try_from(n).expect("is small"));
    }
    let mark = ada.cookies.iter().find(|(name, _)| name == "sojourn-fresh");
    assert_eq!(mark.map(|(_, value)| value.as_str()), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_marked_for_as_long_as_a_node_may_be_behind_and_not_where_there_is_one() {
    let marks = async |node: &Node| {
        let mut ada = node.visitor();
        ada.sign_up("ada@example.com").await;
        let response = ada.sign_in("ada@example.com", PASSWORD).await;
        let cookies = response.headers().get_all(reqwest::header::SET_COOKIE).iter();
        let cookies: Vec<String> = cookies.filter_map(|cookie| cookie.to_str().ok()).map(str::to_owned).collect();
        let marks: Vec<String> = cookies.into_iter().filter(|cookie| cookie.starts_with("sojourn-fresh=")).collect();
        assert!(!ada.get("/profile").await.headers().contains_key(reqwest::header::SET_COOKIE), "nothing was written");
        marks
    };
    assert!(marks(&Node::start().await).await.is_empty());
    let cluster = Cluster::with(2, &[("cluster.max_staleness", "1500ms"), ("cluster.stale_reads", "3s")]).await;
    let mark = "sojourn-fresh=1; Path=/; Max-Age=6; HttpOnly; SameSite=Lax";
    assert_eq!(marks(&cluster.nodes[1]).await, [mark]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_when_the_leader_stops() {
    let mut cluster = Cluster::start(3).await;
    let ada = cluster.nodes[0].person("ada@example.com").await;
    let leader = cluster.leader().await;
    cluster.nodes[leader].stop().await;
    for (at, node) in cluster.nodes.iter().enumerate().filter(|(at, _)| *at != leader) {
        let mut there = ada.moved_to(node);
        assert!(there.is_signed_in().await);
        assert_eq!(there.patch(&json!({"n": at})).await.status(), StatusCode::OK);
    }
    cluster.nodes[leader].restart().await;
    assert!(ada.moved_to(&cluster.nodes[leader]).is_signed_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_refuses_rather_than_believe_what_may_be_over() {
    let (mut cluster, mut edge) = (Cluster::start(3).await, Cluster::with(3, &[("cluster.stale_reads", "5s")]).await);
    for (cluster, bears) in [(&mut cluster, false), (&mut edge, true)] {
        let mut ada = cluster.nodes[0].person("ada@example.com").await;
        for node in &cluster.nodes {
            assert!(ada.moved_to(node).is_signed_in().await);
        }
        cluster.nodes[1].stop().await;
        cluster.nodes[2].stop().await;
        let left = &cluster.nodes[0];
        ada.cookies.retain(|(name, _)| name != "sojourn-fresh");
        assert!(ada.is_signed_in().await, "what it knows is young enough");
        left.clock.advance(1_000);
        if bears {
            assert!(ada.is_signed_in().await, "and a little older will do there");
            left.clock.advance(5_000);
        }
        let refused = ada.get("/profile").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key(reqwest::header::RETRY_AFTER));
        assert_eq!(ada.patch(&json!({"n": 1})).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(left.visitor().get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(left.visitor().get("/healthz").await.status(), StatusCode::OK);
        cluster.nodes[1].restart().await;
        let back = async || ada.clone().get("/profile").await.status() == StatusCode::OK;
        eventually("two of three are enough", back).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_comes_up_alone_and_waits_for_the_others() {
    let mut cluster = Cluster::start(3).await;
    let ada = cluster.nodes[0].person("ada@example.com").await;
    for node in &mut cluster.nodes {
        node.stop().await;
    }
    cluster.nodes[1].restart().await;
    let mut there = ada.moved_to(&cluster.nodes[1]);
    assert_eq!(there.get("/profile").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(there.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(cluster.nodes[1].first_admin().is_none());
    cluster.nodes[2].restart().await;
    for node in &cluster.nodes[1..] {
        eventually("ready", async || node.visitor().get("/readyz").await.status() == StatusCode::OK).await;
        assert!(ada.moved_to(node).is_signed_in().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows_and_shrinks_and_nobody_is_signed_out() {
    let mut cluster = Cluster::start(1).await;
    let mut ada = cluster.nodes[0].person("ada@example.com").await;
    for _ in 0..2 {
        cluster.grow().await;
        assert!(ada.moved_to(cluster.nodes.last().expect("it is there")).is_signed_in().await);
        assert!(ada.is_signed_in().await);
    }
    // the founder goes first
    let mut last = cluster.nodes.pop().expect("three");
    while !cluster.nodes.is_empty() {
        let mut gone = cluster.nodes.remove(0);
        assert_eq!(gone.ask(Request::ClusterLeave).await, Ok(Response::Done));
        gone.ended().await.expect("it leaves in good order");
        let refused = gone.try_open().await.expect_err("it is no member").to_string();
        assert!(refused.starts_with("this node left its cluster") && refused.contains("hint: "), "{refused}");
        ada = ada.moved_to(&last);
        assert!(ada.is_signed_in().await);
        assert_eq!(ada.patch(&json!({"n": 1})).await.status(), StatusCode::OK);
    }
    let refused = last.ask(Request::ClusterLeave).await.expect_err("somebody has to stay");
    assert!(refused.contains("the last voter cannot go"), "{refused}");
    last.restart().await;
    assert!(ada.moved_to(&last).is_signed_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_stops_and_comes_back_only_under_another_id() {
    let mut cluster = Cluster::start(3).await;
    let ada = cluster.nodes[0].person("ada@example.com").await;
    let mut gone = cluster.nodes.remove(1);
    let (id, token) = (gone.id().await, cluster.nodes[0].token().await);
    assert_eq!(cluster.nodes[1].ask(Request::ClusterRemove { id }).await, Ok(Response::Done));
    let told = gone.ended().await.expect_err("it was not asked").to_string();
    assert!(told.starts_with("this node was removed from its cluster"), "{told}");
    let refused = gone.try_open().await.expect_err("it is no member").to_string();
    assert_eq!(refused, told);
    assert_eq!(cluster.nodes[0].peers().await.len(), 2);
    let back = Node::joining(&token, &[], gone.clock.clone()).await;
    assert!(back.id().await != id && ada.moved_to(&back).is_signed_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_while_it_was_down_finds_out() {
    let mut cluster = Cluster::start(3).await;
    let id = cluster.nodes[2].id().await;
    cluster.nodes[2].stop().await;
    assert_eq!(cluster.nodes[0].ask(Request::ClusterRemove { id }).await, Ok(Response::Done));
    cluster.nodes[2].restart().await;
    let mut anybody = cluster.nodes[2].visitor();
    assert_eq!(anybody.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let told = cluster.nodes[2].ended().await.expect_err("it is no member").to_string();
    assert!(told.starts_with("this node was removed from its cluster"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_no_write_and_signs_nobody_out() {
    let mut cluster = Cluster::start(3).await;
    let mut ada = cluster.nodes[0].person("ada@example.com").await;
    for at in 0..3 {
        let through = cluster.nodes[(at + 1) % 3].url.clone();
        let mut writer = ada.at_url(&through);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let writing = tokio::spawn(async move {
            let (mut n, mut stopped) = (0, stopped);
            while stopped.try_recv().is_err() {
                n += 1;
                let response = writer.patch(&json!({"n": n})).await;
                assert_eq!(
                    response.status(),
                    StatusCode::OK,
                    "write {n}: {}",
                    response.text().await.unwrap_or_default()
                );
                assert_eq!(n_of(&mut writer).await, n);
            }
            (writer, n)
        });
        cluster.nodes[at].restart().await;
        let node = &cluster.nodes[at];
        eventually("ready", async || node.visitor().get("/readyz").await.status() == StatusCode::OK).await;
        stop.send(()).expect("somebody writes");
        let (writer, n) = writing.await.expect("every write is done");
        assert!(n > 0);
        ada = writer.moved_to(node);
        assert_eq!(n_of(&mut ada).await, n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_learn_where_a_node_is_that_moved() {
    let mut cluster = Cluster::start(3).await;
    let ada = cluster.nodes[0].person("ada@example.com").await;
    let at = (cluster.leader().await + 1) % 3;
    let id = cluster.nodes[at].id().await;
    let address = async |node: &Node| {
        let peers = node.peers().await;
        peers.into_iter().find(|peer| peer.id == id && peer.answers).map(|peer| peer.address)
    };
    let before = address(&cluster.nodes[at]).await;
    cluster.nodes[at].set("cluster.listen", "127.0.0.1:0");
    cluster.nodes[at].restart().await;
    let other = &cluster.nodes[(at + 1) % 3];
    eventually("it is found", async || address(other).await.is_some_and(|now| Some(now) != before)).await;
    let node = &cluster.nodes[at];
    eventually("ready", async || node.visitor().get("/readyz").await.status() == StatusCode::OK).await;
    assert!(ada.moved_to(node).is_signed_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_once_and_nobody_founds_a_cluster_with_it() {
    let cluster = Cluster::start(1).await;
    let token = cluster.nodes[0].token().await;
    let mut second = Node::joining(&token, &[], cluster.nodes[0].clock.clone()).await;
    second.restart().await;
    assert_eq!(second.peers().await.len(), 2, "a member ignores its old token");
    let mut late = Node::unopened(&token);
    let refused = late.try_open().await.expect_err("it was used").to_string();
    assert!(refused.contains("hint: "), "{refused}");
    assert!(!late.data().join("log.redb").exists(), "it founded nothing");
    let mut other = Node::start().await;
    other.stop().await;
    other.token = Some(token);
    let refused = other.try_open().await.expect_err("it is another cluster's").to_string();
    assert!(refused.starts_with("the data directory holds a node of another cluster"), "{refused}");
    let roles: Vec<Role> = cluster.nodes[0].peers().await.iter().map(|peer| peer.role).collect();
    assert!(roles.contains(&Role::Leader), "{roles:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_made_on_one_node_is_found_by_commands_on_the_next() {
    let cluster = Cluster::start(2).await;
    for n in 0..20 {
        let email = format!("ada{n}@example.com");
        let session = cluster.nodes[n % 2].person(&email).await;
        let shown = cluster.nodes[(n + 1) % 2].ask(Request::UserShow { email }).await;
        assert!(matches!(shown, Ok(Response::User(_))), "{shown:?}");
        drop(session);
    }
    let response = cluster.nodes[1].visitor().get("/api/v1/session").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(body(response).await["detail"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_missed_how_its_leader_came_follows_it_all_the_same() {
    let mut cluster = Cluster::start(3).await;
    let ada = cluster.nodes[0].person("ada@example.com").await;
    cluster.nodes[2].stop().await;
    let late = cluster.nodes.remove(2);
    cluster.grow().await;
    let id = cluster.nodes[2].id().await;
    assert_eq!(cluster.nodes[0].ask(Request::ClusterTransfer { id }).await, Ok(Response::Done));
    cluster.nodes.push(late);
    cluster.nodes[3].restart().await;
    let node = &cluster.nodes[3];
    eventually("ready", async || node.visitor().get("/readyz").await.status() == StatusCode::OK).await;
    assert!(ada.moved_to(node).is_signed_in().await);
    assert_eq!(node.peers().await.len(), 4);
}
