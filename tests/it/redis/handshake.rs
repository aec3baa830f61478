//! How clients begin: passwords, dialects, names, databases, and what they look at before they go on.

use super::{PASSWORD, locked, open, talk};

const NOAUTH: &str = "-NOAUTH Authentication required.";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

#[tokio::test]
async fn this_machine_needs_no_password_where_none_is_set() {
    let node = open().await;
    let mut client = talk(&node).await;
    assert_eq!(client.say("PING").await, "+PONG");
    assert_eq!(client.say("set k v").await, "+OK");
    assert_eq!(client.say("GeT k").await, "$v");
    assert!(client.say("AUTH x").await.starts_with("-ERR AUTH <password> called without any password configured"));
    assert_eq!(client.say("AUTH default x").await, "+OK");
    assert_eq!(client.say("AUTH nobody x").await, WRONGPASS);
}

#[tokio::test]
async fn where_a_password_is_set_nothing_goes_without() {
    let node = locked().await;
    let mut client = talk(&node).await;
    for line in ["PING", "GET k", "SET k v", "INFO", "SELECT 1", "MULTI", "SUBSCRIBE c", "EVAL x 0"] {
        let told = client.say(line).await;
        assert!(told == NOAUTH || told.starts_with("-ERR unknown command 'EVAL'"), "{line}: {told}");
    }
    assert!(client.say("HELLO 3").await.starts_with("-NOAUTH HELLO must be called"));
    assert_eq!(client.say("AUTH wrong").await, WRONGPASS);
    assert_eq!(client.say("AUTH default wrong").await, WRONGPASS);
    assert_eq!(client.say("HELLO 3 AUTH default wrong").await, WRONGPASS);
    assert_eq!(client.say("PING").await, NOAUTH);
    assert_eq!(client.ask(&["AUTH", PASSWORD]).await, "+OK");
    assert_eq!(client.say("PING").await, "+PONG");
    assert_eq!(client.say("RESET").await, "+RESET");
    assert_eq!(client.say("PING").await, NOAUTH);
    assert_eq!(client.say("QUIT").await, "+OK");
    assert_eq!(client.until_closed().await, "");
}

#[tokio::test]
async fn hello_brings_password_name_and_dialect_at_once() {
    let node = locked().await;
    let mut client = talk(&node).await;
    let told = client.ask(&["hello", "3", "AUTH", "default", PASSWORD, "SETNAME", "web-1"]).await;
    assert!(told.starts_with("{$server: $redis, $version: $7.0.15, $proto: :3, $id: :"), "{told}");
    assert!(told.ends_with("$mode: $standalone, $role: $master, $modules: []}"), "{told}");
    assert_eq!(client.say("CLIENT GETNAME").await, "$web-1");
    assert_eq!(client.say("GET nothing").await, "_");
    let told = client.say("HELLO 2").await;
    assert!(told.starts_with("[$server, $redis, $version, $7.0.15, $proto, :2"), "{told}");
    assert_eq!(client.say("HELLO 4").await, "-NOPROTO unsupported protocol version");
    assert_eq!(client.say("CONFIG GET save").await, "[$save, $]");
    client.say("HELLO 3").await;
    assert_eq!(client.say("CONFIG GET save").await, "{$save: $}");
    assert!(client.say("INFO server").await.starts_with("=txt:# Server\r\nredis_version:7.0.15\r\n"));
}

#[tokio::test]
async fn a_handshake_in_one_packet_is_answered_in_order() {
    let node = locked().await;
    let mut client = talk(&node).await;
    let auth = ["AUTH", PASSWORD].map(str::as_bytes);
    let large = "x".repeat(20_000);
    let mut packet = crate::wire::command(&auth);
    // larger than what may be sent by somebody unknown
    packet.extend(crate::wire::command(&[b"SET", b"k", large.as_bytes()]));
    packet.extend_from_slice(b"HELLO 3\r\nSELECT 2\r\nCLIENT SETINFO LIB-NAME x\r\nPING\r\nGET k\r\n");
    client.send(&packet).await;
    assert_eq!((client.reply().await, client.reply().await), ("+OK".into(), "+OK".into()));
    assert!(client.reply().await.starts_with("{$server"));
    assert_eq!(client.reply().await, "+OK");
    assert_eq!(client.reply().await, "-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.");
    assert_eq!((client.reply().await, client.reply().await), ("+PONG".into(), "_".into()));
}

#[tokio::test]
async fn what_clients_wait_for_is_there() {
    let node = open().await;
    let mut client = talk(&node).await;
    let info = client.say("INFO").await;
    for line in ["redis_version:7.0.15", "loading:0", "role:master", "redis_mode:standalone", "run_id:", "tcp_port:"] {
        assert!(info.contains(&format!("\r\n{line}")), "{line}: {info}");
    }
    assert_eq!(client.say("CLUSTER NODES").await, "-ERR This instance has cluster support disabled");
    assert!(client.say("SENTINEL MASTERS").await.starts_with("-ERR unknown command 'SENTINEL'"));
    assert!(client.say("CLIENT ID").await.starts_with(':'));
    assert_eq!(client.ask_bytes(&[b"ECHO", b"\x00\x01\r\n\x02"]).await, "$\u{0}\u{1}\r\n\u{2}");
    assert_eq!(client.say("CONFIG GET databases").await, "[$databases, $16]");
    assert!(client.say("CLIENT LIST").await.contains(" resp=2"));
    assert_eq!(client.say("ACL WHOAMI").await, "$default");
}

#[tokio::test]
async fn databases_are_apart() {
    let node = open().await;
    let mut client = talk(&node).await;
    assert_eq!(client.say("SET k zero").await, "+OK");
    assert_eq!(client.say("SELECT 3").await, "+OK");
    assert_eq!(client.say("GET k").await, "_");
    assert_eq!(client.say("SET k three").await, "+OK");
    assert_eq!(client.pipeline(&["SELECT 0", "GET k", "SELECT 3", "GET k"]).await, ["+OK", "$zero", "+OK", "$three"]);
    assert_eq!(client.say("SELECT 16").await, "-ERR DB index is out of range");
    assert_eq!(client.say("FLUSHDB").await, "+OK");
    assert_eq!(
        client.pipeline(&["DBSIZE", "SELECT 0", "DBSIZE", "FLUSHALL", "DBSIZE"]).await,
        [":0", "+OK", ":1", "+OK", ":0"]
    );
}
