//! Messages and keyspace events, on whichever node somebody listens.

use super::{open, talk, three};

#[tokio::test]
async fn messages_reach_subscribers_on_every_node() {
    let cluster = three().await;
    let mut here = talk(&cluster.nodes[0]).await;
    let mut there = talk(&cluster.nodes[2]).await;
    assert_eq!(here.say("SUBSCRIBE news").await, "[$subscribe, $news, :1]");
    there.say("HELLO 3").await;
    assert_eq!(there.say("PSUBSCRIBE n*").await, ">[$psubscribe, $n*, :1]");
    let mut speaker = talk(&cluster.nodes[1]).await;
    assert!(speaker.say("PUBLISH news hello").await.starts_with(':'));
    assert_eq!(here.reply().await, "[$message, $news, $hello]");
    assert_eq!(there.reply().await, ">[$pmessage, $n*, $news, $hello]");
    // a client of RESP3 may say anything meanwhile
    assert_eq!(there.say("SET k v").await, "+OK");
    let told = here.say("GET k").await;
    assert!(told.starts_with("-ERR Can't execute 'get': only (P|S)SUBSCRIBE"), "{told}");
    assert_eq!(here.say("PING").await, "[$pong, $]");
    assert_eq!(here.say("UNSUBSCRIBE news").await, "[$unsubscribe, $news, :0]");
    assert_eq!(here.say("GET k").await, "$v");
}

#[tokio::test]
async fn keyspace_events_are_told_once_somebody_wants_them() {
    let cluster = three().await;
    let mut listener = talk(&cluster.nodes[0]).await;
    assert_eq!(listener.say("CONFIG SET notify-keyspace-events Egx").await, "+OK");
    assert_eq!(
        listener.say("SUBSCRIBE __keyevent@0__:del __keyevent@0__:expired").await,
        "[$subscribe, $__keyevent@0__:del, :1]"
    );
    assert_eq!(listener.reply().await, "[$subscribe, $__keyevent@0__:expired, :2]");
    let mut other = talk(&cluster.nodes[1]).await;
    assert_eq!(other.say("CONFIG GET notify-keyspace-events").await, "[$notify-keyspace-events, $gxE]");
    other.say("SET a 1").await;
    assert_eq!(other.say("DEL a").await, ":1");
    assert_eq!(listener.reply().await, "[$message, $__keyevent@0__:del, $a]");
    assert_eq!(other.say("SET b 1 PX 60000").await, "+OK");
    cluster.pass(60_000);
    assert_eq!(listener.reply().await, "[$message, $__keyevent@0__:expired, $b]");
}

#[tokio::test]
async fn what_is_listened_to_can_be_asked_for() {
    let node = open().await;
    let mut listener = talk(&node).await;
    listener.say("SUBSCRIBE a").await;
    listener.say("PSUBSCRIBE p*").await;
    let mut other = talk(&node).await;
    assert_eq!(other.say("PUBSUB CHANNELS").await, "[$a]");
    assert_eq!(other.say("PUBSUB NUMSUB a b").await, "[$a, :1, $b, :0]");
    assert_eq!(other.say("PUBSUB NUMPAT").await, ":1");
    assert_eq!(other.say("PUBLISH a x").await, ":1");
    drop(listener);
    crate::harness::eventually("nobody listens", async || other.say("PUBSUB CHANNELS").await == "[]").await;
}
