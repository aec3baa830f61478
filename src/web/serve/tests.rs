//! Whole requests through the real listener, against routes made for the purpose.

use std::time::Duration;

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::error::Result;
use crate::web::Route;

async fn echo(_door: &Door, request: &Request) -> Result<Reply> {
    Ok(reply::text(StatusCode::OK, request.body.clone()))
}

async fn fail(_door: &Door, request: &Request) -> Result<Reply> {
    Err(match request.param("how") {
        "panic" => panic!("on purpose"),
        "broken" => Error::Broken("the cause".to_owned()),
        "unknown" => Error::NotSignedIn,
        "slow" => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Error::Full
        }
        _ => Error::TooMany { retry_after_secs: 7 },
    })
}

async fn who(_door: &Door, request: &Request) -> Result<Reply> {
    let host = request.header(header::HOST).unwrap_or_default();
    Ok(reply::text(StatusCode::OK, format!("{} {host} {}", request.address, request.query)))
}

fn table() -> Table {
    Table::new(vec![
        Route::json(Method::GET, "/", Takes::Nothing, |d, r| Box::pin(who(d, r))),
        Route::json(Method::GET, "/who", Takes::Nothing, |d, r| Box::pin(who(d, r))),
        Route::json(Method::POST, "/json", Takes::Json, |d, r| Box::pin(echo(d, r))),
        Route::json(Method::POST, "/none", Takes::Nothing, |d, r| Box::pin(echo(d, r))),
        Route::json(Method::PATCH, "/merge", Takes::MergePatch, |d, r| Box::pin(echo(d, r))),
        Route::json(Method::POST, "/both", Takes::JsonOrForm, |d, r| Box::pin(echo(d, r))),
        Route::page(Method::POST, "/form", |d, r| Box::pin(echo(d, r))),
        Route::page(Method::GET, "/page/{how}", |d, r| Box::pin(fail(d, r))),
        Route::json(Method::GET, "/api/{how}", Takes::Nothing, |d, r| Box::pin(fail(d, r))),
    ])
}

async fn site(public_url: &str) -> SocketAddr {
    let mut door = Door::unasked(public_url);
    door.settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let site = Arc::new(Site { door, table: table(), misread: Once::new() });
    tokio::spawn(serve(site, Port::plain(listener), std::future::pending()));
    address
}

/// Sends `head` (without `Host`) and `body`, and reads to the end of the connection.
async fn sent(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (line, rest) = head.split_once('\n').unwrap_or((head, ""));
    let rest = rest.lines().map(|line| format!("{}\r\n", line.trim())).collect::<String>();
    let head = format!("{line} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{rest}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let _ = stream.write_all(body).await;
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen).await;
    String::from_utf8_lossy(&seen).into_owned()
}

/// A body with its length.
async fn posted(address: SocketAddr, head: &str, body: &[u8]) -> String {
    sent(address, &format!("{head}\ncontent-length: {}", body.len()), body).await
}

fn status(reply: &str) -> u16 {
    reply.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no reply: {reply:?}"))
}

#[tokio::test]
async fn every_reply_carries_the_security_headers_and_names_no_server() {
    let address = site("https://a.example").await;
    for head in ["GET /who", "GET /nowhere", "GET /json", "GET /api/broken", "OPTIONS /who", "POST /json", "HEAD /who"]
    {
        let reply = sent(address, head, b"").await.to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: same-origin",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "strict-transport-security: max-age=31536000; includesubdomains",
            "cache-control: no-store",
        ] {
            assert!(reply.contains(header), "{head}: {header} is not in {reply}");
        }
        assert!(!reply.contains("\r\nserver:") && !reply.contains("access-control-"), "{reply}");
    }
}

