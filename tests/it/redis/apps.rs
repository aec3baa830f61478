//! What an app sees, and how it is told from others.

use sojourn::control::Request;
use sojourn::control::protocol::{NewApp, Response};

use super::{PASSWORD, locked, open, talk, three};
use crate::harness::Node;
use crate::wire::Wire;

/// Adds an app; answers its password.
async fn add(node: &Node, name: &str, prefix: &str) -> String {
    let app = NewApp { name: name.into(), prefix: prefix.into(), may_sign_in: false, share: 50 };
    match node.ask(Request::AppAdd(app)).await {
        Ok(Response::AppSecret { password, .. }) => password.0,
        other => panic!("an app was added: {other:?}"),
    }
}

async fn known(node: &Node, name: &str, password: &str) -> Wire {
    let mut client = talk(node).await;
    assert_eq!(client.ask(&["AUTH", name, password]).await, "+OK");
    client
}

#[tokio::test]
async fn an_app_sees_its_own_keys_and_no_others() {
    let node = locked().await;
    let password = add(&node, "blog", "blog:").await;
    let mut all = talk(&node).await;
    assert_eq!(all.ask(&["AUTH", PASSWORD]).await, "+OK");
    assert_eq!(all.say("MSET blog:1 a shop:1 b").await, "+OK");
    let mut app = known(&node, "blog", &password).await;
    assert_eq!(app.say("ACL WHOAMI").await, "$blog");
    assert_eq!(app.say("GET blog:1").await, "$a");
    const NOPERM: &str = "-NOPERM this user has no permissions to access one of the keys used as arguments";
    for line in [
        "GET shop:1",
        "SET shop:1 x",
        "DEL blog:1 shop:1",
        "RENAME blog:1 shop:2",
        "WATCH shop:1",
        "MEMORY USAGE shop:1",
    ] {
        assert_eq!(app.say(line).await, NOPERM, "{line}");
    }
    assert_eq!(app.ask(&["EVAL", "return redis.call('get', KEYS[1])", "1", "shop:1"]).await, NOPERM);
    let sneaky = app.ask(&["EVAL", "return redis.call('get', 'shop:1')", "0"]).await;
    assert!(sneaky.starts_with('-'), "{sneaky}");
    assert_eq!(app.pipeline(&["KEYS *", "DBSIZE", "RANDOMKEY"]).await, ["[$blog:1]", ":1", "$blog:1"]);
    assert_eq!(app.say("SCAN 0 COUNT 100").await, "[$0, [$blog:1]]");
    assert_eq!(app.pipeline(&["MULTI", "SET shop:1 x", "EXEC"]).await[1], NOPERM);
    assert!(!app.say("CLIENT LIST").await.contains("user=default"));
    assert_eq!(app.say("FLUSHALL").await, "+OK");
    assert_eq!(all.say("KEYS *").await, "[$shop:1]");
}

#[tokio::test]
async fn an_app_hears_of_its_own_keys_alone() {
    let node = locked().await;
    let password = add(&node, "blog", "blog:").await;
    let mut all = talk(&node).await;
    all.ask(&["AUTH", PASSWORD]).await;
    assert_eq!(all.say("CONFIG SET notify-keyspace-events K$").await, "+OK");
    let mut app = known(&node, "blog", &password).await;
    // what it wants is told besides
    assert_eq!(app.say("CONFIG SET notify-keyspace-events Eg").await, "+OK");
    assert_eq!(app.say("CONFIG GET notify-keyspace-events").await, "[$notify-keyspace-events, $g$KE]");
    app.say("PSUBSCRIBE *").await;
    all.pipeline(&["SET shop:1 a", "DEL shop:1", "SET blog:1 a", "PUBLISH chat hello"]).await;
    assert_eq!(app.reply().await, "[$pmessage, $*, $__keyspace@0__:blog:1, $set]");
    assert_eq!(app.reply().await, "[$pmessage, $*, $__keyevent@0__:set, $blog:1]");
    // channels are each app's own, and what is said there of keys is told to nobody else
    let password_of_shop = add(&node, "shop", "shop:").await;
    let mut shop = known(&node, "shop", &password_of_shop).await;
    shop.pipeline(&["SUBSCRIBE chat"]).await;
    assert_eq!(all.say("PUBSUB CHANNELS").await, "[]");
    let mut same = known(&node, "blog", &password).await;
    let told = same.pipeline(&["PUBLISH __keyevent@0__:expired shop:1", "PUBLISH chat hi"]).await;
    assert_eq!(told, [":1", ":1"]);
    assert_eq!(app.reply().await, "[$pmessage, $*, $__keyevent@0__:expired, $shop:1]");
    assert_eq!(app.reply().await, "[$pmessage, $*, $chat, $hi]");
    let mut other = known(&node, "shop", &password_of_shop).await;
    assert_eq!(other.say("PUBLISH chat all").await, ":1");
    assert_eq!(shop.reply().await, "[$message, $chat, $all]");
}

