//! What people and monitors look at: `INFO`, `CLIENT`, `CONFIG`, `COMMAND`.

use super::{open, talk};
use crate::harness::eventually;
use crate::wire::Wire;

/// A figure of `INFO`.
async fn figure(client: &mut Wire, section: &str, name: &str) -> u64 {
    let told = client.ask(&["INFO", section]).await;
    let line = told.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("{name} is missing in {told}")).parse().expect("a number")
}

/// What `CLIENT LIST` shows of the connection of this name.
async fn line(client: &mut Wire, name: &str) -> String {
    let told = client.say("CLIENT LIST").await;
    let line = told.lines().find(|line| line.contains(&format!(" name={name} ")));
    line.unwrap_or_else(|| panic!("{name} is missing in {told}")).to_owned()
}

#[tokio::test]
async fn commands_and_errors_are_counted() {
    let node = open().await;
    let (mut client, mut other) = (talk(&node).await, talk(&node).await);
    let commands = figure(&mut client, "stats", "total_commands_processed").await;
    let errors = figure(&mut client, "stats", "total_error_replies").await;
    other.pipeline(&["SET a 1", "GET a", "NOSUCH", "PING"]).await;
    // what somebody said who has gone was said
    drop(other);
    eventually("it is gone", async || client.say("CLIENT LIST").await.lines().count() == 1).await;
    assert!(figure(&mut client, "stats", "total_commands_processed").await >= commands + 6);
    assert_eq!(figure(&mut client, "stats", "total_error_replies").await, errors + 1);
    let before = figure(&mut client, "stats", "total_commands_processed").await;
    client.pipeline(&["GET a", "GET a", "GET a"]).await;
    assert_eq!(figure(&mut client, "stats", "total_commands_processed").await, before + 4, "and INFO itself");
    figure(&mut client, "stats", "instantaneous_ops_per_sec").await;
}

#[tokio::test]
async fn keys_that_end_are_counted_beside_all_of_them() {
    let node = open().await;
    let mut client = talk(&node).await;
    client.pipeline(&["SET a 1", "SET b 1 EX 100", "SADD c x", "SELECT 3", "SET d 1 EX 100"]).await;
    let told = client.say("INFO keyspace").await;
    let lines: Vec<&str> = told.lines().skip(1).collect();
    assert_eq!(lines, ["db0:keys=3,expires=1,avg_ttl=0", "db3:keys=1,expires=1,avg_ttl=0"]);
    node.pass(100);
    let told = client.say("INFO keyspace").await;
    assert_eq!(told.lines().skip(1).collect::<Vec<_>>(), ["db0:keys=2,expires=0,avg_ttl=0"]);
    // more than are counted on the spot
    for lot in 0..6 {
        let mset = (0..500).fold("MSET".to_owned(), |line, n| format!("{line} k{lot}-{n} x"));
        client.say(&mset).await;
    }
    let told = client.say("INFO keyspace").await;
    let lines: Vec<&str> = told.lines().skip(1).collect();
    assert_eq!(lines, ["db0:keys=2,expires=0,avg_ttl=0", "db3:keys=3000,expires=0,avg_ttl=0"]);
}

#[tokio::test]
async fn a_client_is_shown_with_what_it_last_said() {
    let node = open().await;
    let (mut busy, mut other) = (talk(&node).await, talk(&node).await);
    busy.say("CLIENT SETNAME busy").await;
    assert!(line(&mut other, "busy").await.contains(" cmd=client|setname "));
    eventually("it idles", async || !line(&mut other, "busy").await.contains(" idle=0 ")).await;
    busy.say("GET x").await;
    let shown = line(&mut other, "busy").await;
    assert!(shown.contains(" idle=0 ") && shown.contains(" multi=-1 ") && shown.contains(" cmd=get "), "{shown}");
    busy.pipeline(&["MULTI", "SET x 1", "INCR x"]).await;
    let shown = line(&mut other, "busy").await;
    assert!(shown.contains(" flags=x ") && shown.contains(" multi=2 ") && shown.contains(" cmd=incr "), "{shown}");
    busy.say("EXEC").await;
    let shown = line(&mut other, "busy").await;
    assert!(shown.contains(" multi=-1 ") && shown.contains(" cmd=exec "), "{shown}");
    busy.say("SUBSCRIBE news").await;
    let shown = line(&mut other, "busy").await;
    assert!(shown.contains(" flags=P ") && shown.contains(" sub=1 ") && shown.contains(" cmd=subscribe "), "{shown}");
    assert!(other.say("CLIENT INFO").await.contains(" cmd=client|info "));
}

#[tokio::test]
async fn connections_are_ended_by_their_type_and_by_a_user_that_there_is() {
    let node = open().await;
    let (mut client, mut listener) = (talk(&node).await, talk(&node).await);
    assert_eq!(client.say("CLIENT KILL TYPE pubsub").await, ":0");
    listener.say("SUBSCRIBE news").await;
    assert_eq!(client.say("CLIENT KILL TYPE pubsub").await, ":1");
    assert_eq!(listener.try_reply().await, None);
    assert_eq!(client.say("CLIENT KILL TYPE replica").await, ":0");
    assert_eq!(client.say("CLIENT KILL TYPE nosuch").await, "-ERR Unknown client type 'nosuch'");
    assert_eq!(client.say("CLIENT KILL USER nobody").await, "-ERR No such user 'nobody'");
    assert_eq!(client.say("CLIENT KILL USER default").await, ":0", "whoever says it is spared");
}

#[tokio::test]
async fn a_setting_may_be_set_to_what_it_is_and_is_shown_by_the_name_it_was_asked_by() {
    let node = open().await;
    let mut client = talk(&node).await;
    assert_eq!(client.say("CONFIG SET timeout 0").await, "+OK");
    assert_eq!(client.say("CONFIG SET timeout 0 appendonly yes").await, "+OK");
    let failed =
        |name: &str, why: &str| format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
    let twice = "CONFIG SET timeout 0 appendonly yes TIMEOUT 0";
    assert_eq!(client.say(twice).await, failed("TIMEOUT", "duplicate parameter"));
    let twice = "CONFIG SET notify-keyspace-events KEA notify-keyspace-events A";
    assert_eq!(client.say(twice).await, failed("notify-keyspace-events", "duplicate parameter"));
    assert_eq!(client.say("CONFIG SET timeout 7").await, failed("timeout", "can't set immutable config"));
    assert_eq!(client.say("CONFIG SET databases 16").await, failed("databases", "can't set immutable config"));
    assert_eq!(client.say("CONFIG SET timeout 0 x").await, "-ERR syntax error");
    assert_eq!(client.say("CONFIG GET NOTIFY-keyspace-events").await, "[$NOTIFY-keyspace-events, $]");
    assert_eq!(client.say("CONFIG GET NOTIFY-*").await, "[$notify-keyspace-events, $]");
    assert_eq!(client.say("CONFIG GET timeout TIMEOUT time*").await, "[$timeout, $0]");
}

#[tokio::test]
async fn redis_cli_explains_commands_by_itself_where_docs_are_none() {
    let node = open().await;
    let mut client = talk(&node).await;
    assert_eq!(client.say("COMMAND DOCS get").await, "-ERR unknown subcommand 'DOCS'. Try COMMAND HELP.");
    let all = client.say("COMMAND").await;
    assert_eq!(client.say("COMMAND INFO").await, all);
}