#[tokio::test]
async fn methods_are_answered_from_the_table() {
    let address = site("http://here").await;
    let head = sent(address, "HEAD /who?a=b", b"").await;
    let get = sent(address, "GET /who?a=b", b"").await;
    assert!(get.ends_with("127.0.0.1 here a=b"), "{get}");
    assert!(head.contains("content-length: 18\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    for method in ["PUT", "TRACE", "FOO", "DELETE"] {
        let reply = sent(address, &format!("{method} /who"), b"").await;
        assert_eq!(status(&reply), 405, "{method}");
        assert!(reply.contains("allow: GET, HEAD, OPTIONS\r\n"), "{reply}");
    }
    let options = sent(address, "OPTIONS /json", b"").await;
    assert_eq!(status(&options), 204);
    assert!(options.contains("allow: OPTIONS, POST\r\n"), "{options}");
    assert_eq!(status(&sent(address, "CONNECT here:80", b"").await), 405);
    assert_eq!(status(&sent(address, "OPTIONS *", b"").await), 404);
    assert_eq!(status(&sent(address, "GET http://here", b"").await), 200);
}

#[tokio::test]
async fn people_get_pages_and_programs_problems() {
    let address = site("http://here").await;
    for (head, code, is_page) in [
        ("GET /page/busy\naccept: text/html", 429, true),
        ("GET /page/busy", 429, false),
        ("GET /api/busy\naccept: text/html", 429, false),
        ("GET /nowhere\naccept: text/html", 404, true),
        ("GET /api/v9/x\naccept: text/html", 404, false),
        ("GET /nowhere\naccept: application/json", 404, false),
    ] {
        let reply = sent(address, head, b"").await;
        assert_eq!(status(&reply), code, "{head}");
        assert_eq!(reply.contains("content-type: text/html"), is_page, "{head}");
        assert_eq!(reply.contains("content-type: application/problem+json"), !is_page, "{head}");
        assert_eq!(reply.contains("retry-after: 7\r\n"), code == 429);
    }
}

#[tokio::test]
async fn who_must_sign_in_is_led_there_and_back_but_programs_are_told() {
    let address = site("http://here").await;
    let page = sent(address, "GET /page/unknown?a=b&c", b"").await;
    assert_eq!(status(&page), 303);
    assert!(page.contains("location: /login?next=%2Fpage%2Funknown%3Fa%3Db%26c\r\n"), "{page}");
    assert_eq!(status(&sent(address, "GET /api/unknown", b"").await), 401);
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_goes_on() {
    let address = site("http://here").await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /api/panic HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        let reply = String::from_utf8(seen).unwrap();
        assert_eq!(status(&reply), 500);
        assert!(reply.contains("request_id") && !reply.contains("purpose"), "{reply}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_never_answers_is_given_up() {
    let address = site("http://here").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(status(&sent(address, "GET /api/slow", b"").await), 504);
    assert!(begun.elapsed() >= limits::REQUEST_TIMEOUT && begun.elapsed() < limits::REQUEST_TIMEOUT * 2);
}

#[tokio::test]
async fn routes_take_their_own_types_alone() {
    let address = site("http://here").await;
    let cases = [
        ("POST /json", "application/json", 200),
        ("POST /json", "text/plain", 415),
        ("POST /json", "application/x-www-form-urlencoded", 415),
        ("POST /json", "application/json; charset=latin1", 415),
        ("POST /json", "application/json\ncontent-encoding: gzip", 415),
        ("POST /json", "application/json\ncontent-type: text/plain", 415),
        ("PATCH /merge", "application/merge-patch+json", 200),
        ("PATCH /merge", "application/json", 200),
        ("PATCH /merge", "text/json", 415),
        ("POST /both", "application/x-www-form-urlencoded", 200),
        ("POST /both", "multipart/form-data; boundary=x", 415),
        ("POST /form", "application/x-www-form-urlencoded", 200),
        ("POST /form", "application/json", 415),
        ("POST /none", "text/plain", 415),
        ("POST /none", "application/json", 200),
    ];
    for (head, media, code) in cases {
        let reply = posted(address, &format!("{head}\ncontent-type: {media}"), b"{}").await;
        assert_eq!(status(&reply), code, "{head} {media}");
    }
    assert_eq!(status(&posted(address, "POST /json", b"{}").await), 415);
    assert_eq!(status(&posted(address, "POST /none\ncontent-type: text/plain", b"").await), 200);
}

#[tokio::test]
async fn other_sites_change_nothing() {
    let address = site("https://login.example").await;
    for (said, code) in [
        ("origin: https://login.example", 200),
        ("origin: http://here", 200),
        ("x-forwarded-proto: https\norigin: https://here", 200),
        ("x-forwarded-proto: https\norigin: http://here", 403),
        ("origin: https://evil.example", 403),
        ("origin: null", 403),
        ("sec-fetch-site: same-site", 403),
        ("sec-fetch-site: cross-site", 403),
        ("sec-fetch-site: same-origin", 200),
        ("x: y", 200),
    ] {
        let reply = posted(address, &format!("POST /json\ncontent-type: application/json\n{said}"), b"{}").await;
        assert_eq!(status(&reply), code, "{said}");
    }
    assert_eq!(status(&sent(address, "GET /who\nsec-fetch-site: cross-site", b"").await), 200);
}

/// Log lines of this thread.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_was_refused_as_foreign_is_logged_and_a_wrong_public_url_is_named_once() {
    let paper = Paper::default();
    let inner = paper.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || inner.clone()).finish();
    let _until_the_end = tracing::subscriber::set_default(subscriber);
    let lines = || String::from_utf8(std::mem::take(&mut *paper.0.lock())).unwrap();

    let address = site("http://localhost:3000").await;
    let form = "POST /json\ncontent-type: application/json\norigin:";
    let reply = posted(address, &format!("{form} https://evil.example"), b"{}").await;
    assert!(status(&reply) == 403 && reply.contains("from another site") && !reply.contains("public_url"), "{reply}");
    let said = lines();
    assert!(said.contains("sojourn::security") && said.contains("/json") && said.contains("127.0.0.1"), "{said}");
    assert!(!said.contains("public_url"));
    for times in [1, 0] {
        let reply = posted(address, &format!("{form} https://here"), b"{}").await;
        assert!(status(&reply) == 403 && reply.contains("set public_url"), "{reply}");
        let said = lines();
        assert_eq!(said.matches("hint: set public_url").count(), times, "{said}");
    }
}

#[tokio::test]
async fn a_body_may_be_as_long_as_the_limit_and_not_a_byte_more() {
    let address = site("http://here").await;
    let json = "POST /json\ncontent-type: application/json";
    let full = vec![b'x'; limits::BODY_MAX];
    let reply = posted(address, json, &full).await;
    assert_eq!(status(&reply), 200);
    assert!(reply.ends_with(std::str::from_utf8(&full).unwrap()));
    for extra in [1, 100_000, 500_000] {
        let long = vec![b'x'; limits::BODY_MAX + extra];
        assert_eq!(status(&posted(address, json, &long).await), 413, "{extra}");
        let chunk = [format!("{:x}\r\n", long.len()).as_bytes(), &long, b"\r\n0\r\n\r\n"].concat();
        let reply = sent(address, &format!("{json}\ntransfer-encoding: chunked"), &chunk).await;
        assert_eq!(status(&reply), 413, "{extra}, in chunks");
    }
    for declared in ["1073741824", "70000\nexpect: 100-continue"] {
        let reply = sent(address, &format!("{json}\ncontent-length: {declared}"), b"").await;
        assert_eq!(status(&reply), 413, "{declared}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_dawdles_is_given_up() {
    let address = site("http://here").await;
    let begun = tokio::time::Instant::now();
    let reply = sent(address, "POST /json\ncontent-type: application/json\ncontent-length: 10", b"{").await;
    assert_eq!(status(&reply), 408);
    assert!(begun.elapsed() >= limits::BODY_TIMEOUT && begun.elapsed() < limits::BODY_TIMEOUT * 2);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_badly_framed_is_no_fault_of_ours() {
    let address = site("http://here").await;
    let head = "POST /json\ncontent-type: application/json\ntransfer-encoding: chunked";
    let reply = sent(address, head, b"zz\r\n{}\r\n").await;
    assert!(reply.is_empty() || status(&reply) == 400, "{reply}");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST /json HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n{").await.unwrap();
    drop(stream);
    assert_eq!(status(&sent(address, "GET /who", b"").await), 200);
}

#[tokio::test]
async fn the_sender_is_who_trusted_proxies_say() {
    let address = site("http://here").await;
    let reply = sent(address, "GET /who\nx-forwarded-for: 6.6.6.6, 1.2.3.4, 127.0.0.9", b"").await;
    assert!(reply.ends_with("1.2.3.4 here "), "{reply}");
    let reply = sent(address, "GET /who\nx-forwarded-for: nonsense", b"").await;
    assert!(reply.ends_with("127.0.0.1 here "), "{reply}");
}

#[tokio::test]
async fn two_hosts_are_refused_and_an_absolute_target_outranks_one() {
    let address = site("http://here").await;
    assert_eq!(status(&sent(address, "GET /who\nhost: there", b"").await), 400);
    let reply = sent(address, "GET http://there/who", b"").await;
    assert!(reply.ends_with("127.0.0.1 there "), "{reply}");
}

/// Sends bytes as they are and reads to the end of the connection.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut seen = Vec::new();
    let _ = timeout(Duration::from_secs(60), stream.read_to_end(&mut seen)).await.expect("it is closed");
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn a_host_must_be_named_and_look_like_one() {
    let address = site("http://here").await;
    for (head, code) in [
        ("GET /who HTTP/1.1", 400),
        ("GET /nowhere HTTP/1.1", 400),
        ("GET /who HTTP/1.1\r\nHost:", 400),
        ("GET /who HTTP/1.1\r\nHost: a b", 400),
        ("GET /who HTTP/1.1\r\nHost: a/b", 400),
        ("GET /who HTTP/1.1\r\nHost: user@here", 400),
        ("GET /who HTTP/1.1\r\nHost: h\u{fc}re", 400),
        ("GET http://user@here/who HTTP/1.1\r\nHost: here", 400),
        ("GET http://here/who HTTP/1.1", 200),
        ("GET /who HTTP/1.1\r\nHost: [2001:db8::1]:3000", 200),
        ("GET /who HTTP/1.1\r\nHost: xn--bcher-kva.example.:80", 200),
        ("GET /who HTTP/1.0", 200),
    ] {
        let reply = raw(address, format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&reply), code, "{head}");
        assert!(reply.contains("x-content-type-options"), "{head}");
    }
}

#[tokio::test]
async fn what_follows_a_body_of_doubtful_length_is_no_request() {
    let address = site("http://here").await;
    let head = "POST /json HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n";
    let smuggled = "GET /who HTTP/1.1\r\nHost: here\r\n\r\n";
    for lengths in [
        "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let bytes = format!("{head}{lengths}\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}");
        let reply = raw(address, bytes.as_bytes()).await;
        assert!(status(&reply) == 200 && reply.contains("connection: close\r\n"), "{reply}");
        assert_eq!(reply.matches("HTTP/1.1 ").count(), 1, "{reply}");
    }
}

#[tokio::test]
async fn every_401_names_a_scheme_that_nobody_asks_a_password_for() {
    let address = site("http://here").await;
    let reply = sent(address, "GET /api/unknown", b"").await;
    assert!(status(&reply) == 401 && reply.contains("www-authenticate: Cookie realm=\"sojourn\"\r\n"), "{reply}");
    assert!(!sent(address, "GET /api/busy", b"").await.contains("www-authenticate"));
}

/// HTTP/2 by hand: the preface, empty settings, and `GET /` for the authority `there` (RFC 9113, RFC 7541).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x0a\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x05there";

#[tokio::test(start_paused = true)]
async fn http_2_is_spoken_and_its_authority_is_the_host() {
    let address = site("http://here").await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(HTTP2).await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen).await;
    assert!(String::from_utf8_lossy(&seen).contains("127.0.0.1 there"), "{}", String::from_utf8_lossy(&seen));
    // nobody answers the server's pings here, so it ends the connection
    assert!(begun.elapsed() < limits::KEEP_ALIVE_IDLE);
}

#[tokio::test]
async fn the_metrics_listener_serves_metrics_and_nothing_else() {
    let web = site("http://here").await;
    sent(web, "GET /who", b"").await;
    sent(web, "GET /nowhere", b"").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(crate::web::scrape::serve(Port::plain(listener), std::future::pending()));
    let page = sent(address, "GET /metrics", b"").await;
    assert!(page.contains("sojourn_http_requests_total{method=\"GET\",route=\"/who\",status=\"2xx\"}"), "{page}");
    assert!(page.contains("route=\"other\",status=\"4xx\""));
    assert!(page.contains("sojourn_http_connections ") && page.contains("sojourn_http_request_seconds_bucket"));
    assert!(!page.contains("nowhere"));
    assert_eq!(status(&sent(address, "GET /", b"").await), 404);
    assert_eq!(status(&sent(address, "GET /profile", b"").await), 404);
    assert_eq!(status(&sent(address, "POST /metrics", b"").await), 405);
    assert_eq!(status(&sent(web, "GET /metrics", b"").await), 404);
}
