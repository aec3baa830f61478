//! What holds whichever node a client is connected to.

use super::{talk, three};
use crate::harness::{Cluster, eventually};
use crate::wire::Wire;

#[tokio::test]
async fn what_was_written_is_read_on_any_node_at_once() {
    let cluster = three().await;
    let mut clients = Vec::new();
    for node in &cluster.nodes {
        clients.push(talk(node).await);
    }
    for n in 0..60_usize {
        let value = format!("v{n}");
        assert_eq!(clients[n % 3].ask(&["SET", "k", &value, "EX", "100"]).await, "+OK");
        assert_eq!(clients[(n + 1) % 3].say("GET k").await, format!("${value}"));
        assert_eq!(clients[(n + 2) % 3].say("EXISTS k").await, ":1");
    }
}

#[tokio::test]
async fn a_lock_is_held_by_one_whoever_leads() {
    let cluster = three().await;
    let mut held = 0;
    let mut clients = Vec::new();
    for node in &cluster.nodes {
        clients.push(talk(node).await);
    }
    for (n, client) in clients.iter_mut().enumerate() {
        held += usize::from(client.ask(&["SET", "lock", &format!("owner-{n}"), "NX", "PX", "60000"]).await == "+OK");
    }
    assert_eq!(held, 1);
    let leader = cluster.leader().await;
    let next = &cluster.nodes[(leader + 1) % 3];
    let id = next.id().await;
    let moved = cluster.nodes[leader].ask(sojourn::control::Request::ClusterTransfer { id }).await;
    assert!(moved.is_ok(), "{moved:?}");
    eventually("another one leads", async || cluster.leader().await != leader).await;
    for client in &mut clients {
        assert_eq!(client.say("SET lock intruder NX PX 60000").await, "_");
    }
    assert_eq!(clients[2].say("GET lock").await, "$owner-0");
    cluster.pass(60_000);
    let mut again = 0;
    for client in &mut clients {
        again += usize::from(client.say("SET lock next NX PX 60000").await == "+OK");
    }
    assert_eq!(again, 1);
}

/// All that a scan finds whose pages are asked for on one node after another.
async fn scanned(clients: &mut [Wire], count: &str) -> Vec<String> {
    let (mut cursor, mut found, mut page) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let at = page % clients.len();
        let told = clients[at].ask(&["SCAN", &cursor, "COUNT", count]).await;
        let inner = told.strip_prefix("[$").and_then(|told| told.strip_suffix("]]")).expect("a cursor and names");
        let (next, names) = inner.split_once(", [").expect("a cursor and names");
        found.extend(names.split(", ").filter(|name| !name.is_empty()).map(|name| name[1..].to_owned()));
        if next == "0" {
            return found;
        }
        cursor = next.to_owned();
        page += 1;
    }
}

#[tokio::test]
async fn a_scan_goes_from_node_to_node_and_misses_nothing_that_was_there_before_it() {
    let cluster = three().await;
    let mut clients = vec![talk(&cluster.nodes[0]).await, talk(&cluster.nodes[1]).await];
    // another one has just looked at the second node, and found nothing
    assert_eq!(clients[1].say("SCAN 0").await, "[$0, []]");
    for n in 0..40 {
        clients[0].say(&format!("SET k{n} x")).await;
    }
    let mut found = scanned(&mut clients, "7").await;
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 40);
    // one more each time, when the one before it has left lists on both that lack it
    for n in 0..12 {
        clients[1].say("SCAN 0 COUNT 7").await;
        clients[0].say(&format!("SET late{n} x")).await;
        let found = scanned(&mut clients, "7").await;
        assert!(found.contains(&format!("late{n}")), "late{n}");
    }
    // where nothing is written, all of them go on in the lists that there are
    assert_eq!(scanned(&mut clients, "7").await.len(), 52);
    let told = clients[0].ask(&["EVAL", "return redis.call('scan', 0, 'count', 10)", "0"]).await;
    assert!(told.starts_with("[$"), "{told}");
}

#[tokio::test]
async fn a_scan_that_a_script_began_goes_on_outside_of_it() {
    let cluster = three().await;
    let (mut one, mut other) = (talk(&cluster.nodes[0]).await, talk(&cluster.nodes[1]).await);
    assert_eq!(other.say("SCAN 0").await, "[$0, []]");
    for n in 0..40 {
        one.say(&format!("SET k{n} x")).await;
    }
    let told = one.ask(&["EVAL", "return redis.call('scan', 0, 'count', 10)[1]", "0"]).await;
    let mut cursor = told[1..].to_owned();
    let mut found = 0;
    while cursor != "0" {
        let told = other.ask(&["SCAN", &cursor, "COUNT", "10"]).await;
        let (next, names) = told[2..].split_once(", [").expect("a cursor and names");
        found += names.split(", ").count();
        cursor = next.to_owned();
    }
    assert_eq!(found, 30);
}

#[tokio::test]
async fn large_answers_of_one_client_cost_no_other_theirs() {
    let cluster = three().await;
    let follower = &cluster.nodes[(cluster.leader().await + 1) % 3];
    let (mut large, mut small) = (talk(follower).await, talk(follower).await);
    let value = "x".repeat(1_000_000);
    assert_eq!(large.ask(&["SET", "big", &value]).await, "+OK");
    // reads between writes are the leader's to answer
    let mut lines = vec!["SET n 1"];
    lines.extend(["GET big"; 100]);
    lines.extend(["SET n 2", "SETRANGE big 0 y"]);
    let others = async {
        for n in 0..100 {
            assert_eq!(small.say(&format!("SET mine {n}")).await, "+OK");
        }
    };
    let (told, ()) = tokio::join!(large.pipeline(&lines), others);
    assert_eq!((told.len(), told[0].as_str(), told[101].as_str(), told[102].as_str()), (103, "+OK", "+OK", ":1000000"));
    assert!(told[1..101].iter().all(|reply| reply.len() == value.len() + 1));
    // more than one record may hold, in one pipeline: it is written in several
    let lines: Vec<String> = (0..60).map(|n| format!("SETRANGE k{n} 999999 x")).collect();
    let told = large.pipeline(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(told.iter().all(|reply| reply == ":1000000"), "{told:?}");
}

#[tokio::test]
async fn local_reads_are_answered_too() {
    let cluster = Cluster::with(3, &[("redis.listen", "127.0.0.1:0"), ("redis.reads", "local")]).await;
    let mut one = talk(&cluster.nodes[0]).await;
    let mut other = talk(&cluster.nodes[1]).await;
    assert_eq!(one.say("SET k v").await, "+OK");
    assert_eq!(one.say("GET k").await, "$v");
    eventually("the other node has it", async || other.say("GET k").await == "$v").await;
}
