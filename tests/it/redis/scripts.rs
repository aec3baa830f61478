//! Scripts at the door: by body, by name, on every node; and the locks that are built of them.

use super::{open, talk, three};

/// What phpredis releases its lock with.
const UNLOCK: &str =
    "if redis.call(\"get\",KEYS[1]) == ARGV[1] then return redis.call(\"del\",KEYS[1]) else return 0 end";

#[tokio::test]
async fn a_script_is_known_by_its_name_once_it_was_run_or_loaded() {
    let cluster = three().await;
    let mut one = talk(&cluster.nodes[0]).await;
    let mut other = talk(&cluster.nodes[1]).await;
    const SHA: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    const NOSCRIPT: &str = "-NOSCRIPT No matching script. Please use EVAL.";
    assert_eq!(one.say(&format!("EVALSHA {SHA} 0")).await, NOSCRIPT);
    assert_eq!(one.ask(&["EVAL", "return 1", "0"]).await, ":1");
    assert_eq!(one.say(&format!("EVALSHA {} 0", SHA.to_uppercase())).await, ":1");
    assert_eq!(other.say(&format!("EVALSHA {SHA} 0")).await, NOSCRIPT);
    assert_eq!(one.ask(&["SCRIPT", "LOAD", "return 1"]).await, format!("${SHA}"));
    assert_eq!(other.say(&format!("EVALSHA {SHA} 0")).await, ":1");
    assert_eq!(other.say(&format!("EVALSHA_RO {SHA} 0")).await, ":1");
    assert_eq!(other.say(&format!("SCRIPT EXISTS {SHA} abc")).await, "[:1, :0]");
    let told = other.pipeline(&["MULTI", &format!("EVALSHA {SHA} 0"), "EVALSHA abc 0", "EXEC"]).await;
    assert_eq!(told[3], format!("[:1, {NOSCRIPT}]"));
    assert_eq!(other.say("SCRIPT FLUSH").await, "+OK");
    assert_eq!(other.say(&format!("EVALSHA {SHA} 0")).await, NOSCRIPT);
    assert_eq!(one.say("EVALSHA abc").await, "-ERR wrong number of arguments for 'evalsha' command");
}

#[tokio::test]
async fn only_the_holder_of_a_lock_releases_it() {
    let cluster = three().await;
    let mut one = talk(&cluster.nodes[0]).await;
    let mut other = talk(&cluster.nodes[1]).await;
    assert_eq!(one.say("SET lock mine NX PX 30000").await, "+OK");
    assert_eq!(other.say("SET lock theirs NX PX 30000").await, "_");
    assert_eq!(other.ask(&["EVAL", UNLOCK, "1", "lock", "theirs"]).await, ":0");
    assert_eq!(other.say("GET lock").await, "$mine");
    assert_eq!(one.ask(&["EVAL", UNLOCK, "1", "lock", "mine"]).await, ":1");
    assert_eq!(other.say("SET lock theirs NX PX 30000").await, "+OK");
}

#[tokio::test]
async fn what_a_script_says_keeps_its_bytes() {
    let node = open().await;
    let mut client = talk(&node).await;
    let sha = "3509abef2dfe5d7eb9a38fd6b8f8db4acde16bd5";
    for (script, said) in [
        (r"return redis.status_reply('a\255b')", &b"+a\xffb\r\n"[..]),
        (r"return redis.error_reply('a\255b')", b"-ERR a\xffb\r\n"),
        (r"return {ok = '\1\255\n'}", b"+\x01\xff \r\n"),
        (r"return {'\255', {err = 'a\255b'}}", b"*2\r\n$1\r\n\xff\r\n-a\xffb\r\n"),
    ] {
        client.send(&crate::wire::command(&[b"EVAL", script.as_bytes(), b"0"])).await;
        let mut told = vec![0; said.len()];
        client.read_exactly(&mut told).await;
        assert_eq!(told.escape_ascii().to_string(), said.escape_ascii().to_string());
    }
    let raised = r"error({err = 'a\255b'})";
    client.send(&crate::wire::command(&[b"EVAL", raised.as_bytes(), b"0"])).await;
    let said = [&b"-a\xffb script: "[..], sha.as_bytes(), b", on @user_script:1.\r\n"].concat();
    let mut told = vec![0; said.len()];
    client.read_exactly(&mut told).await;
    assert_eq!(told.escape_ascii().to_string(), said.escape_ascii().to_string());
}

#[tokio::test]
async fn scripts_keep_their_place_in_a_pipeline() {
    let node = open().await;
    let mut client = talk(&node).await;
    let bump = b"return redis.call('incr', KEYS[1])";
    let mut packet = crate::wire::command(&[b"SET", b"n", b"1"]);
    packet.extend(crate::wire::command(&[b"EVAL", bump, b"1", b"n"]));
    packet.extend(crate::wire::command(&[b"GET", b"n"]));
    packet.extend(crate::wire::command(&[b"EVAL_RO", b"return redis.call('get', KEYS[1])", b"1", b"n"]));
    packet.extend(crate::wire::command(&[b"EVAL_RO", bump, b"1", b"n"]));
    packet.extend(crate::wire::command(&[b"GET", b"n"]));
    client.send(&packet).await;
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(client.reply().await);
    }
    assert_eq!(told[..4], ["+OK", ":2", "$2", "$2"]);
    assert!(told[4].starts_with('-'), "{}", told[4]);
    assert_eq!(told[5], "$2");
}
