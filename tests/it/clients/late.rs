//! Late: a slow request that saves its session after another one has ended it (connect-redis, issue 328).
//!
//! express-session writes a changed session at the end of every request, as it has it. On Redis that write brings back
//! what was signed out in the meantime. Here it changes nothing.

use super::{Server, are_wanted};
use crate::harness::PASSWORD;

const STORES: [&str; 3] = ["6 redis3", "8 ioredis5", "10 redis6"];

/// What became of the session, by whatever ended it, in each store.
fn outcomes(server: &Server) -> Vec<String> {
    let said = |how: &str, store: &str| {
        let said = server.run(&format!("late_save.cjs {how} {store}")).unwrap_or_else(|why| panic!("{why}"));
        said.lines().next().unwrap_or_default().to_owned()
    };
    STORES.iter().flat_map(|store| ["destroy", "logout"].map(|how| said(how, store))).collect()
}

#[test]
fn a_late_save_revives_an_ended_session_on_redis_and_none_here() {
    if !are_wanted() {
        return;
    }
    // whoever finds this to fail may find Redis or the store changed: then it is no test of ours any more
    assert_eq!(outcomes(&Server::redis()), vec!["revived"; 2 * STORES.len()]);
    for server in [Server::one(), Server::three()] {
        assert_eq!(outcomes(&server), vec!["dead"; 2 * STORES.len()]);
    }
    // it is the guard that does it
    let unguarded = Server::three_with(&[("SOJOURN_REDIS_DELETE_GUARD", "0s")]);
    assert_eq!(outcomes(&unguarded), vec!["revived"; 2 * STORES.len()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_save_of_an_app_does_not_undo_our_sign_out() {
    if !are_wanted() {
        return;
    }
    let secret = "a secret that the app and its nodes share";
    let server = Server::three_with(&[("SOJOURN_SESSIONS_SECRETS", secret)]);
    let (_, nodes) = server.nodes();
    let mut ada = nodes[0].visitor();
    ada.sign_up("ada@example.com").await;
    for (out, through) in [("/api/v1/signout", 2), ("/api/v1/signout", 0)] {
        ada.sign_in("ada@example.com", PASSWORD).await;
        let mut command = super::command(&format!("late_save.cjs {}{out} 10 redis6", nodes[through].url));
        command.args(server.args()).current_dir(super::scripts());
        command.envs([("COOKIE", "sojourn"), ("SECRET", secret), ("SIGNED", ada.session_cookie())]);
        let done = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(said.starts_with("dead\n"), "{said}{}", String::from_utf8_lossy(&done.stderr));
        assert!(!ada.a_while_later().is_signed_in().await);
        ada = nodes[0].visitor();
    }
}
