//! History: many clients and a nemesis at one cluster of real processes, and a checker that reads what was recorded.
//!
//! `node` is a process that runs a node by a clock which can be set, `net` stands between nodes and cuts them off,
//! `nemesis` does harm, `client` and `life` are people who sign up, write and sign out, `record` is what happened to
//! them, and `check` proves or refutes the four promises from that alone. `TEST_SEED` repeats the throws of the dice,
//! `TEST_HISTORY_SECS` makes a run longer; `tests/chaos` and `tests/planted` do.

mod check;
mod client;
mod cluster;
mod entry;
mod life;
mod nemesis;
mod net;
mod node;
mod record;

use std::time::Duration;

use crate::process::Dice;

/// The seed of every run that names none.
const SEED: u64 = 20_260_920;
/// How long the short run goes on, seconds.
const SHORT: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_saw_under_faults_keeps_the_promises() {
    let seed = number("TEST_SEED").unwrap_or(SEED);
    let secs = number("TEST_HISTORY_SECS").unwrap_or(SHORT);
    println!("TEST_SEED={seed} TEST_HISTORY_SECS={secs}");
    let mut dice = Dice::of(seed);
    let cluster = cluster::Cluster::start().await;
    let crowd = life::Crowd::start(&cluster, &mut dice);
    crowd.lives().await;
    let harm = nemesis::run(&cluster, &mut dice, Duration::from_secs(secs)).await;
    assert_eq!(harm.broken, Vec::<String>::new(), "TEST_SEED={seed}; logs: {}", cluster.keep_logs());
    cluster.heal().await;
    let record = crowd.end(&cluster).await;
    let found = check::violations(&record);
    println!("{}", record.figures());
    println!("{harm}");
    println!("{} violations", found.len());
    let shown: Vec<&String> = found.iter().take(20).collect();
    if !found.is_empty() || harm.spared().is_some() || std::env::var_os("TEST_KEEP").is_some() {
        cluster.keep_logs();
    }
    assert!(found.is_empty(), "TEST_SEED={seed}: {} violations: {shown:#?}", found.len());
    assert_eq!(harm.spared(), None, "TEST_SEED={seed}: a class of faults never bit");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
