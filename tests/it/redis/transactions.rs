//! `MULTI`, `EXEC` and `WATCH`.

use super::{open, talk, three};

#[tokio::test]
async fn what_is_queued_is_run_as_one() {
    let node = open().await;
    let mut client = talk(&node).await;
    let told = client.pipeline(&["MULTI", "SET a 1", "PING", "INCR a", "GET a", "EXEC", "GET a"]).await;
    assert_eq!(told, ["+OK", "+QUEUED", "+QUEUED", "+QUEUED", "+QUEUED", "[+OK, +PONG, :2, $2]", "$2"]);
    assert_eq!(client.pipeline(&["MULTI", "SET a 5", "DISCARD", "GET a"]).await, ["+OK", "+QUEUED", "+OK", "$2"]);
    assert_eq!(client.pipeline(&["MULTI", "EXEC"]).await, ["+OK", "[]"]);
}

#[tokio::test]
async fn what_was_refused_spoils_the_rest() {
    let node = open().await;
    let mut client = talk(&node).await;
    for wrong in ["GET", "NOSUCH", "SUBSCRIBE c"] {
        let told = client.pipeline(&["MULTI", "SET a 1", wrong, "EXEC", "GET a"]).await;
        assert!(told[2].starts_with("-ERR"), "{}", told[2]);
        assert_eq!(told[3], "-EXECABORT Transaction discarded because of previous errors.");
        assert_eq!(told[4], "_");
    }
    // an error of its own is no reason for the others
    let told = client.pipeline(&["SET s x", "MULTI", "INCR s", "SET b 1", "EXEC"]).await;
    assert_eq!(told[4], "[-ERR value is not an integer or out of range, +OK]");
    assert_eq!(client.say("EXEC").await, "-ERR EXEC without MULTI");
    assert_eq!(client.say("DISCARD").await, "-ERR DISCARD without MULTI");
}

#[tokio::test]
async fn what_stands_below_a_command_is_refused_before_it_waits() {
    let node = open().await;
    let mut client = talk(&node).await;
    for (wrong, why) in [
        ("CLIENT NOSUCH", "unknown subcommand 'NOSUCH'. Try CLIENT HELP."),
        ("CLIENT ID x", "wrong number of arguments for 'client|id' command"),
        ("CONFIG NOSUCH", "unknown subcommand 'NOSUCH'. Try CONFIG HELP."),
        ("CONFIG GET", "wrong number of arguments for 'config|get' command"),
        ("OBJECT NOSUCH k", "unknown subcommand 'NOSUCH'. Try OBJECT HELP."),
        ("OBJECT ENCODING", "wrong number of arguments for 'object|encoding' command"),
        ("SCRIPT LOAD", "wrong number of arguments for 'script|load' command"),
        ("MEMORY USAGE", "wrong number of arguments for 'memory|usage' command"),
        ("PUBSUB NUMPAT x", "wrong number of arguments for 'pubsub|numpat' command"),
        ("COMMAND COUNT x", "wrong number of arguments for 'command|count' command"),
        ("SLOWLOG NOSUCH", "unknown subcommand 'NOSUCH'. Try SLOWLOG HELP."),
        ("LATENCY LATEST x", "wrong number of arguments for 'latency|latest' command"),
        ("ACL WHOAMI x", "wrong number of arguments for 'acl|whoami' command"),
    ] {
        let told = client.pipeline(&["MULTI", "SET a 1", wrong, "EXEC", "GET a", wrong]).await;
        assert_eq!(told[2], format!("-ERR {why}"));
        assert_eq!(told[3..5], ["-EXECABORT Transaction discarded because of previous errors.", "_"]);
        assert_eq!(told[5], told[2]);
    }
    let told = client.pipeline(&["MULTI", "CLIENT LIST FOO BAR", "PUBSUB CHANNELS a b", "EXEC"]).await;
    assert_eq!(told[1..3], ["+QUEUED", "+QUEUED"]);
    let why = "ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.";
    assert_eq!(told[3], format!("[-ERR syntax error, -{why}]"));
}

#[tokio::test]
async fn a_script_that_is_loaded_in_a_transaction_is_run_in_it() {
    let node = open().await;
    let mut client = talk(&node).await;
    client.say("MULTI").await;
    assert_eq!(client.ask(&["SCRIPT", "LOAD", "return 7"]).await, "+QUEUED");
    let sha = "59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9";
    client.pipeline(&[&format!("EVALSHA {sha} 0"), &format!("SCRIPT EXISTS {sha} abc"), "SCRIPT FLUSH"]).await;
    assert_eq!(client.say("EXEC").await, format!("[${sha}, :7, [:1, :0], +OK]"));
    assert_eq!(client.say(&format!("SCRIPT EXISTS {sha}")).await, "[:0]");
}

