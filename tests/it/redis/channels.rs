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
async fn a_flush_tells_nobody_of_each_key() {
    let node = open().await;
    let (mut listener, mut client) = (talk(&node).await, talk(&node).await);
    client.say("CONFIG SET notify-keyspace-events EA").await;
    listener.say("PSUBSCRIBE __keyevent@*").await;
    for (key, flush) in [("a", "FLUSHDB"), ("b", "FLUSHALL"), ("c", "FLUSHDB ASYNC")] {
        client.say(&format!("SET {key} 1")).await;
        assert_eq!(client.say(flush).await, "+OK");
        assert_eq!(client.say(&format!("EXISTS {key}")).await, ":0");
        assert_eq!(listener.reply().await, format!("[$pmessage, $__keyevent@*, $__keyevent@0__:set, ${key}]"));
    }
    client.pipeline(&["SET d 1", "DEL d"]).await;
    assert_eq!(listener.reply().await, "[$pmessage, $__keyevent@*, $__keyevent@0__:set, $d]");
    assert_eq!(listener.reply().await, "[$pmessage, $__keyevent@*, $__keyevent@0__:del, $d]");
    // what a flush is made of is no command
    for line in ["flushed d", "FLUSHED d"] {
        assert!(client.say(line).await.starts_with("-ERR unknown command"));
    }
    let told = client.ask(&["EVAL", "return redis.call('flushed', KEYS[1])", "1", "d"]).await;
    assert!(told.starts_with("-ERR Unknown Redis command called from script"), "{told}");
}

#[tokio::test]
async fn a_value_that_is_past_when_it_is_written_was_there_and_has_ended() {
    let node = open().await;
    let (mut listener, mut client) = (talk(&node).await, talk(&node).await);
    client.pipeline(&["SET k v", "CONFIG SET notify-keyspace-events EA"]).await;
    listener.say("PSUBSCRIBE __keyevent@*").await;
    assert_eq!(client.pipeline(&["SET k w EXAT 1", "GET k"]).await, ["+OK", "_"]);
    for event in ["set", "expire", "expired"] {
        assert_eq!(listener.reply().await, format!("[$pmessage, $__keyevent@*, $__keyevent@0__:{event}, $k]"));
    }
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
