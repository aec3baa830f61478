//! What strangers send, and how little it costs: it ends in a closed connection.

use std::time::{Duration, Instant};

use super::{locked, open, talk};

#[tokio::test]
async fn who_speaks_http_is_cut_off() {
    for node in [open().await, locked().await] {
        for request in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\nSET k v\r\n"]
        {
            let mut client = talk(&node).await;
            client.send(request.as_bytes()).await;
            let told = client.until_closed().await;
            assert!(!told.contains("+OK"), "{told}");
        }
    }
}

#[tokio::test]
async fn lengths_that_nobody_means_are_refused_before_their_bytes_come() {
    let node = open().await;
    for (sent, told) in [
        ("*1000000000\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n$1000000000\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*2\r\n$4\r\nPING\r\n*1\r\n", "-ERR Protocol error: expected '$', got '*'\r\n"),
        ("*1\r\n*1\r\n*1\r\n*1\r\n", "-ERR Protocol error: expected '$', got '*'\r\n"),
        ("set k \"a\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
    ] {
        let mut client = talk(&node).await;
        client.send(sent.as_bytes()).await;
        assert_eq!(client.until_closed().await, told, "{sent}");
    }
    let mut client = talk(&node).await;
    client.send(&vec![b'x'; 70_000]).await;
    assert_eq!(client.until_closed().await, "-ERR Protocol error: too big inline request\r\n");
}

#[tokio::test]
async fn who_is_not_known_may_send_little() {
    let node = locked().await;
    for (sent, told) in [
        ("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"),
        ("*2\r\n$4\r\nAUTH\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"),
    ] {
        let mut client = talk(&node).await;
        client.send(sent.as_bytes()).await;
        assert_eq!(client.until_closed().await, told);
    }
    // a million tiny commands are not a million answers
    let mut client = talk(&node).await;
    let begun = Instant::now();
    client.send(&b"*1\r\n$4\r\nPING\r\n".repeat(100_000)).await;
    let told = client.until_closed().await;
    assert!(told.matches("-NOAUTH").count() <= 100, "{}", told.len());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_command_that_drips_in_costs_no_more_than_its_bytes() {
    let node = open().await;
    let mut client = talk(&node).await;
    let names: Vec<String> = (0..20_000).map(|n| format!("key:{n}")).collect();
    let words: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain(names.iter().map(|name| name.as_bytes())).collect();
    let begun = Instant::now();
    for piece in crate::wire::command(&words).chunks(200) {
        client.send(piece).await;
    }
    assert_eq!(client.reply().await, ":0");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_fault_in_the_middle_leaves_what_came_before_answered() {
    let node = open().await;
    let mut client = talk(&node).await;
    client.send(b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*x\r\n*1\r\n$4\r\nPING\r\n").await;
    assert_eq!(client.until_closed().await, "+PONG\r\n+OK\r\n-ERR Protocol error: invalid multibulk length\r\n");
    assert_eq!(talk(&node).await.say("GET k").await, "$v");
}
