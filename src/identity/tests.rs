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
        // what the first one waited for its thread is not part of what a hash takes
        assert!(begun.elapsed() >= costly.mul_f64(0.9), "{email}: {:?} of {costly:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_try_that_ended_in_nothing_done_is_given_back() {
    let (room, log) = with_ada().await;
    log.refuse(|op| matches!(op, Op::Begin(_)));
    for n in 0..200 {
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

#[tokio::test]
async fn other_tries_are_given_back_too() {
    let (room, log) = with_ada().await;
    log.refuse(|op| matches!(op, Op::User { .. }));
    for n in 0..100 {
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
