//! The peer port through real sockets: who gets in, who does not, and what becomes of questions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, StatusCode};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::door::{self, Answered, Desk, Refusal};
use super::keys::{Authority, PrivateKey, PublicKey};
use super::link::{Failed, Link, Target};
use super::papers::Papers;
use super::porch::Heard;
use super::tls::{self, Dialer, Guests};
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

/// Answers `/who` with the caller's key and refuses everything else, and everybody who is not listed any more.
struct Echo {
    list: Arc<List>,
    changes: watch::Sender<()>,
}

impl Desk for Echo {
    fn hears(self: Arc<Self>, caller: PublicKey) -> BoxFuture<'static, Option<Heard>> {
        let is_heard = self.list.is_member(&caller) || self.list.may_join(&caller);
        async move { is_heard.then_some(Heard::Member) }.boxed()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn answer(self: Arc<Self>, caller: PublicKey, question: Request<Incoming>) -> BoxFuture<'static, Answered> {
        async move {
            match question.uri().path() {
                _ if self.clone().hears(caller).await.is_none() => Err(Refusal::forbidden("no member".into())),
                "/never" => std::future::pending().await,
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
    echo: Arc<Echo>,
    own: PublicKey,
    papers: Arc<Papers>,
    task: tokio::task::JoinHandle<()>,
    _stop: tokio::sync::watch::Sender<bool>,
}

fn authority() -> Authority {
    Authority::of(&[7; 32])
}

async fn open() -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address").to_string();
    let list = Arc::new(List::default());
    let papers = papers(&authority(), 1);
    let lock = tls::lock(&papers, list.clone()).expect("TLS");
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let echo = Arc::new(Echo { list: list.clone(), changes: watch::Sender::new(()) });
    let task = tokio::spawn(door::serve(listener, lock, echo.clone(), stopped));
    Port { address, list, echo, own: papers.own(), papers, task, _stop }
}

impl Port {
    fn link(&self, key: Option<PublicKey>, connector: Dialer) -> Arc<Link> {
        Link::new(Target { address: self.address.clone(), key }, connector, HeaderMap::new())
    }

    async fn who(&self, connector: Dialer) -> Result<PublicKey, Failed> {
        self.link(Some(self.own), connector).call("/who", &()).await
    }
}

fn papers(authority: &Authority, seed: u8) -> Arc<Papers> {
    Papers::of(authority, node(seed)).expect("papers")
}

fn dialer(authority: &Authority, seed: u8) -> Dialer {
    tls::connector(&papers(authority, seed)).expect("TLS")
}

fn node(seed: u8) -> PrivateKey {
    PrivateKey::of_seed(&[seed; 32])
}

#[tokio::test]
async fn a_member_is_answered_and_known_by_its_key() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let connector = dialer(&authority(), 2);
    assert_eq!(port.who(connector.clone()).await.expect("an answer"), node(2).public());
    let refused = port.link(None, connector).call::<(), ()>("/else", &()).await;
    assert!(matches!(&refused, Err(Failed::Refused(why)) if why == "no /else here"), "{refused:?}");
}

#[tokio::test]
async fn whoever_is_no_member_gets_a_closed_connection() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let of_another_cluster = dialer(&Authority::of(&[8; 32]), 2);
    assert!(port.who(of_another_cluster).await.is_err(), "pinned, but signed by another authority");
    let unpinned = dialer(&authority(), 3);
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
    let connector = dialer(&authority(), 2);
    let mistaken = port.link(Some(node(5).public()), connector).call::<(), PublicKey>("/who", &()).await;
    assert!(matches!(mistaken, Err(Failed::Unsent(_))), "{mistaken:?}");
}

#[tokio::test]
async fn a_peer_that_is_gone_is_told_from_one_that_fell_silent() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let connector = dialer(&authority(), 2);
    let link = port.link(Some(port.own), connector);
    link.call::<(), PublicKey>("/who", &()).await.expect("an answer");
    port.task.abort();
    let _ = port.task.await;
    let gone = link.call::<(), PublicKey>("/who", &()).await;
    assert!(gone.is_err());
    let again = link.call::<(), PublicKey>("/who", &()).await;
    assert!(matches!(again, Err(Failed::Unsent(_))), "{again:?}");
}

