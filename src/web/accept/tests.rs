//! Real connections on loopback. Time is paused: it leaps to the next deadline when everybody waits.

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

/// A listener that answers every request with `hello`, `/slow` after a minute, `/panic` never; `/dots` with a dot a
/// minute, ten times, and `/flood` without end.
struct Listening {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

async fn listening(limits: Limits) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let port = Port { listener, tls: None, limits, exempt: Vec::new(), goes: Arc::default() };
    let stopped = async {
        stopped.await.ok();
    };
    let task = tokio::spawn(serve(port, stopped, |_| {
        service_fn(|request: Request<Incoming>| async move {
            match request.uri().path() {
                "/slow" => tokio::time::sleep(Duration::from_secs(60)).await,
                "/panic" => panic!("on purpose"),
                _ => {}
            }
            Ok(Response::new(match request.uri().path() {
                "/dots" => streamed(stream::iter(0..10).then(|_| async {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    Bytes::from_static(b".")
                })),
                "/flood" => streamed(stream::repeat_with(|| Bytes::from_static(&[0; 1 << 16]))),
                _ => Full::new(Bytes::from_static(b"hello")).boxed_unsync(),
            }))
        })
    }));
    Listening { address, stop: Some(stop), task }
}

fn streamed(pieces: impl Stream<Item = Bytes> + Send + 'static) -> UnsyncBoxBody<Bytes, Infallible> {
    StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))).boxed_unsync()
}

impl Listening {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends `bytes` and reads until the other side closes.
async fn closed_after(mut stream: TcpStream, bytes: &[u8]) -> (String, Duration) {
    let begun = Instant::now();
    stream.write_all(bytes).await.unwrap();
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen).await;
    (String::from_utf8_lossy(&seen).into_owned(), begun.elapsed())
}

/// One answer on a connection that stays open.
async fn answered(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"hello") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "closed: {}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8(seen).unwrap()
}

fn about(time: Duration, limit: Duration) -> bool {
    time >= limit && time < limit + Duration::from_secs(1)
}

#[tokio::test(start_paused = true)]
async fn silence_and_half_a_head_are_cut_off_after_the_head_timeout() {
    let listening = listening(Limits::default()).await;
    for half in [&b""[..], b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", b"PRI * HTTP/2.0\r\n"] {
        let (seen, time) = closed_after(listening.connect().await, half).await;
        assert!(about(time, crate::limits::HEADER_READ_TIMEOUT), "{half:?}: {time:?}");
        assert_eq!(seen, "");
    }
}

