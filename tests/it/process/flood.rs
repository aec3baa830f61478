//! Flood: a thousand strangers at the peer ports, while three nodes go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::cluster::{nodes, signed_up, three, until, votes};

const STRANGERS: usize = 1_000;
/// How long each of them rests before it comes again.
const REST: Duration = Duration::from_millis(200);
/// The first byte of an alert (RFC 8446, 5.1).
const ALERT: u8 = 21;

/// What strangers met.
#[derive(Default)]
struct Met {
    closed: AtomicUsize,
    told: AtomicUsize,
}

/// Comes again and again, silent or with something that is no TLS, until told to stop.
async fn bother(address: String, number: usize, met: Arc<Met>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::Relaxed) {
        if let Ok(Ok(mut stream)) = timeout(Duration::from_secs(1), TcpStream::connect(&address)).await {
            let sent: &[u8] = match number % 3 {
                0 => b"",
                1 => b"GET / HTTP/1.1\r\nhost: node.sojourn\r\n\r\n",
                // a record of TLS that never ends
                _ => &[22, 3, 1, 64, 0, 1, 0],
            };
            // it may be closed already
            let _ = stream.write_all(sent).await;
            let mut read = Vec::new();
            if let Ok(Ok(_) | Err(_)) = timeout(Duration::from_secs(10), stream.read_to_end(&mut read)).await {
                met.closed.fetch_add(1, Ordering::Relaxed);
            }
            if read.first().is_some_and(|first| *first != ALERT) {
                met.told.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(REST).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_strangers_at_the_peer_ports_keep_no_node_from_another() {
    let (places, mut programs) = three();
    let ada = signed_up(&programs[0]).await;
    let addresses: Vec<String> =
        nodes(&places[0]).iter().map(|node| node["address"].as_str().expect("an address").to_owned()).collect();
    let (met, is_over) = (Arc::new(Met::default()), Arc::new(AtomicBool::new(false)));
    let mut strangers = JoinSet::new();
    for number in 0..STRANGERS {
        strangers.spawn(bother(addresses[number % 3].clone(), number, met.clone(), is_over.clone()));
    }
    let mut took = Vec::new();
    for count in 0..60 {
        let mut there = ada.at_url(&programs[count % 3].url);
        let asked = Instant::now();
        assert_eq!(there.patch(&json!({"count": count})).await.status(), StatusCode::OK, "write {count}");
        took.push(asked.elapsed());
        assert!(ada.at_url(&programs[(count + 1) % 3].url).is_signed_in().await, "check {count}");
    }
    took.sort();
    println!("writes: p50 {:?}, slowest {:?}", took[30], took[59]);
    assert!(took[57] < Duration::from_secs(1), "{took:?}");

    // a node that has to open all its connections anew gets through as well
    let back = Instant::now();
    assert_eq!(programs.remove(2).stop(), Some(0));
    programs.push(places[2].start());
    until("it votes again", || votes(&places[2], 3));
    println!("restarted in {:?}; {} strangers were closed", back.elapsed(), met.closed.load(Ordering::Relaxed));
    assert!(ada.at_url(&programs[2].url).is_signed_in().await);
    is_over.store(true, Ordering::Relaxed);
    timeout(Duration::from_secs(30), strangers.join_all()).await.expect("none is kept for long");
    assert!(met.closed.load(Ordering::Relaxed) > STRANGERS);
    assert_eq!(met.told.load(Ordering::Relaxed), 0, "a stranger hears nothing but alerts");
}
