//! TLS at the Redis door.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::Node;
use crate::wire::Wire;

#[tokio::test]
async fn tls_is_spoken_where_there_is_a_certificate_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("is written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("is written");
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let node = Node::with(&[("redis.listen", "127.0.0.1:0"), ("redis.tls_cert", &cert), ("redis.tls_key", &key)]).await;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(node.redis()).await.expect("the door is open");
    let name = "localhost".try_into().expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS is spoken");
    let mut client = Wire::over(stream);
    let large = "x".repeat(200_000);
    assert_eq!(client.ask(&["SET", "k", &large]).await, "+OK");
    assert_eq!(client.say("GET k").await, format!("${large}"));
    let mut plain = Wire::to(node.redis()).await;
    plain.send(b"PING\r\n").await;
    assert!(!plain.until_closed().await.contains("PONG"));
}