#[tokio::test(start_paused = true)]
async fn dripping_a_head_byte_by_byte_buys_no_time() {
    let listening = listening(Limits::default()).await;
    let (mut read, mut write) = listening.connect().await.into_split();
    let begun = Instant::now();
    let drip = tokio::spawn(async move {
        write.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let _ = read.read_to_end(&mut Vec::new()).await;
    assert!(about(begun.elapsed(), crate::limits::HEADER_READ_TIMEOUT), "{:?}", begun.elapsed());
    drip.abort();
}

#[tokio::test(start_paused = true)]
async fn half_a_second_head_is_cut_off_sooner_than_idleness() {
    let listening = listening(Limits::default()).await;
    let mut stream = listening.connect().await;
    answered(&mut stream, GET).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (_, time) = closed_after(stream, b"GET / HT").await;
    assert!(about(time, crate::limits::HEADER_READ_TIMEOUT), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_the_idle_timeout_and_no_longer() {
    let listening = listening(Limits::default()).await;
    let mut stream = listening.connect().await;
    for _ in 0..3 {
        assert!(answered(&mut stream, GET).await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(crate::limits::KEEP_ALIVE_IDLE - Duration::from_secs(1)).await;
    }
    answered(&mut stream, GET).await;
    let (_, time) = closed_after(stream, b"").await;
    assert!(about(time, crate::limits::KEEP_ALIVE_IDLE), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn work_is_no_idleness() {
    let limits = Limits { idle: Duration::from_secs(5), head: Duration::from_secs(2), ..Limits::default() };
    let listening = listening(limits).await;
    let mut stream = listening.connect().await;
    let begun = Instant::now();
    answered(&mut stream, b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(about(begun.elapsed(), Duration::from_secs(60)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_work_until_its_end() {
    let limits = Limits { idle: Duration::from_secs(5), head: Duration::from_secs(2), ..Limits::default() };
    let listening = listening(limits).await;
    let (seen, time) = closed_after(listening.connect().await, b"GET /dots HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(seen.matches("1\r\n.\r\n").count(), 10, "{seen}");
    assert!(about(time, Duration::from_secs(10 * 60 + 5)), "{time:?}");
}

/// In real time: it is the system that counts.
#[tokio::test]
async fn whoever_takes_nothing_of_an_answer_gives_their_place_to_others() {
    let limits = Limits { idle: Duration::from_secs(1), connections: 1, ..Limits::default() };
    let listening = listening(limits).await;
    let mut deaf = listening.connect().await;
    deaf.write_all(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut next = listening.connect().await;
    let answer = timeout(Duration::from_secs(20), answered(&mut next, GET)).await;
    assert!(answer.expect("in time").starts_with("HTTP/1.1 200"));
    drop(deaf);
}

#[tokio::test]
async fn a_request_that_comes_as_everything_stops_is_answered() {
    let mut listening = listening(Limits::default()).await;
    let mut stream = listening.connect().await;
    assert!(answered(&mut stream, GET).await.starts_with("HTTP/1.1 200"));
    // in one go: nobody else runs in between
    stream.write_all(GET).await.unwrap();
    listening.stop.take().unwrap().send(()).unwrap();
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).await.expect("it is no reset");
    assert!(String::from_utf8_lossy(&seen).starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let listening = listening(Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "a".repeat(crate::limits::HEADER_BYTES_MAX));
    let (seen, _) = closed_after(listening.connect().await, long.as_bytes()).await;
    assert!(seen.is_empty() || seen.starts_with("HTTP/1.1 431"), "{seen}");
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: a\r\n".repeat(200));
    let (seen, _) = closed_after(listening.connect().await, many.as_bytes()).await;
    assert!(seen.starts_with("HTTP/1.1 431"), "{seen}");
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let listening = listening(Limits::default()).await;
    for bad in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"GET / HTTP/1.1\r\na: b\r\n c: d\r\n\r\n",
    ] {
        let (seen, _) = closed_after(listening.connect().await, bad).await;
        assert!(seen.starts_with("HTTP/1.1 400"), "{:?}: {seen}", String::from_utf8_lossy(bad));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_too_many_waits_for_its_turn() {
    let listening = listening(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = listening.connect().await;
    answered(&mut first, GET).await;
    let mut second = listening.connect().await;
    second.write_all(GET).await.unwrap();
    let waits = timeout(Duration::from_secs(5), second.read_u8()).await;
    assert!(waits.is_err());
    drop(first);
    assert_eq!(second.read_u8().await.unwrap(), b'H');
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_closed_until_it_gives_some_back() {
    let listening = listening(Limits { per_address: 2, ..Limits::default() }).await;
    let (mut one, mut two) = (listening.connect().await, listening.connect().await);
    answered(&mut one, GET).await;
    answered(&mut two, GET).await;
    let (seen, _) = closed_after(listening.connect().await, GET).await;
    assert_eq!(seen, "");
    answered(&mut one, GET).await;
    drop(two);
    // the place is free once the listener has seen it go
    let once = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    while closed_after(listening.connect().await, once).await.0.is_empty() {}
}

#[tokio::test]
async fn this_machine_is_not_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let crowd = Crowd::new(0, Port::plain(listener).exempt, "");
    for (address, free) in
        [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("10.0.0.1", false), ("::2", false)]
    {
        assert_eq!(crowd.enter(address.parse().unwrap()).is_some(), free, "{address}");
    }
}

#[tokio::test]
async fn stopping_lets_idle_connections_go_at_once() {
    let mut listening = listening(Limits::default()).await;
    let mut idle = listening.connect().await;
    answered(&mut idle, GET).await;
    let fresh = listening.connect().await;
    listening.stop();
    listening.task.await.unwrap();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    drop(fresh);
    assert!(TcpStream::connect(listening.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_requests_but_not_for_ever() {
    let slow = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    let patient = Limits { drain: Duration::from_secs(90), ..Limits::default() };
    for (limits, whole) in [(patient, true), (Limits::default(), false)] {
        let mut listening = listening(limits).await;
        let mut stream = listening.connect().await;
        stream.write_all(slow).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        listening.stop();
        let begun = Instant::now();
        let (seen, _) = closed_after(stream, b"").await;
        listening.task.await.unwrap();
        assert_eq!(seen.ends_with("hello"), whole);
        assert!(about(begun.elapsed(), if whole { Duration::from_secs(59) } else { crate::limits::DRAIN_TIMEOUT }));
    }
}

#[tokio::test]
async fn a_panic_costs_its_own_connection_alone() {
    let listening = listening(Limits::default()).await;
    let mut other = listening.connect().await;
    answered(&mut other, GET).await;
    let (seen, _) = closed_after(listening.connect().await, b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(seen, "");
    answered(&mut other, GET).await;
    answered(&mut listening.connect().await, GET).await;
}

#[test]
fn tls_files_that_will_not_do_are_named() {
    let missing = Path::new("/nonexistent/cert.pem");
    let Err(error) = tls(missing, missing) else { panic!("read a file that is not there") };
    let text = error.to_string();
    assert!(text.contains("/nonexistent/cert.pem") && text.contains("hint:"), "{text}");
}

/// A certificate for `localhost` and its key, as PEM files in a directory that goes when dropped.
fn certificate() -> (tempfile::TempDir, rcgen::Certificate) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
    (dir, cert)
}

async fn listening_tls(dir: &Path) -> SocketAddr {
    let tls = Some(tls(&dir.join("cert.pem"), &dir.join("key.pem")).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Port { tls, ..Port::plain(listener) };
    tokio::spawn(serve(port, std::future::pending(), |peer| {
        service_fn(move |_| async move { Ok(Response::new(Full::new(Bytes::from(format!("tls: {}", peer.tls))))) })
    }));
    address
}

#[tokio::test]
async fn tls_is_spoken_when_there_is_a_certificate() {
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    let (dir, cert) = certificate();
    let address = listening_tls(dir.path()).await;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config.clone()));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));

    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut seen = String::new();
    let _ = stream.read_to_string(&mut seen).await;
    assert!(seen.ends_with("tls: true"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_none_or_never_ends_is_cut_off() {
    let (dir, _) = certificate();
    let address = listening_tls(dir.path()).await;
    let (seen, time) = closed_after(TcpStream::connect(address).await.unwrap(), b"\x16\x03\x01").await;
    assert!(about(time, crate::limits::TLS_HANDSHAKE_TIMEOUT) && seen.is_empty(), "{time:?}");
    let (seen, _) = closed_after(TcpStream::connect(address).await.unwrap(), GET).await;
    assert!(!seen.starts_with("HTTP"), "{seen}");
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_refused() {
    let ((one, _), (other, _)) = (certificate(), certificate());
    let Err(error) = tls(&one.path().join("cert.pem"), &other.path().join("key.pem")) else { panic!("accepted") };
    assert!(error.to_string().contains("does not fit"), "{error}");
    let Err(error) = tls(&one.path().join("key.pem"), &one.path().join("key.pem")) else { panic!("accepted") };
    assert!(error.to_string().contains("holds no certificate"), "{error}");
}
