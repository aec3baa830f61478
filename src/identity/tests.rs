//! What happens around a sign-in besides its answer: how long a refusal takes, which tries count.

use std::sync::Arc;
use std::time::Instant;

use super::alone::{Alone, client};
use super::passwords::HashPool;
use super::*;
use crate::limits;
use crate::state::NewUser;

const ADA: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";
/// Of `password`, by bcrypt of cost 12.
const BCRYPT: &str = "$2y$12$7Mj1fG3bdlpmRcXtZpwimOI4pItCQcj5x2.ZqydPbR5wWlKGVaQVe";

fn form(email: &str, password: &str) -> SignIn {
    SignIn { email: email.to_owned(), password: password.to_owned(), remember: false }
}

async fn sign_in(room: &Identity, email: &str, password: &str) -> Result<()> {
    room.sign_in(form(email, password), &Visitor::default(), &client()).await.map(|_| ())
}

/// A room with an account.
async fn with_ada() -> (Identity, Arc<Alone>) {
    let (room, log) = Identity::alone();
    let form = SignUp {
        email: ADA.to_owned(),
        password: PASSWORD.to_owned(),
        first_name: String::new(),
        last_name: String::new(),
    };
    room.sign_up(form, &client()).await.expect("an account");
    (room, log)
}

#[tokio::test]
async fn an_unknown_address_is_refused_no_sooner_than_one_with_a_costly_imported_hash() {
    let (room, _) = with_ada().await;
    let bob = NewUser {
        id: "bob".to_owned(),
        email: "bob@example.com".to_owned(),
        first_name: String::new(),
        last_name: String::new(),
        password_hash: BCRYPT.to_owned(),
        created_at: 0,
        admin: false,
        approved: true,
        verified: true,
    };
    room.add(bob).await.expect("an account");
    let begun = Instant::now();
    room.hashes.verify("wrong", Some(BCRYPT)).await.expect("verifies");
    let costly = begun.elapsed();
    for email in ["bob@example.com", "nobody@example.com", ADA] {
        let begun = Instant::now();
        assert!(matches!(sign_in(&room, email, "wrong horse battery").await, Err(Error::Credentials)));
        // half: what the first one waited for its thread on a busy machine is not part of what its hash took
        assert!(begun.elapsed() >= costly / 2, "{email}: {:?} of {costly:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_try_that_ended_in_nothing_done_is_given_back() {
    let (room, log) = with_ada().await;
    log.refuse(|op| matches!(op, Op::Begin(_)));
    for n in 0..70 {
        let refused = sign_in(&room, ADA, PASSWORD).await;
        assert!(matches!(refused, Err(Error::NotDone(_))), "{n}: {refused:?}");
    }
    log.refuse(|_| false);
    for n in 0..limits::ACCOUNT_TRIES.free {
        assert!(matches!(sign_in(&room, ADA, "wrong horse battery").await, Err(Error::Credentials)), "{n}");
    }
    assert!(
        matches!(sign_in(&room, ADA, PASSWORD).await, Err(Error::TooMany { .. })),
        "those that were looked at count"
    );
}

#[tokio::test]
async fn a_sign_in_that_cannot_be_hashed_costs_no_write() {
    let (mut room, log) = with_ada().await;
    room.hashes = HashPool::full();
    let before = log.decided();
    for _ in 0..100 {
        assert!(matches!(sign_in(&room, ADA, PASSWORD).await, Err(Error::NotDone(_))));
    }
    assert_eq!(log.decided(), before);
}

/// Log lines of this thread until it is dropped.
#[derive(Clone, Default)]
struct Paper(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    /// The lines so far, which are taken off.
    fn lines(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock())).expect("is text")
    }
}

