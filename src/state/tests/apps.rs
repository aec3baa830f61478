//! What apps' commands do to sessions, and what ends a session does to what apps write later.

use super::super::command::{AppScope, Call, Claim, Commands, Reply, Scope, Watched};
use super::super::entry::NEVER;
use super::super::{Told, told};
use super::*;

const SID: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz012345";
const SECOND: i64 = 1_000;

fn scope(may_sign_in: bool) -> Scope {
    let app = AppScope { name: "blog".into(), prefix: b"sess:".to_vec(), may_sign_in, share: 50 };
    Scope { db: 0, app: Some(app), sessions: "sess:".into(), guard_ms: 10 * SECOND }
}

fn express(user: Option<&str>, more: &str) -> String {
    let passport = user.map_or(String::new(), |user| format!(r#","passport":{{"user":"{user}"}}"#));
    format!(r#"{{"cookie":{{"path":"/"}}{passport},"more":"{more}"}}"#)
}

impl World {
    fn call_as(&self, scope: &Scope, words: &[&str]) -> Reply {
        let commands =
            Commands { scope: scope.clone(), calls: vec![Call::of(words)], watched: Vec::new(), is_whole: true };
        match self.run(&Op::Commands(Box::new(commands))) {
            Outcome::Replies(replies) => replies.into_iter().next().expect("a reply"),
            other => panic!("{words:?}: {other:?}"),
        }
    }

    fn call(&self, words: &[&str]) -> Reply {
        self.call_as(&scope(false), words)
    }

    fn user(&self, name: &str) -> Option<(String, Proof)> {
        let facts = self.get(name).filter(|entry| entry.is_live(self.now)).and_then(|entry| entry.facts())?;
        facts.signed.map(|signed| (signed.user, signed.proof))
    }
}

#[test]
fn an_app_that_saves_a_session_as_it_was_keeps_who_is_signed_in_and_how_long() {
    let world = World::new();
    world.begin("a", "ada");
    let saved = express(Some("ada"), "cart");
    assert_eq!(world.call(&["SET", "sess:a", &saved, "EX", "999999"]), Reply::OK);
    let entry = world.get("a").expect("an entry");
    assert_eq!(entry.value(), saved.as_bytes());
    assert_eq!(world.user("a"), Some(("ada".into(), Proof::Password)));
    assert_eq!(entry.deadline(), NOW + IDLE + MINUTE, "idle is ours to say");
    assert_eq!(entry.facts().expect("facts").absolute, NOW + LIFETIME);
}

#[test]
fn an_app_that_drops_or_changes_who_is_signed_in_signs_them_out() {
    for said in [express(None, ""), express(Some("bob"), ""), "no JSON".to_owned()] {
        let world = World::new();
        world.begin("a", "ada");
        world.call(&["SET", "sess:a", &said]);
        assert!(world.user("a").is_none_or(|(user, proof)| user == "bob" && proof == Proof::Claim), "{said}");
        assert!(world.entries.of_user("ada", world.now).is_empty(), "and it is listed no more");
    }
}

#[test]
fn only_an_app_that_may_sign_people_in_is_believed_and_never_beyond_our_sessions() {
    let world = World::new();
    let said = express(Some("ada"), "");
    world.call_as(&scope(false), &["SET", "sess:x", &said, "EX", "60"]);
    world.call_as(&scope(true), &["SET", "sess:y", &said, "EX", "60"]);
    assert_eq!(world.user("x"), Some(("ada".into(), Proof::Claim)));
    assert_eq!(world.user("y"), Some(("ada".into(), Proof::App)));
    let facts = world.get("y").and_then(|entry| entry.facts()).expect("facts");
    assert_eq!(facts.signed.expect("signed").own, [0; 16], "no second cookie has this digest");
    let elsewhere = Scope { sessions: "other:".into(), ..scope(true) };
    world.call_as(&elsewhere, &["SET", "sess:z", &said]);
    assert_eq!(world.user("z"), Some(("ada".into(), Proof::Claim)));
    assert_eq!(world.entries.of_user("ada", world.now).len(), 3);
}

#[test]
fn sessions_that_apps_keep_end_with_all_of_their_user() {
    let world = World::new();
    world.begin("a", "ada");
    world.call(&["SET", "sess:x", &express(Some("ada"), ""), "EX", "600"]);
    world.call(&["SET", "sess:y", &express(Some("ada"), "")]);
    assert_eq!(world.run(&end_user("ada", None)), Outcome::Ended(3));
    for name in ["a", "x", "y"] {
        assert_eq!(world.call(&["SET", &format!("sess:{name}"), &express(Some("ada"), "late")]), Reply::OK);
        assert_eq!(world.call(&["GET", &format!("sess:{name}")]), Reply::Null, "{name} lives again");
    }
    world.call(&["SET", "sess:new", &express(Some("ada"), ""), "EX", "60"]);
    let epochs = |name: &str| world.get(name).and_then(|entry| entry.facts()?.signed).map(|signed| signed.epoch);
    assert_eq!(epochs("new"), Some(1), "a new one is of the present epoch");
}

#[test]
fn they_neither_take_nor_make_room_among_those_that_we_began() {
    let world = World::new();
    for name in ["x", "y", "z", "w"] {
        world.call(&["SET", &format!("sess:{name}"), &express(Some("ada"), ""), "EX", "600"]);
    }
    for name in ["a", "b", "c"] {
        world.begin(name, "ada");
    }
    assert!(["a", "b", "c", "x", "y", "z", "w"].iter().all(|name| world.is_live(name)));
    world.begin("d", "ada");
    assert!(!world.is_live("a") && world.is_live("x"));
}

#[test]
fn no_command_brings_an_ended_session_back() {
    let world = World::new();
    world.begin("a", "ada");
    world.run(&Op::End(vec![key("a")]));
    let late = express(Some("ada"), "late");
    let ok = || Reply::OK;
    let all: [(&[&str], Reply); 14] = [
        (&["SET", "sess:a", &late, "EX", "86400"], ok()),
        (&["SETEX", "sess:a", "86400", &late], ok()),
        (&["PSETEX", "sess:a", "86400", &late], ok()),
        (&["MSET", "sess:a", &late], ok()),
        (&["SET", "sess:a", &late, "NX"], Reply::Null),
        (&["SET", "sess:a", &late, "XX"], Reply::Null),
        (&["SETNX", "sess:a", &late], Reply::Int(0)),
        (&["GETSET", "sess:a", &late], Reply::Null),
        (&["EXPIRE", "sess:a", "60"], Reply::Int(0)),
        (&["PERSIST", "sess:a"], Reply::Int(0)),
        (&["RENAME", "sess:a", "sess:b"], Reply::err("ERR no such key")),
        (&["COPY", "sess:a", "sess:b"], Reply::Int(0)),
        (&["DEL", "sess:a"], Reply::Int(0)),
        (&["APPEND", "sess:a", "x"], Reply::Int(1)),
    ];
    for (words, reply) in all {
        assert_eq!(world.call(words), reply, "{words:?}");
        assert_eq!(world.call(&["EXISTS", "sess:a"]), Reply::Int(0), "{words:?}");
        assert!(world.get("a").is_some_and(|entry| entry.is_dead()), "{words:?}");
    }
}

#[test]
fn an_apps_own_end_guards_sessions_of_express_for_a_while_and_other_keys_not_at_all() {
    let mut world = World::new();
    let (session, cart) = (format!("sess:{SID}"), "sess:cart");
    let value = express(None, "");
    for key in [&session, cart] {
        world.call(&["SET", key, &value, "EX", "600"]);
        assert_eq!(world.call(&["DEL", key]), Reply::Int(1));
        world.call(&["SET", key, &value, "EX", "600"]);
    }
    assert_eq!(world.call(&["EXISTS", &session, cart]), Reply::Int(1), "the late write is lost, the cart's is not");
    world.now += 10 * SECOND;
    world.call(&["SET", &session, &value, "EX", "600"]);
    assert_eq!(world.call(&["EXISTS", &session]), Reply::Int(1));
    let unguarded = Scope { guard_ms: 0, ..scope(false) };
    world.call_as(&unguarded, &["DEL", &session]);
    world.call_as(&unguarded, &["SET", &session, &value]);
    assert_eq!(world.call(&["EXISTS", &session]), Reply::Int(1));
}

#[test]
fn an_app_that_ends_our_session_ends_it_for_as_long_as_it_could_have_lasted() {
    let mut world = World::new();
    world.begin("a", "ada");
    assert_eq!(world.call(&["DEL", "sess:a"]), Reply::Int(1));
    world.now = NOW + LIFETIME - 1;
    world.call(&["SET", "sess:a", &express(Some("ada"), "late")]);
    assert_eq!(world.call(&["GET", "sess:a"]), Reply::Null);
}

#[test]
fn a_touch_by_an_app_is_use_and_a_shorter_deadline_is_kept() {
    let mut world = World::new();
    world.begin("a", "ada");
    let ends = |world: &World| world.get("a").expect("an entry").deadline();
    assert_eq!(world.call(&["EXPIRE", "sess:a", "86400"]), Reply::Int(1));
    assert_eq!(ends(&world), NOW + IDLE + MINUTE, "inside the slack nothing is written");
    world.now += 2 * MINUTE;
    world.call(&["EXPIRE", "sess:a", "86400"]);
    assert_eq!(ends(&world), world.now + IDLE + MINUTE);
    world.call(&["EXPIRE", "sess:a", "30"]);
    assert_eq!(ends(&world), world.now + 30 * SECOND);
    world.call(&["PERSIST", "sess:a"]);
    assert_eq!(ends(&world), world.now + IDLE + MINUTE, "none lasts for ever");
}

#[test]
fn touches_of_an_apps_own_sessions_are_written_now_and_then() {
    let mut world = World::new();
    let key = format!("sess:{SID}");
    world.call(&["SET", &key, &express(None, ""), "EX", "86400"]);
    let ends = |world: &World| world.get(SID).expect("an entry").deadline();
    assert_eq!(ends(&world), NOW + LIFETIME);
    world.now += SECOND;
    world.call(&["EXPIRE", &key, "86400"]);
    assert_eq!(ends(&world), world.now + LIFETIME + MINUTE);
    let written = ends(&world);
    world.now += MINUTE;
    world.call(&["EXPIRE", &key, "86400"]);
    assert_eq!(ends(&world), written);
    world.now += 1;
    world.call(&["EXPIRE", &key, "86400"]);
    assert!(ends(&world) > written);
    world.call(&["SET", "sess:counter", "1", "EX", "86400"]);
    world.call(&["EXPIRE", "sess:counter", "86401"]);
    assert_eq!(world.get("counter").expect("an entry").deadline(), world.now + LIFETIME + SECOND, "others exactly");
}

#[test]
fn our_pages_change_and_end_a_session_that_an_app_keeps() {
    let mut world = World::new();
    world.call(&["SET", "sess:a", &express(None, "mine"), "EX", "600"]);
    let Outcome::Session(changed) = world.run(&Op::Edit(edit("a", r#"{"beers":1}"#))) else { panic!("no session") };
    assert_eq!(changed.deadline(), NOW + 600 * SECOND);
    assert!(String::from_utf8_lossy(changed.value()).contains(r#""more":"mine""#));
    world.run(&op(Begin { replaces: Some(key("a")), ..begin("b", "ada") }));
    assert!(world.get("a").is_some_and(|entry| entry.is_dead()));
    world.now += 599 * SECOND;
    world.call(&["SET", "sess:a", &express(None, "late")]);
    assert_eq!(world.call(&["GET", "sess:a"]), Reply::Null);
    world.call(&["SET", "sess:number", "17"]);
    assert_eq!(world.run(&Op::Edit(edit("number", "{}"))), Outcome::Gone, "what is no session is none");
    assert_eq!(world.run(&Op::End(vec![key("number")])), Outcome::Ended(0));
}

#[test]
fn an_app_names_its_own_keys_alone() {
    let world = World::new();
    let all = Scope { app: None, ..scope(false) };
    world.call_as(&all, &["MSET", "other:a", "1", "sess:a", "2"]);
    let refused = world.call(&["GET", "other:a"]);
    assert!(format!("{refused:?}").starts_with("-NOPERM"), "{refused:?}");
    for words in [&["MGET", "sess:a", "other:a"][..], &["RENAME", "sess:a", "other:b"], &["MSET", "other:x", "1"]] {
        assert!(format!("{:?}", world.call(words)).starts_with("-NOPERM"), "{words:?}");
    }
    assert_eq!(world.call(&["DBSIZE"]), Reply::Int(1));
    assert_eq!(world.call(&["KEYS", "*"]), Reply::Array(vec![Reply::bulk("sess:a")]));
    assert_eq!(world.call(&["FLUSHDB"]), Reply::OK);
    assert_eq!(world.call_as(&all, &["KEYS", "*"]), Reply::Array(vec![Reply::bulk("other:a")]));
}

#[test]
fn databases_are_apart_and_no_key_of_ours_can_be_named() {
    let world = World::new();
    let at = |db: u8| Scope { db, app: None, ..scope(false) };
    world.begin("a", "ada");
    world.run(&end_user("bob", None));
    for db in [0, 1, 15] {
        world.call_as(&at(db), &["SET", "k", &db.to_string()]);
        world.call_as(&at(db), &["SET", "\0epoch:bob", "mine"]);
    }
    for db in [0, 1, 15] {
        let reply = world.call_as(&at(db), &["GET", "k"]);
        assert!(matches!(&reply, Reply::Value(entry) if entry.value() == db.to_string().as_bytes()), "{reply:?}");
    }
    assert_eq!(world.epoch("bob"), 1);
    assert_eq!(world.call_as(&at(0), &["DBSIZE"]), Reply::Int(3), "k, the odd name, and the session");
    assert_eq!(world.call_as(&at(1), &["DBSIZE"]), Reply::Int(2));
}

#[test]
fn an_app_fills_its_own_share_and_no_more() {
    let world = World::new();
    let max = 200_000_u64.to_le_bytes();
    world.run(&Op::Setting { name: "memory_max".into(), value: Bytes::copy_from_slice(&max), only_if_absent: false });
    let app = scope(false).app.expect("an app");
    let record = AppRecord {
        name: app.name.clone(),
        prefix: app.prefix.clone(),
        digest: [0; 32],
        may_sign_in: false,
        share: 50,
        created_at: NOW,
    };
    let exchange = Exchange { key: Key::app("blog"), held: None, value: Some(record.written().into()) };
    world.run(&Op::Exchange(exchange));
    let fill = |scope: &Scope, prefix: &str| {
        let value = "x".repeat(1_000);
        (0..1_000).find(|n| world.call_as(scope, &["SET", &format!("{prefix}{n}"), &value]).is_error()).unwrap_or(1_000)
    };
    let (all, own) = (Scope { app: None, ..scope(false) }, scope(false));
    let mine = fill(&own, "sess:");
    assert!((50..80).contains(&mine), "{mine} values of 1 kB in half of 200 kB");
    assert!(fill(&all, "other:") > 5, "others have room yet");
    assert_eq!(world.call(&["DEL", "sess:0", "sess:1", "sess:2"]), Reply::Int(3));
}

#[test]
fn what_is_watched_and_changed_undoes_the_rest() {
    let world = World::new();
    world.call(&["SET", "sess:k", "1"]);
    let version = world.get("k").expect("an entry").index();
    let commands = |watched: u64| {
        let key = |db, raw, index| Watched { db, raw: Bytes::from_static(raw), index };
        let watched = vec![key(0, b"sess:k", watched), key(0, b"sess:none", 0), key(1, b"sess:k", 0)];
        let calls = vec![Call::of(["INCR", "sess:k"]), Call::of(["GET", "sess:k"])];
        Op::Commands(Box::new(Commands { scope: scope(false), calls, watched, is_whole: true }))
    };
    assert_eq!(world.run(&commands(version + 1)), Outcome::Aborted);
    let Outcome::Replies(replies) = world.run(&commands(version)) else { panic!("not done") };
    assert_eq!(replies[0], Reply::Int(2));
    assert!(matches!(&replies[1], Reply::Value(entry) if entry.value() == b"2"), "each sees what those before it did");
}

#[test]
fn a_database_that_is_selected_among_others_holds_from_there_on() {
    let world = World::new();
    let words: [&[&str]; 4] = [&["SET", "sess:k", "0"], &["SELECT", "1"], &["SET", "sess:k", "1"], &["SELECT", "99"]];
    let calls = words.iter().map(|words| Call::of(*words)).collect();
    let commands = Commands { scope: scope(false), calls, watched: Vec::new(), is_whole: true };
    assert_eq!(commands.claim(), Claim::Keys(vec![Key::of_app(1, b"sess:k"), Key::of_app(0, b"sess:k")]));
    let Outcome::Replies(replies) = world.run(&Op::Commands(Box::new(commands))) else { panic!("not done") };
    assert!(replies[..3].iter().all(|reply| *reply == Reply::OK) && replies[3].is_error(), "{replies:?}");
    let held = |db| world.entries.get(&Key::of_app(db, b"sess:k")).map(|entry| entry.value().to_vec());
    assert_eq!((held(0), held(1)), (Some(b"0".to_vec()), Some(b"1".to_vec())));
}

#[test]
fn only_passport_says_for_an_app_who_is_signed_in() {
    let world = World::new();
    let may = scope(true);
    world.call_as(&may, &["SET", "sess:a", &express(Some("ada"), "")]);
    assert_eq!(world.user("a"), Some(("ada".into(), Proof::App)));
    // what a visitor had stored, and the app saves along with the rest
    for name in ["user_id", "_user_id", "_auth_user_id"] {
        world.call_as(&may, &["SET", "sess:b", &format!(r#"{{"cookie":{{"path":"/"}},"{name}":"ada"}}"#)]);
        assert_eq!(world.user("b"), Some(("ada".into(), Proof::Claim)), "{name}");
    }
}

#[test]
fn an_id_that_is_used_again_may_be_used_at_once_where_apps_do_that() {
    let world = World::new();
    let value = "user_id|s:3:\"ada\";";
    world.call(&["SETEX", "sess:php", "600", value]);
    assert_eq!(world.user("php"), Some(("ada".into(), Proof::Claim)));
    world.call(&["DEL", "sess:php"]);
    world.call(&["SETEX", "sess:php", "600", value]);
    assert_eq!(world.call(&["EXISTS", "sess:php"]), Reply::Int(1));
    // Express never does, whoever is signed in
    let key = format!("sess:{SID}");
    for value in [express(Some("ada"), ""), r#"{"beers":1,"cookie":{"path":"/"}}"#.to_owned()] {
        world.call_as(&Scope { guard_ms: 0, ..scope(false) }, &["DEL", &key]);
        world.call(&["SET", &key, &value, "EX", "600"]);
        world.call(&["DEL", &key]);
        world.call(&["SET", &key, &value, "EX", "600"]);
        assert_eq!(world.call(&["EXISTS", &key]), Reply::Int(0), "{value}");
        world.entries.remove(&Key::of_app(0, key.as_bytes()));
    }
}

#[test]
fn an_end_of_everything_buries_so_many_of_what_apps_claim_and_no_more() {
    let world = World::new();
    let calls: Vec<Call> =
        (0..1_500).map(|n| Call::of(["SET", &format!("sess:{n}"), r#"{"user_id":"ada"}"#])).collect();
    for calls in calls.chunks(100) {
        let commands = Commands { scope: scope(false), calls: calls.to_vec(), watched: Vec::new(), is_whole: true };
        world.run(&Op::Commands(Box::new(commands)));
    }
    let (change, outcome) = world.decide(&Op::EndUser(EndUser { user: "ada".into(), keep: None }));
    assert_eq!((outcome, change.effects.len()), (Outcome::Ended(1_500), 1_001));
    world.apply(&change);
    let live = (0..1_500).filter(|n| world.call(&["EXISTS", &format!("sess:{n}")]) == Reply::Int(1)).count();
    assert_eq!(live, 0);
}

#[test]
fn nothing_is_told_of_keys_that_are_longer_than_names_of_channels() {
    let mut world = World::new();
    let value = Bytes::from_static(b"KEA");
    world.run(&Op::Setting { name: told::KEYSPACE_EVENTS.into(), value, only_if_absent: false });
    for (length, events) in [(100, 2), (2_000, 0)] {
        let raw = format!("sess:{}", "k".repeat(length));
        world.call(&["SET", &raw, "v", "PX", "1000"]);
        world.now += SECOND;
        let (ended, _) = world.decide(&Op::Expire(vec![Key::of_app(0, raw.as_bytes())]));
        let told = ended.effects.iter().filter(|effect| matches!(effect, Effect::Tell(_))).count();
        assert_eq!((told, ended.effects.len()), (events, events + 1), "{length}");
    }
}

#[test]
fn listeners_hear_of_sessions_and_keys_once_they_asked_for_it() {
    let mut world = World::new();
    let told = |change: &Change| -> Vec<String> {
        let say = |effect: &Effect| match effect {
            Effect::Tell(Told::Session { what, user, .. }) => Some(format!("{what:?} {user}")),
            Effect::Tell(Told::Message { channel, payload }) => {
                Some(format!("{} {}", String::from_utf8_lossy(channel), String::from_utf8_lossy(payload)))
            }
            _ => None,
        };
        change.effects.iter().filter_map(say).collect()
    };
    let set = |name: &str, value: &str| Op::Setting {
        name: name.into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        only_if_absent: false,
    };
    let (quiet, _) = world.decide(&op(begin("a", "ada")));
    assert!(told(&quiet).is_empty());
    world.run(&set(told::SESSION_EVENTS, "on"));
    let (change, _) = world.decide(&op(begin("a", "ada")));
    assert_eq!(told(&change), ["SignIn ada"]);
    world.apply(&change);
    let (ended, _) = world.decide(&Op::End(vec![key("a")]));
    assert_eq!(told(&ended), ["SignOut ada"]);
    let (revoked, _) = world.decide(&Op::Revoke(vec![key("a")]));
    assert_eq!(told(&revoked), ["Revoked ada"]);
    assert_eq!(told(&world.decide(&end_user("ada", None)).0), ["Revoked ada"]);
    world.run(&set(told::KEYSPACE_EVENTS, "Egx"));
    assert_eq!(told(&world.decide(&Op::End(vec![key("a")])).0), ["__keyevent@0__:del sess:a", "SignOut ada"]);
    let calls = vec![Call::of(["flushed", "sess:a", "sess:none"])];
    let flushed = Commands { scope: scope(false), calls, watched: Vec::new(), is_whole: true };
    let (flushed, _) = world.decide(&Op::Commands(Box::new(flushed)));
    assert_eq!(told(&flushed), ["SignOut ada"], "of who is signed out, and of no key");
    world.now = NOW + LIFETIME;
    let (expired, outcome) = world.decide(&Op::Expire(vec![key("a"), key("none")]));
    assert_eq!(outcome, Outcome::Ended(1));
    assert_eq!(told(&expired), ["Expired ada", "__keyevent@0__:expired sess:a"]);
    world.apply(&expired);
    assert!(world.get("a").is_none());
}

#[test]
fn an_end_that_was_moved_meanwhile_is_none() {
    let mut world = World::new();
    world.begin("a", "ada");
    world.now += IDLE;
    let (change, _) = world.decide(&Op::Expire(vec![key("a")]));
    assert!(change.is_empty());
    world.call(&["SET", "sess:b", "x"]);
    assert_eq!(world.get("b").expect("an entry").deadline(), NEVER);
}