#[tokio::test]
async fn whoever_watches_sees_a_change_through_another_node() {
    let cluster = three().await;
    let mut one = talk(&cluster.nodes[0]).await;
    let mut other = talk(&cluster.nodes[2]).await;
    assert_eq!(one.say("SET k 1").await, "+OK");
    assert_eq!(other.pipeline(&["WATCH k", "GET k", "MULTI", "SET k 2"]).await, ["+OK", "$1", "+OK", "+QUEUED"]);
    assert_eq!(one.say("SET k 9").await, "+OK");
    assert_eq!(other.say("EXEC").await, "_");
    assert_eq!(other.say("GET k").await, "$9");
    let told = other.pipeline(&["WATCH k nothing", "MULTI", "SET k 3", "EXEC", "GET k"]).await;
    assert_eq!(told, ["+OK", "+OK", "+QUEUED", "[+OK]", "$3"]);
    assert_eq!(one.say("GET k").await, "$3");
    let told = other.pipeline(&["WATCH k", "UNWATCH", "SET k 4", "MULTI", "GET k", "EXEC"]).await;
    assert_eq!(told[5], "[$4]");
}

#[tokio::test]
async fn a_transaction_may_select_and_what_is_watched_is_of_its_database() {
    let node = open().await;
    let mut client = talk(&node).await;
    let told = client.pipeline(&["MULTI", "SET k 0", "SELECT 1", "SET k 1", "SELECT 77", "EXEC", "GET k"]).await;
    assert_eq!(told[5], "[+OK, +OK, +OK, -ERR DB index is out of range]");
    assert_eq!(told[6], "$1", "what was selected stays so");
    assert_eq!(client.pipeline(&["SELECT 0", "GET k"]).await[1], "$0");
    let mut other = talk(&node).await;
    let told = client.pipeline(&["WATCH k", "SELECT 1", "WATCH k", "MULTI", "EXEC"]).await;
    assert_eq!(told[4], "[]", "nothing has changed");
    client.pipeline(&["SELECT 0", "WATCH k", "SELECT 1"]).await;
    assert_eq!(other.say("SET k changed").await, "+OK");
    assert_eq!(client.pipeline(&["MULTI", "GET k", "EXEC"]).await[2], "_");
}

#[tokio::test]
async fn a_script_that_nobody_knows_does_nothing_in_a_transaction_either() {
    let node = open().await;
    let mut client = talk(&node).await;
    client.say("MULTI").await;
    assert_eq!(client.ask(&["EVALSHA", "return redis.call('SET', KEYS[1], 'x')", "1", "k"]).await, "+QUEUED");
    client.say("SET other 1").await;
    assert_eq!(client.say("EXEC").await, "[-NOSCRIPT No matching script. Please use EVAL., +OK]");
    assert_eq!(client.say("EXISTS k").await, ":0");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_half_of_a_step() {
    let node = open().await;
    let (mut writer, mut reader) = (talk(&node).await, talk(&node).await);
    let all = |n: usize| (0..500).fold("MSET".to_owned(), |line, key| format!("{line} k{key} {n}"));
    writer.say(&all(0)).await;
    let writes = async {
        for n in 1..=100 {
            assert_eq!(writer.say(&all(n)).await, "+OK");
        }
    };
    let reads = async {
        loop {
            let told = reader.say("MGET k0 k499").await;
            let (first, last) = told.trim_matches(['[', ']']).split_once(", ").expect("two values");
            assert_eq!(first, last);
        }
    };
    // whoever reads never ends
    tokio::select! {
        () = writes => {}
        () = reads => {}
    }
}

#[tokio::test]
async fn counting_in_transactions_loses_nothing() {
    let cluster = three().await;
    let mut counted = 0;
    let addresses: Vec<_> = cluster.nodes.iter().map(crate::harness::Node::redis).collect();
    let tasks = addresses.into_iter().map(|address| async move {
        let mut client = crate::wire::Wire::to(address).await;
        let mut done = 0;
        for _ in 0..20 {
            client.say("WATCH n").await;
            let held: i64 = client.say("GET n").await.trim_start_matches(['$', '_']).parse().unwrap_or(0);
            client.say("MULTI").await;
            client.say(&format!("SET n {}", held + 1)).await;
            match client.say("EXEC").await.as_str() {
                "[+OK]" => done += 1,
                "_" => {}
                other => panic!("{other}"),
            }
        }
        done
    });
    for done in futures_util::future::join_all(tasks).await {
        counted += done;
    }
    assert!(counted >= 20);
    assert_eq!(talk(&cluster.nodes[1]).await.say("GET n").await, format!("${counted}"));
}