#[tokio::test]
async fn what_concerns_the_ways_in_is_logged_without_what_was_typed() {
    let paper = Paper::default();
    let inner = paper.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || inner.clone()).finish();
    let _until_the_end = tracing::subscriber::set_default(subscriber);
    let said = |wanted: &[&str]| {
        let lines = paper.lines();
        let line = lines.lines().find(|line| line.contains("sojourn::security")).unwrap_or_default();
        assert!(wanted.iter().all(|word| line.contains(word)), "{wanted:?}: {lines}");
        for typed in ["ada@", "nobody", "horse"] {
            assert!(!lines.contains(typed), "{lines}");
        }
    };
    let (room, _) = with_ada().await;
    let (ada, _) = room.account(ADA).await.expect("an account");
    said(&["INFO", "signed up", &ada.id, "192.0.2.7"]);
    let signed_in = room.sign_in(form(ADA, PASSWORD), &Visitor::default(), &client()).await;
    said(&["INFO", "signed in", &ada.id, "192.0.2.7"]);
    sign_in(&room, "nobody@example.com", "wrong horse battery").await.expect_err("nobody");
    said(&["WARN", "refused", "192.0.2.7"]);
    sign_in(&room, ADA, "wrong horse battery").await.expect_err("wrong");
    said(&["WARN", "refused", &ada.id, "192.0.2.7"]);
    let (_, granted) = signed_in.expect("signed in");
    let session = smallvec::smallvec![granted.cookie.as_str()];
    let cookies = Cookies { session, own: smallvec::smallvec![granted.own.as_str()] };
    let visitor = room.visitor(&cookies).await.expect("a look");
    let new = "another horse battery";
    room.change_password(&visitor, "wrong horse battery", new, &client()).await.expect_err("wrong");
    said(&["WARN", "refused", &ada.id]);
    room.change_password(&visitor, PASSWORD, new, &client()).await.expect("changed");
    said(&["INFO", "changed", &ada.id, "192.0.2.7"]);
    let link = room.link_for(ADA).await.expect("a link").url;
    let token = link.rsplit('/').next().expect("a token");
    room.spend_link(token, PASSWORD, &client()).await.expect("spent");
    assert!(!paper.0.lock().windows(token.len()).any(|part| part == token.as_bytes()));
    said(&["INFO", "link was spent", &ada.id, "192.0.2.7"]);
    for _ in 0..limits::ACCOUNT_TRIES.free {
        sign_in(&room, ADA, "wrong horse battery").await.expect_err("wrong");
    }
    paper.lines();
    sign_in(&room, ADA, PASSWORD).await.expect_err("throttled");
    said(&["WARN", "too many tries", "192.0.2.7"]);
}

#[tokio::test]
async fn other_tries_are_given_back_too() {
    let (room, log) = with_ada().await;
    log.refuse(|op| matches!(op, Op::User { .. }));
    for n in 0..70 {
        let form = SignUp {
            email: "bob@example.com".to_owned(),
            password: PASSWORD.to_owned(),
            first_name: String::new(),
            last_name: String::new(),
        };
        let refused = room.sign_up(form, &client()).await;
        assert!(matches!(refused, Err(Error::NotDone(_))), "{n}: {refused:?}");
    }
    log.refuse(|_| false);
    let (_, granted) =
        room.sign_in(form(ADA, PASSWORD), &Visitor::default(), &client()).await.expect("the right password");
    let cookies = Cookies {
        session: smallvec::smallvec![granted.cookie.as_str()],
        own: smallvec::smallvec![granted.own.as_str()],
    };
    let visitor = room.visitor(&cookies).await.expect("a look");
    log.refuse(|op| matches!(op, Op::User { .. }));
    for n in 0..30 {
        let refused = room.change_password(&visitor, PASSWORD, "another horse battery", &client()).await;
        assert!(matches!(refused, Err(Error::NotDone(_))), "{n}: {refused:?}");
    }
    log.refuse(|op| matches!(op, Op::Forgive(_)));
    let changed = room.change_password(&visitor, PASSWORD, "another horse battery", &client()).await;
    assert!(changed.is_ok(), "what was done is said to be done: {changed:?}");
}
