//! Targets: what a fuzzer feeds with bytes, and what has to hold whatever they are.
//!
//! Frames of the Redis door, the session cookie, the headers of proxies, access rules: all that strangers write and we
//! read by hand. `cargo fuzz` runs them for as long as one likes (`fuzz_targets`), `tests/it/fuzz.rs` for some seconds.

use std::net::IpAddr;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use sojourn::config::{AccessRule, HostPattern};
use sojourn::identity::access::{Rules, Target, Verdict, verdict};
use sojourn::identity::cookie::Signer;
use sojourn::resp::frame::{Bounds, Frames};
use sojourn::web::authz::Dialect;
use sojourn::web::authz::asked::Asked;
use sojourn::web::forwarded;

/// The name of a corpus, and what is fed with it.
pub type Fed = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: [Fed; 4] = [("frames", frames), ("cookie", cookie), ("forwarded", forwarded), ("access", access)];

/// The commands in pieces of input, and what was wrong in the end.
fn commands<'d>(pieces: impl Iterator<Item = &'d [u8]>, bounds: Bounds) -> (Vec<Vec<Bytes>>, Option<String>) {
    let (mut frames, mut input, mut found) = (Frames::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match frames.next(&mut input, bounds) {
                Ok(Some(command)) => found.push(command),
                Ok(None) => break,
                Err(wrong) => return (found, Some(wrong.0)),
            }
        }
    }
    (found, None)
}

/// The first byte says who sends and in which pieces; the rest is what is sent.
///
/// In pieces or at once, the same is read; and what was read, written again, is read again.
pub fn frames(data: &[u8]) {
    let Some((&how, input)) = data.split_first() else { return };
    // a line that is too long is found out sooner in pieces
    let input = &input[..input.len().min(4_096)];
    let bounds = if how % 2 == 0 { Bounds::KNOWN } else { Bounds::UNKNOWN };
    let whole = commands(std::iter::once(input), bounds);
    let pieces = commands(input.chunks(1 + usize::from(how / 2)), bounds);
    assert_eq!(whole, pieces, "in pieces of {}", 1 + how / 2);
    let mut again = Vec::new();
    for command in &whole.0 {
        assert!(!command.is_empty());
        again.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
        for word in command {
            again.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            again.extend_from_slice(word);
            again.extend_from_slice(b"\r\n");
        }
    }
    assert_eq!(commands(std::iter::once(again.as_slice()), Bounds::KNOWN), (whole.0, None));
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new(&["keyboard cat", "the secret before"]));

/// Nobody forges a cookie: one that is accepted spells, decoded, the very bytes that we would sign. And whatever is
/// signed is accepted, unless it is too long.
pub fn cookie(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let plain = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    if let Some(verified) = SIGNER.verify(text) {
        let other = Signer::new(&["the secret before"]);
        let ours = if verified.outdated { other.sign(&verified.sid) } else { SIGNER.sign(&verified.sid) };
        assert_eq!(plain(text), plain(&ours));
    }
    let signed = SIGNER.sign(text);
    if signed.len() <= sojourn::identity::cookie::COOKIE_MAX {
        assert_eq!(SIGNER.verify(&signed).map(|it| it.sid), Some(text.to_owned()).filter(|text| !text.is_empty()));
    }
    // one character less or more is none of ours
    assert!(SIGNER.verify(&signed[..signed.len() - 1]).is_none());
    assert!(SIGNER.verify(&format!("{signed}A")).is_none());
}

const HEADERS: [&str; 8] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-forwarded-host",
    "x-forwarded-uri",
    "x-forwarded-method",
];

/// Where the check itself answers.
const OWN: &str = "login.example.com";

