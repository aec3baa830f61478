//! The peer port through real sockets: who gets in, who does not, and what becomes of questions.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, StatusCode};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::door::{self, Answered, Desk, Refusal};
use super::keys::{Authority, PrivateKey, PublicKey};
use super::link::{Failed, Link, Target};
use super::tls::{self, Guests};
use crate::state::codec;

#[derive(Default)]
struct List {
    members: Mutex<Vec<PublicKey>>,
    tokens: Mutex<Vec<PublicKey>>,
}

impl Guests for List {
    fn is_member(&self, key: &PublicKey) -> bool {
        self.members.lock().contains(key)
    }

    fn may_join(&self, key: &PublicKey) -> bool {
        self.tokens.lock().contains(key)
    }
}

/// Answers `/who` with the caller's key and refuses everything else.
struct Echo;

impl Desk for Echo {
    fn answer(self: Arc<Self>, caller: PublicKey, question: Request<Incoming>) -> BoxFuture<'static, Answered> {
        async move {
            match question.uri().path() {
                "/who" => Ok(Bytes::from(codec::encode(&caller))),
                other => Err(Refusal { status: StatusCode::NOT_FOUND, why: format!("no {other} here") }),
            }
        }
        .boxed()
    }
}

struct Port {
    address: String,
    list: Arc<List>,
    own: PublicKey,
    task: tokio::task::JoinHandle<()>,
    _stop: tokio::sync::watch::Sender<bool>,
}

fn authority() -> Authority {
    Authority::of(&[7; 32])
}

async fn open() -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address").to_string();
    let (list, own) = (Arc::new(List::default()), PrivateKey::of_seed(&[1; 32]));
    let acceptor = tls::acceptor(&authority(), &own, list.clone()).expect("TLS");
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let task = tokio::spawn(door::serve(listener, acceptor, Arc::new(Echo), stopped));
    Port { address, list, own: own.public(), task, _stop }
}

impl Port {
    fn link(&self, key: Option<PublicKey>, connector: TlsConnector) -> Arc<Link> {
        Link::new(Target { address: self.address.clone(), key }, connector, HeaderMap::new())
    }

    async fn who(&self, connector: TlsConnector) -> Result<PublicKey, Failed> {
        self.link(Some(self.own), connector).call("/who", &()).await
    }
}

fn node(seed: u8) -> PrivateKey {
    PrivateKey::of_seed(&[seed; 32])
}

#[tokio::test]
async fn a_member_is_answered_and_known_by_its_key() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let connector = tls::connector(&authority(), &node(2)).expect("TLS");
    assert_eq!(port.who(connector.clone()).await.expect("an answer"), node(2).public());
    let refused = port.link(None, connector).call::<(), ()>("/else", &()).await;
    assert!(matches!(&refused, Err(Failed::Refused(why)) if why == "no /else here"), "{refused:?}");
}

#[tokio::test]
async fn whoever_is_no_member_gets_a_closed_connection() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let of_another_cluster = tls::connector(&Authority::of(&[8; 32]), &node(2)).expect("TLS");
    assert!(port.who(of_another_cluster).await.is_err(), "pinned, but signed by another authority");
    let unpinned = tls::connector(&authority(), &node(3)).expect("TLS");
    assert!(port.who(unpinned).await.is_err(), "signed, but not pinned");
    let pinned_but_unsigned = tls::joiner(&authority().key(), &node(2)).expect("TLS");
    assert!(port.who(pinned_but_unsigned).await.is_err(), "pinned, but signed by itself");
}

#[tokio::test]
async fn the_key_of_a_join_token_opens_while_the_token_lives() {
    let port = open().await;
    let token = node(9);
    let joiner = || tls::joiner(&authority().key(), &token).expect("TLS");
    assert!(port.who(joiner()).await.is_err());
    port.list.tokens.lock().push(token.public());
    assert_eq!(port.who(joiner()).await.expect("an answer"), token.public());
    let elsewhere = tls::joiner(&Authority::of(&[8; 32]).key(), &token).expect("TLS");
    assert!(port.who(elsewhere).await.is_err(), "a token of another cluster does not trust this one");
}

#[tokio::test]
async fn another_node_at_the_address_is_not_spoken_to() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let connector = tls::connector(&authority(), &node(2)).expect("TLS");
    let mistaken = port.link(Some(node(5).public()), connector).call::<(), PublicKey>("/who", &()).await;
    assert!(matches!(mistaken, Err(Failed::Unsent(_))), "{mistaken:?}");
}

#[tokio::test]
async fn a_peer_that_is_gone_is_told_from_one_that_fell_silent() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let connector = tls::connector(&authority(), &node(2)).expect("TLS");
    let link = port.link(Some(port.own), connector);
    link.call::<(), PublicKey>("/who", &()).await.expect("an answer");
    port.task.abort();
    let _ = port.task.await;
    let gone = link.call::<(), PublicKey>("/who", &()).await;
    assert!(gone.is_err());
    let again = link.call::<(), PublicKey>("/who", &()).await;
    assert!(matches!(again, Err(Failed::Unsent(_))), "{again:?}");
}
