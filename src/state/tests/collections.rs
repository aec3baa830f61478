//! Hashes, sets and sorted sets beside what Redis knows: bounds, tombstones, sessions.

use std::collections::BTreeSet;

use super::*;
use crate::state::command::Call;
use crate::state::{Commands, Reply, Scope, SessionEvent, Told, told};

fn commands(calls: &[&[&str]]) -> Op {
    let scope = Scope { db: 0, app: None, sessions: "sess:".into(), guard_ms: 10_000 };
    let calls = calls.iter().map(|words| Call::of(*words)).collect();
    Op::Commands(Box::new(Commands { scope, calls, watched: Vec::new(), is_whole: true }))
}

fn ask(world: &World, words: &[&str]) -> Reply {
    match world.run(&commands(&[words])) {
        Outcome::Replies(mut replies) => replies.remove(0),
        other => panic!("no reply: {other:?}"),
    }
}

#[test]
fn a_collection_grows_as_large_as_a_value_and_no_further() {
    let world = World::new();
    let large = "x".repeat(1 << 19);
    for (first, second) in [
        (["HSET", "h", "a", &large], ["HSET", "h", "b", &large]),
        (["SADD", "s", &large, "a"], ["SADD", "s", &format!("y{large}"), "b"]),
        (["ZADD", "z", "1", &large], ["ZADD", "z", "2", &format!("y{large}")]),
    ] {
        assert!(!ask(&world, &first).is_error());
        let (change, outcome) = world.decide(&commands(&[&second]));
        assert!(change.is_empty(), "what is refused changes nothing");
        let Outcome::Replies(replies) = outcome else { panic!("{outcome:?}") };
        assert_eq!(replies, [Reply::err("ERR collection exceeds maximum allowed size")]);
    }
    ask(&world, &["SADD", "t", &format!("y{large}")]);
    assert!(ask(&world, &["SUNIONSTORE", "u", "s", "t"]).is_error());
    assert!(ask(&world, &["SMOVE", "t", "s", &format!("y{large}")]).is_error());
    assert_eq!(ask(&world, &["SCARD", "t"]), Reply::Int(1), "what found no room stayed where it was");
}

#[test]
fn many_members_are_found_as_few_are() {
    let world = World::new();
    let names: Vec<String> = (0..5_000).map(|n| format!("m{n}")).collect();
    let all = |command: &'static str, key: &'static str| {
        let words = [command, key].into_iter().chain(names.iter().map(String::as_str));
        words.collect::<Vec<_>>()
    };
    assert_eq!(ask(&world, &all("SADD", "s")), Reply::Int(5_000));
    assert_eq!(ask(&world, &all("SADD", "s")), Reply::Int(0));
    assert_eq!(ask(&world, &["SISMEMBER", "s", "m4999"]), Reply::Int(1));
    let Reply::Set(drawn) = ask(&world, &["SPOP", "s", "4000"]) else { panic!("no set") };
    let drawn: BTreeSet<String> = drawn.iter().map(|name| format!("{name:?}")).collect();
    assert!(!drawn.is_empty() && ask(&world, &["SCARD", "s"]) == Reply::Int(1_000));
    assert_eq!(ask(&world, &all("SREM", "s")), Reply::Int(1_000));
    assert_eq!(ask(&world, &["EXISTS", "s"]), Reply::Int(0), "without members it is gone");
}

#[test]
fn each_member_is_drawn_at_some_time() {
    let mut world = World::new();
    ask(&world, &["SADD", "s", "a", "b", "c"]);
    let mut drawn = BTreeSet::new();
    for _ in 0..100 {
        world.now += 1;
        if let Reply::Bulk(name) = ask(&world, &["SRANDMEMBER", "s"]) {
            drawn.insert(name);
        }
    }
    assert_eq!(drawn.len(), 3);
}

#[test]
fn no_command_begins_anything_on_a_dead_key() {
    let world = World::new();
    world.begin("a", "ada");
    world.run(&Op::End(vec![key("a")]));
    ask(&world, &["SADD", "s", "x"]);
    for words in [
        &["HSET", "sess:a", "f", "v"][..],
        &["HSETNX", "sess:a", "f", "v"],
        &["HINCRBY", "sess:a", "f", "1"],
        &["SADD", "sess:a", "m"],
        &["ZADD", "sess:a", "1", "m"],
        &["SUNIONSTORE", "sess:a", "s"],
        &["SPOP", "sess:a"],
        &["HDEL", "sess:a", "f"],
    ] {
        let (change, outcome) = world.decide(&commands(&[words]));
        assert!(change.is_empty(), "{words:?}: {outcome:?}");
    }
    // it is answered as if it had come just before
    assert_eq!(ask(&world, &["HSET", "sess:a", "f", "v"]), Reply::Int(1));
    assert_eq!(ask(&world, &["SADD", "sess:a", "m"]), Reply::Int(1));
}

#[test]
fn a_set_in_the_place_of_a_session_signs_out() {
    let world = World::new();
    world.run(&Op::Setting { name: told::SESSION_EVENTS.into(), value: "on".into(), only_if_absent: true });
    world.begin("a", "ada");
    ask(&world, &["SADD", "s", "x"]);
    assert!(ask(&world, &["HSET", "sess:a", "f", "v"]).is_error(), "a session is no hash");
    let (change, _) = world.decide(&commands(&[&["SUNIONSTORE", "sess:a", "s"]]));
    let told = change.effects.iter().any(|effect| {
        matches!(effect, Effect::Tell(Told::Session { what: SessionEvent::SignOut, user, .. }) if user == "ada")
    });
    world.apply(&change);
    assert!(told && !world.get("a").is_some_and(|entry| entry.is_signed()));
    assert_eq!(ask(&world, &["TTL", "sess:a"]), Reply::Int(-1), "and has no deadline");
}

#[test]
fn a_change_of_a_collection_keeps_its_deadline() {
    let world = World::new();
    for (begin, more) in [
        (["HSET", "h", "a", "1"], ["HSET", "h", "b", "2"]),
        (["SADD", "s", "a", "b"], ["SADD", "s", "c", "d"]),
        (["ZADD", "z", "1", "a"], ["ZADD", "z", "2", "b"]),
    ] {
        ask(&world, &begin);
        ask(&world, &["EXPIRE", begin[1], "100"]);
        ask(&world, &more);
        assert_eq!(ask(&world, &["TTL", begin[1]]), Reply::Int(100));
    }
}