/// Each line is a header: its first byte says which, the rest is the value. The first line says who sends.
///
/// A stranger is never believed; what a stranger put further left changes nothing; and a second word about which
/// request this is makes the question unclear instead of another one.
pub fn forwarded(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let peer = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
    let peer: IpAddr = peer.unwrap_or(IpAddr::from([10, 0, 0, 1]));
    let trusted: [IpNet; 2] = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a network"));
    let named = |line: &[u8]| {
        let (which, value) = line.split_first()?;
        let name = HeaderName::from_static(HEADERS[usize::from(*which) % HEADERS.len()]);
        Some((name, HeaderValue::from_bytes(value).ok()?))
    };
    let pairs: Vec<_> = lines.filter_map(named).collect();
    let headers: HeaderMap = pairs.iter().cloned().fold(HeaderMap::new(), |mut all, (name, value)| {
        all.append(name, value);
        all
    });
    let address = forwarded::address(peer, &headers, &trusted);
    let https = forwarded::is_https(peer, &headers, &trusted);
    if !forwarded::is_trusted(peer.to_canonical(), &trusted) {
        assert_eq!((address, https), (peer.to_canonical(), false), "a stranger was believed");
    }
    if !forwarded::is_trusted(address, &trusted) {
        let mut left = HeaderMap::new();
        left.append(HEADERS[0], HeaderValue::from_static("6.6.6.6, garbage"));
        pairs.into_iter().for_each(|(name, value)| _ = left.append(name, value));
        assert_eq!(forwarded::address(peer, &left, &trusted), address, "what stands further left was read");
    }
    for dialect in [Dialect::AuthRequest, Dialect::ForwardAuth, Dialect::Verify] {
        let Ok(asked) = Asked::read(&headers, dialect, OWN) else { continue };
        let other = format!("{}/other", asked.target.path());
        for (name, value) in [("x-original-uri", other.clone()), ("x-forwarded-uri", other.clone())] {
            let mut more = headers.clone();
            let Ok(value) = HeaderValue::from_str(&value) else { continue };
            more.append(name, value);
            assert!(Asked::read(&more, dialect, OWN).is_err(), "two paths were taken for one");
        }
        let mut more = headers.clone();
        more.append("x-forwarded-host", HeaderValue::from_static("other.invalid"));
        assert!(Asked::read(&more, dialect, OWN).is_err(), "two hosts were taken for one");
    }
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let rule = |path: &str, public: bool, methods: &[&str], groups: &[&str]| AccessRule {
        host: HostPattern::Exact("app.example.com".to_owned()),
        path: path.to_owned(),
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        public,
    };
    Rules::new(&[
        rule("", false, &[], &["staff"]),
        rule("/public", true, &[], &[]),
        rule("/public/inner", false, &[], &["admins"]),
        rule("/api", true, &["GET"], &[]),
        rule("/admin", false, &[], &["admins"]),
    ])
});

/// A path as careless services read it: decoded so often, cut at these, with dots resolved and slashes merged, in lower
/// case. The first parts of it.
fn careless(raw: &str, decodings: usize, cut: &[char]) -> (String, String) {
    let mut path = raw.to_owned();
    for _ in 0..decodings {
        path = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    }
    let path = path.replace('\\', "/").to_ascii_lowercase();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part.split(cut).next().unwrap_or_default() {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let part = |at: usize| parts.get(at).copied().unwrap_or_default().to_owned();
    (part(0), part(1))
}

/// Three lines: host, path, method.
///
/// What passes without a name is public however a service reads the path: decoded never, once or twice, with or without
/// what stands behind a semicolon.
pub fn access(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (host, raw, method) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default(), lines.next());
    let Ok(target) = Target::read(host, raw, method) else { return };
    let path = target.path();
    assert!(path.starts_with('/') && !path.contains("//") && !path.contains('\\'), "{path}");
    assert!(!path.split('/').any(|part| matches!(part, "." | "..")), "{path}");
    assert_eq!(percent_decode_str(path).decode_utf8_lossy(), path, "it can be decoded once more");
    assert_eq!(target.host(), target.host().to_ascii_lowercase());
    let found = verdict(&RULES, &target, None);
    assert!(!matches!(found, Verdict::Pass | Verdict::Waits), "nobody passed as somebody");
    if found == Verdict::PassUnnamed {
        assert_eq!(target.host(), "app.example.com");
        // what is not decoded at all is another path only where something is encoded, and then no rule knows it
        let decodings = if raw.contains('%') { 1..=2 } else { 0..=2 };
        for times in decodings {
            for cut in [&[][..], &[';']] {
                match careless(raw, times, cut) {
                    (first, second) if first == "public" => assert_ne!(second, "inner", "{raw}"),
                    (first, _) => assert!(first == "api" && matches!(method, Some("GET" | "HEAD")), "{raw}"),
                }
            }
        }
    }
}