#[tokio::test]
async fn while_papers_turn_both_authorities_are_taken_and_afterwards_the_old_one_is_not() {
    let (old, new) = (authority(), Authority::of(&[8; 32]));
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let both = vec![old.key(), new.key()];
    let (caller, before) = (papers(&old, 2), dialer(&old, 2));
    let link = port.link(Some(port.own), tls::connector(&caller).expect("TLS"));
    let stays = port.link(Some(port.own), before.clone());
    let who = async |link: &Link| link.call::<(), PublicKey>("/who", &()).await;
    who(&link).await.expect("an answer");
    who(&stays).await.expect("an answer");
    caller.turn(&old, both.clone()).expect("a turn");
    port.papers.turn(&old, both.clone()).expect("a turn");
    who(&link).await.expect("both show what was shown before");
    port.papers.turn(&new, both.clone()).expect("a turn");
    who(&link).await.expect("one shows the old, one the new");
    who(&stays).await.expect("what is open stays open");
    caller.turn(&new, both).expect("a turn");
    who(&link).await.expect("both show the new");
    port.papers.turn(&new, vec![new.key()]).expect("a turn");
    caller.turn(&new, vec![new.key()]).expect("a turn");
    who(&link).await.expect("both take the new alone");
    assert!(who(&stays).await.is_err(), "a connection from before is closed");
    assert!(port.who(before).await.is_err(), "pinned, but signed by the authority from before");
    let joiner = tls::joiner(&old.key(), &node(9)).expect("TLS");
    let told = port.who(joiner).await.expect_err("a token from before trusts the old authority");
    assert!(told.to_string().contains(super::link::STRANGER), "{told}");
}

#[tokio::test]
async fn strangers_that_hold_their_connections_keep_no_member_out_and_hear_nothing() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let mut strangers = Vec::new();
    for _ in 0..600 {
        strangers.push(TcpStream::connect(&port.address).await.expect("connected"));
    }
    let link = port.link(Some(port.own), dialer(&authority(), 2));
    let begun = Instant::now();
    // it comes from where they come from, which is not heard for a second
    while link.call::<(), PublicKey>("/who", &()).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(2), "a member is kept out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut garbage = TcpStream::connect(&port.address).await.expect("connected");
    garbage.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    strangers.push(garbage);
    for mut stranger in strangers {
        let mut read = Vec::new();
        // a reset is an end, too
        let ended = timeout(Duration::from_secs(10), stranger.read_to_end(&mut read)).await;
        assert!(ended.is_ok() && read.first().is_none_or(|first| *first == 21), "{read:?}");
    }
    link.call::<(), PublicKey>("/who", &()).await.expect("an answer");
}

#[tokio::test]
async fn of_too_many_connections_of_one_member_the_oldest_make_way() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let mut links = Vec::new();
    for _ in 0..40 {
        let link = port.link(Some(port.own), dialer(&authority(), 2));
        link.call::<(), PublicKey>("/who", &()).await.expect("an answer");
        links.push(link);
    }
    let mut open = 40;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let ends = links.iter().map(|link| link.is_closed());
        open = futures_util::future::join_all(ends).await.into_iter().filter(|is_closed| !is_closed).count();
        if open == 16 {
            break;
        }
    }
    assert_eq!(open, 16);
    links[0].call::<(), PublicKey>("/who", &()).await.expect("it comes again");
}

#[tokio::test]
async fn a_connection_that_makes_way_does_not_stay_for_what_was_asked_on_it() {
    let port = open().await;
    port.list.members.lock().push(node(2).public());
    let begun = Instant::now();
    let mut asked = Vec::new();
    for _ in 0..17 {
        let link = port.link(Some(port.own), dialer(&authority(), 2));
        link.call::<(), PublicKey>("/who", &()).await.expect("an answer");
        asked.push(async move { link.call::<(), PublicKey>("/never", &()).await }.boxed());
        // it is sent before the next one comes
        let _ = timeout(Duration::from_millis(20), asked.last_mut().expect("just pushed")).await;
    }
    let first = timeout(Duration::from_secs(5), &mut asked[0]).await.expect("it ends");
    assert!(matches!(first, Err(Failed::Lost(_))), "{first:?} after {:?}", begun.elapsed());
    assert!(timeout(Duration::from_millis(20), &mut asked[1]).await.is_err(), "the others stay");
}

async fn is_closed_soon(link: &Link) -> bool {
    for _ in 0..150 {
        if link.is_closed().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn whoever_is_a_member_no_more_keeps_no_connection() {
    let port = open().await;
    port.list.members.lock().extend([node(2).public(), node(3).public()]);
    let (goes, stays) = (port.link(None, dialer(&authority(), 2)), port.link(None, dialer(&authority(), 3)));
    for link in [&goes, &stays] {
        link.call::<(), PublicKey>("/who", &()).await.expect("an answer");
    }
    port.list.members.lock().remove(0);
    port.echo.changes.send_replace(());
    assert!(is_closed_soon(&goes).await, "it asks nothing, and is closed all the same");
    stays.call::<(), PublicKey>("/who", &()).await.expect("an answer");
    assert!(!stays.is_closed().await);
    port.list.members.lock().clear();
    let told = stays.call::<(), PublicKey>("/who", &()).await;
    assert!(matches!(told, Err(Failed::Refused(_))), "{told:?}");
    assert!(is_closed_soon(&stays).await, "who is refused is looked at again");
}
