//! What stores of sessions do with keys, one command after another and many at once.

use super::{open, talk};

#[tokio::test]
async fn a_session_store_sets_reads_touches_and_deletes() {
    let node = open().await;
    let mut client = talk(&node).await;
    assert_eq!(client.say("SET sess:1 a EX 100").await, "+OK");
    assert_eq!(client.say("TTL sess:1").await, ":100");
    assert_eq!(client.say("EXPIRE sess:1 200").await, ":1");
    assert_eq!(client.say("PTTL sess:1").await, ":200000");
    assert_eq!(client.say("SETEX sess:2 100 b").await, "+OK");
    assert_eq!(client.say("MGET sess:1 sess:2 sess:3").await, "[$a, $b, _]");
    assert_eq!(client.say("SET sess:1 c NX EX 100").await, "_");
    assert_eq!(client.say("SET sess:3 c XX EX 100").await, "_");
    assert_eq!(client.say("DEL sess:1 sess:2 sess:3").await, ":2");
    assert_eq!(client.say("EXPIRE sess:1 100").await, ":0");
}

#[tokio::test]
async fn what_has_ended_is_gone() {
    let node = open().await;
    let mut client = talk(&node).await;
    client.say("SET k v EX 10").await;
    node.pass(9);
    assert_eq!(client.say("GET k").await, "$v");
    node.pass(1);
    assert_eq!(client.pipeline(&["GET k", "TTL k", "EXISTS k"]).await, ["_", ":-2", ":0"]);
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order_and_each_sees_the_one_before() {
    let node = open().await;
    let mut client = talk(&node).await;
    let lines = ["GET n", "INCR n", "GET n", "PING", "INCR n", "GET n", "NOSUCH", "DEL n", "GET n", "ECHO x"];
    let told = client.pipeline(&lines).await;
    assert_eq!(told[..6], ["_", ":1", "$1", "+PONG", ":2", "$2"]);
    assert!(told[6].starts_with("-ERR unknown command 'NOSUCH', with args beginning with: "), "{}", told[6]);
    assert_eq!(told[7..], [":1", "_", "$x"]);
    let many: Vec<String> = (0..5_000).map(|n| format!("INCRBY n {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let told = client.pipeline(&many).await;
    let mut sum = 0;
    for (n, reply) in told.iter().enumerate() {
        sum += n;
        assert_eq!(*reply, format!(":{sum}"));
    }
}

#[tokio::test]
async fn values_are_bytes_and_may_be_large() {
    let node = open().await;
    let mut client = talk(&node).await;
    let value: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    assert_eq!(client.ask_bytes(&[b"SET", b"\x00\xff\r\n", &value]).await, "+OK");
    client.send(&crate::wire::command(&[b"GET", b"\x00\xff\r\n"])).await;
    let raw = client.try_raw().await.expect("it is answered");
    assert_eq!(raw, [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat());
    let larger = [value, vec![0]].concat();
    let told = client.ask_bytes(&[b"SET", b"k", &larger]).await;
    assert_eq!(told, "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    assert_eq!(client.say("PING").await, "+PONG");
}

#[tokio::test]
async fn a_scan_finds_everything_and_whoever_just_wrote_finds_it() {
    let node = open().await;
    let mut client = talk(&node).await;
    let names: Vec<String> = (0..300).map(|n| format!("sess:{n}")).collect();
    for name in &names {
        client.ask(&["SET", name, "x", "EX", "100"]).await;
    }
    let mut cursor = "0".to_owned();
    let mut found = Vec::new();
    loop {
        let told = client.ask(&["SCAN", &cursor, "MATCH", "sess:*", "COUNT", "100"]).await;
        let inner = told.strip_prefix("[$").and_then(|told| told.strip_suffix("]]")).expect("a cursor and names");
        let (next, page) = inner.split_once(", [").expect("a cursor and names");
        found.extend(page.split(", ").filter(|name| !name.is_empty()).map(|name| name[1..].to_owned()));
        if next == "0" {
            break;
        }
        cursor = next.to_owned();
        assert!(cursor.parse::<u64>().expect("a number") < 1 << 53);
    }
    found.sort();
    let mut expected = names.clone();
    expected.sort();
    assert_eq!(found, expected);
    client.say("SET one-more x").await;
    assert_eq!(client.say("SCAN 0 MATCH one-more COUNT 1000").await, "[$0, [$one-more]]");
    let words: Vec<&str> = std::iter::once("DEL").chain(names.iter().map(String::as_str)).collect();
    assert_eq!(client.ask(&words).await, ":300");
    assert_eq!(client.say("KEYS *").await, "[$one-more]");
}

#[tokio::test]
async fn touches_of_a_long_session_are_seldom_written_down() {
    let node = open().await;
    let mut client = talk(&node).await;
    let key = format!("sess:{}", "a".repeat(32));
    client.ask(&["SET", &key, r#"{"cookie":{}}"#, "EX", "3600"]).await;
    assert_eq!(client.ask(&["EXPIRE", &key, "3600"]).await, ":1");
    let before = node.status().await.applied;
    for _ in 0..20 {
        node.pass(1);
        assert_eq!(client.ask(&["EXPIRE", &key, "3600"]).await, ":1");
    }
    let ttl = client.ask(&["TTL", &key]).await;
    assert!((3_600..=3_660).contains(&ttl[1..].parse().expect("a number")), "{ttl}");
    let written = node.status().await.applied - before;
    assert!(written <= 5, "{written} entries");
}

#[tokio::test]
async fn only_what_extends_a_session_from_now_on_is_taken_loosely() {
    let node = open().await;
    let mut client = talk(&node).await;
    let key = format!("sess:{}", "a".repeat(32));
    client.ask(&["SET", &key, r#"{"cookie":{}}"#, "EX", "3600"]).await;
    let ends = client.ask(&["PEXPIRETIME", &key]).await;
    let ends: i64 = ends[1..].parse().expect("a number");
    for (later, words) in [
        (10_000, vec!["PEXPIREAT"]),
        (20_000, vec!["PEXPIREAT"]),
        (15_000, vec!["PEXPIREAT", "LT"]),
        (31_000, vec!["PEXPIREAT", "GT"]),
        (-500_000, vec!["PEXPIREAT"]),
    ] {
        let wanted = (ends + later).to_string();
        let words: Vec<&str> = [&words[..1], &[&key, &wanted], &words[1..]].concat();
        assert_eq!(client.ask(&words).await, ":1");
        assert_eq!(client.ask(&["PEXPIRETIME", &key]).await, format!(":{wanted}"));
    }
    for (secs, word) in [("3600", "XX"), ("3610", "GT"), ("3605", "LT"), ("1000", ""), ("900", "XX")] {
        let words: Vec<&str> = ["EXPIRE", &key, secs, word].into_iter().filter(|word| !word.is_empty()).collect();
        assert_eq!(client.ask(&words).await, ":1");
        assert_eq!(client.ask(&["TTL", &key]).await, format!(":{secs}"), "{words:?}");
    }
    client.ask(&["GETEX", &key, "PXAT", &ends.to_string()]).await;
    assert_eq!(client.ask(&["PEXPIRETIME", &key]).await, format!(":{ends}"));
    for touch in [vec!["EXPIRE", &key, "3700"], vec!["PEXPIRE", &key, "3800000"], vec!["GETEX", &key, "EX", "3900"]] {
        client.ask(&touch).await;
    }
    assert_eq!(client.ask(&["TTL", &key]).await, ":3960", "a minute later, so that the next touches are not written");
}

#[tokio::test]
async fn the_last_millisecond_is_a_deadline() {
    let node = open().await;
    let mut client = talk(&node).await;
    let told = client.pipeline(&["SET k v", "PEXPIREAT k 9223372036854775807", "GET k", "PERSIST k"]).await;
    assert_eq!(told, ["+OK", ":1", "$v", ":1"]);
    let told = client.pipeline(&["SET k v PXAT 9223372036854775807", "TTL k", "EXPIRETIME k"]).await;
    assert!(told[0] == "+OK" && told[1].len() > 10 && told[2].len() > 10, "{told:?}");
}

#[tokio::test]
async fn inline_commands_are_commands() {
    let node = open().await;
    let mut client = talk(&node).await;
    client.send(b"PING\r\nset k \"a b\"\nGET k\r\n\r\nHELLO 3\r\n").await;
    assert_eq!([client.reply().await, client.reply().await, client.reply().await], ["+PONG", "+OK", "$a b"]);
    assert!(client.reply().await.starts_with("{$server"));
}
