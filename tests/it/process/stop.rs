//! Stop: signals, and what may not run beside what.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::Signal;

use crate::harness::PASSWORD;
use crate::program::{PATIENCE, Place, Program};

const GO_ON: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A sign-in of which the last byte is still to come.
struct SlowSignIn {
    stream: TcpStream,
    last: u8,
}

impl SlowSignIn {
    fn begin(node: &Program, email: &str) -> Self {
        let host = node.url.trim_start_matches("http://");
        let body = format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#);
        let head = format!(
            "POST /api/v1/signin HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             expect: 100-continue\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(host).expect("the door is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("is set");
        let (body, last) = body.as_bytes().split_at(body.len() - 1);
        stream.write_all(head.as_bytes()).expect("is sent");
        // said once the head is read and the body is waited for: from then on the request is under way
        let mut go_on = [0; GO_ON.len()];
        stream.read_exact(&mut go_on).expect("is answered");
        assert_eq!(go_on, *GO_ON);
        stream.write_all(body).expect("is sent");
        Self { stream, last: last[0] }
    }

    /// Sends the last byte, and reads what comes until the end.
    fn finish(mut self) -> String {
        self.stream.write_all(&[self.last]).expect("is sent");
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).expect("is answered");
        answer
    }
}

/// Waits until the node has written this.
fn until_said(node: &Program, text: &str) {
    let until = Instant::now() + PATIENCE;
    while !node.log().contains(text) {
        assert!(Instant::now() < until, "never said {text:?}: {}", node.log());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[tokio::test]
async fn sigterm_lets_a_request_under_way_finish_and_is_no_failure() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let mut node = place.start();
        node.visitor().sign_up("ada@example.com").await;
        let slow = SlowSignIn::begin(&node, "ada@example.com");
        node.signal(signal);
        until_said(&node, "stopping");
        let answer = slow.finish();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("sojourn="), "{answer}");
        assert_eq!(node.wait().code(), Some(0), "{}", node.log());
        assert!(TcpStream::connect(node.url.trim_start_matches("http://")).is_err(), "the door is closed");
    }
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once_and_nothing_is_lost() {
    let place = Place::new();
    let mut node = place.start();
    let ada = {
        let mut ada = node.visitor();
        ada.sign_up("ada@example.com").await;
        assert_eq!(ada.sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK);
        ada
    };
    let _slow = SlowSignIn::begin(&node, "ada@example.com");
    node.signal(Signal::TERM);
    until_said(&node, "stopping");
    let told = Instant::now();
    node.signal(Signal::TERM);
    assert_eq!(node.wait().code(), Some(1));
    assert!(told.elapsed() < sojourn::limits::DRAIN_TIMEOUT / 2, "it waited for the slow one");
    assert!(node.log().contains("stopped at once by a second SIGTERM"), "{}", node.log());
    let node = place.start();
    assert!(ada.at_url(&node.url).is_signed_in().await);
}

#[test]
fn a_data_directory_has_one_node() {
    let place = Place::new();
    let first = place.start();
    let second = place.refused();
    assert_eq!(second.status, Some(1), "{}", second.log);
    let data = place.data().display().to_string();
    assert!(second.log.contains(&format!("{data} is in use by ")), "{}", second.log);
    assert!(second.log.contains("hint: "), "{}", second.log);
    assert_eq!(place.done(&["healthcheck"]), "ready\n", "the first one is none the worse");
    assert_eq!(first.stop(), Some(0));
    assert_eq!(place.start().stop(), Some(0), "and its directory is free again");
}

#[test]
fn a_restore_does_not_touch_a_directory_that_a_node_uses() {
    let place = Place::new();
    let node = place.start();
    let file = place.file("backup");
    place.done(&["backup", &file.display().to_string()]);
    let refused = place.run(&["restore", &file.display().to_string()]);
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("is in use by "), "{}", refused.err);
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn tls_files_are_checked_before_anything_is_written() {
    let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (one, other) = (pair(), pair());
    let place = Place::new();
    let (cert, key) = (place.file("cert.pem"), place.file("key.pem"));
    let (named_cert, named_key) = (cert.display().to_string(), key.display().to_string());
    let place = place.with("SOJOURN_WEB_TLS_CERT", &named_cert).with("SOJOURN_WEB_TLS_KEY", &named_key);
    let good_key = one.signing_key.serialize_pem();
    for (chain, private, named) in [
        (None, Some(good_key.clone()), &named_cert),
        (Some(one.cert.pem()), None, &named_key),
        (Some("no certificate".into()), Some(good_key.clone()), &named_cert),
        (Some(one.cert.pem()), Some("no key".into()), &named_key),
        (Some(one.cert.pem()), Some(other.signing_key.serialize_pem()), &named_key),
    ] {
        for (file, text) in [(&cert, chain), (&key, private)] {
            let _ = std::fs::remove_file(file);
            if let Some(text) = text {
                std::fs::write(file, text).expect("is written");
            }
        }
        let refused = place.refused();
        assert_eq!(refused.status, Some(1), "{}", refused.log);
        assert!(refused.log.contains(named) && refused.log.contains("hint: "), "{}", refused.log);
        assert!(!place.data().exists(), "it made a data directory: {}", refused.log);
        let checked = place.run(&["config", "check"]);
        assert!(checked.status == 1 && checked.err.contains(named), "a check finds it, too: {}", checked.err);
    }
    std::fs::write(&key, good_key).expect("is written");
    assert_eq!(place.done(&["config", "check"]), "the settings are right\n");
    let node = place.start();
    assert!(node.log().contains("\"url\":\"https://localhost:"), "{}", node.log());
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn a_port_has_one_node() {
    let first = Place::new();
    let node = first.start();
    let address = node.url.trim_start_matches("http://").to_owned();
    let second = Place::new().with("SOJOURN_WEB_LISTEN", &address);
    let refused = second.refused();
    assert_eq!(refused.status, Some(1), "{}", refused.log);
    assert!(refused.log.contains(&format!("cannot listen on {address}")), "{}", refused.log);
    assert!(refused.log.contains("hint: ") && refused.log.contains("web.listen"), "{}", refused.log);
    let left: Vec<_> = std::fs::read_dir(second.data()).expect("is made").flatten().collect();
    assert!(left.is_empty(), "a start that failed wrote {left:?}");
    drop(node);
    let third = second.start();
    assert!(second.data().join("first-admin-link").exists(), "a start that failed was not the first one");
    assert_eq!(third.stop(), Some(0));
}