#[tokio::test]
async fn an_app_that_is_removed_or_rotated_is_cut_off_on_every_node() {
    let cluster = three().await;
    let password = add(&cluster.nodes[0], "blog", "blog:").await;
    let mut silent = known(&cluster.nodes[1], "blog", &password).await;
    let mut busy = known(&cluster.nodes[2], "blog", &password).await;
    assert_eq!(busy.say("SET blog:1 a").await, "+OK");
    let other = add(&cluster.nodes[0], "shop", "shop:").await;
    assert_eq!(silent.say("GET blog:1").await, "$a");
    let mut shop = known(&cluster.nodes[0], "shop", &other).await;
    let rotated = cluster.nodes[0].ask(Request::AppRotate { name: "blog".into() }).await;
    assert!(rotated.is_ok(), "{rotated:?}");
    assert_eq!((silent.until_closed().await, busy.until_closed().await), (String::new(), String::new()));
    assert_eq!(shop.say("PING").await, "+PONG");
    let told = talk(&cluster.nodes[0]).await.ask(&["AUTH", "blog", &password]).await;
    assert!(told.starts_with("-WRONGPASS"), "{told}");
    assert!(cluster.nodes[1].ask(Request::AppRemove { name: "shop".into() }).await.is_ok());
    assert_eq!(shop.until_closed().await, "");
}

#[tokio::test]
async fn nobody_guesses_fast() {
    let node = locked().await;
    let begun = std::time::Instant::now();
    let mut client = talk(&node).await;
    for _ in 0..12 {
        assert!(client.say("AUTH wrong-password").await.starts_with("-WRONGPASS"));
    }
    assert!(begun.elapsed() >= std::time::Duration::from_secs(2));
    assert_eq!(client.ask(&["AUTH", PASSWORD]).await, "+OK");
}

#[tokio::test]
async fn an_app_may_prove_itself_where_nobody_must() {
    let node = open().await;
    let password = add(&node, "blog", "blog:").await;
    let mut app = talk(&node).await;
    assert_eq!(app.say("SET shop:1 x").await, "+OK");
    assert!(app.ask(&["HELLO", "3", "AUTH", "blog", &password]).await.starts_with("{$server"));
    assert!(app.say("GET shop:1").await.starts_with("-NOPERM"));
}

#[tokio::test]
async fn what_was_just_said_of_apps_and_events_counts_on_any_node() {
    let cluster = three().await;
    let mut clients = Vec::new();
    for node in &cluster.nodes {
        clients.push((talk(node).await, talk(node).await));
    }
    for n in 0..60 {
        let (here, there) = (n % 3, (n + 1) % 3);
        let events = ["Kg", "$E"][n % 2];
        assert_eq!(clients[here].0.say(&format!("CONFIG SET notify-keyspace-events {events}")).await, "+OK");
        let told = clients[there].0.say("CONFIG GET notify-keyspace-events").await;
        assert_eq!(told, ["[$notify-keyspace-events, $gK]", "[$notify-keyspace-events, $$E]"][n % 2]);
        let name = format!("app{n}");
        let password = add(&cluster.nodes[here], &name, &format!("{name}:")).await;
        assert_eq!(clients[there].1.ask(&["AUTH", &name, &password]).await, "+OK", "{n}");
    }
}
