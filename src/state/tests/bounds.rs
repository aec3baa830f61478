//! How far a script, and any other step, may go: in steps of its own, in time, in memory, in what is written and answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::scripts::{commands, replies, scope, text};
use super::*;
use crate::state::{Call, Commands, Reply};

#[test]
fn a_script_without_an_end_is_stopped() {
    let world = World::new();
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "local function f() return f() end return f()",
        "while true do redis.call('PING') end",
        "while true do redis.pcall('SET', KEYS[1], 'v') end",
        "repeat redis.pcall('nosuch') until false",
        "setmetatable({}, {__index = function(t, k) return t[k] end}) for i = 1, 1e12 do end",
        "return string.find(string.rep('a', 10000), string.rep('a-', 50) .. 'b')",
        "return string.find(string.rep('a', 100000), '.-.-.-b')",
        "return string.find(string.rep('a', 1000000), string.rep('a', 500000) .. 'b', 1, true)",
        "return string.gsub(string.rep('a', 1000000), '.', function(c) return c end)",
        "while true do redis.call('KEYS', '*') end",
    ] {
        let begun = Instant::now();
        let keys: &[&str] = if script.contains("'KEYS'") { &[] } else { &["k"] };
        let got = text(&world.eval(script, keys, &[]));
        assert!(got.contains("ran for too long and was stopped"), "{script}: {got}");
        println!("{:?}: {script}", begun.elapsed());
        // a debug build on a busy machine; without a bound these are hours
        assert!(begun.elapsed() < Duration::from_secs(60), "{script}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_script_is_stopped_when_its_time_is_over() {
    let world = World::new();
    let looks = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&looks);
    // a millisecond passes between two looks
    let stopwatch = Arc::new(move || Duration::from_millis(clock.fetch_add(1, Ordering::Relaxed)));
    let op = commands(scope(), &[&["EVAL", "local n = 0 while true do n = n + 1 end", "1", "k"]]);
    let (_, outcome) = decide(&mut View::new(&world.entries, NOW).timed(stopwatch), &op);
    assert!(text(&replies(outcome)[0]).contains("ran for too long"));
    assert!((100..200).contains(&looks.load(Ordering::Relaxed)));
}

#[test]
fn a_script_that_takes_too_much_memory_fails() {
    let world = World::new();
    for script in [
        "return string.rep('x', 1e9)",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1e6 do t[i] = string.rep('x', 1000) .. i end",
        "local t = {} t[1] = t return t",
        "local t = {} for i = 1, 40 do t = {t, t} end return t",
        "local t = {} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
        "return string.gsub(string.rep('a', 1000), '.*', string.rep('%0', 100000))",
        "return ({string.gsub(string.rep('a', 100), 'a', string.rep('x', 1e6))})[2]",
        "local t = {} for i = 1, 9000 do t[i] = 1 end return {unpack(t)}",
        "return table.concat({}, 'x', 1, 1e9)",
        "local function f() return 1 + f() end return f()",
    ] {
        let begun = Instant::now();
        let got = world.eval(script, &["k"], &[]);
        assert!(got.is_error(), "{script}: {got:?}");
        println!("{:?}: {script}", begun.elapsed());
    }
}

#[test]
fn a_script_writes_no_more_than_fits_into_a_record() {
    let world = World::new();
    let script = "for i = 1, 100 do redis.call('SET', 'k' .. i, string.rep('x', 1000000)) end";
    let (change, outcome) = world.decide(&commands(scope(), &[&["EVAL", script, "0"]]));
    assert!(text(&replies(outcome)[0]).starts_with("ERR too much is written in one step"));
    assert!((4..=6).contains(&change.effects.len()), "{}", change.effects.len());
    let script = "for i = 1, 20 do redis.call('SET', KEYS[1], string.rep('x', 1000000) .. i) end return 1";
    let (change, outcome) = world.decide(&commands(scope(), &[&["EVAL", script, "1", "k"]]));
    assert_eq!((replies(outcome), change.effects.len()), (vec![Reply::Int(1)], 1), "what counts is what is left");
}

fn stretch(calls: Vec<Call>) -> Op {
    Op::Commands(Box::new(Commands { scope: scope(), calls, watched: Vec::new(), is_whole: false }))
}

#[test]
fn what_would_be_too_much_for_one_step_is_left_or_refused() {
    let world = World::new();
    let value = "x".repeat(1_000_000);
    let sets: Vec<Call> = (0..20).map(|n| Call::of(["SET", &format!("k{n}"), &value])).collect();
    let (change, outcome) = world.decide(&stretch(sets.clone()));
    assert_eq!((replies(outcome), change.effects.len()), (vec![Reply::OK; 5], 5), "those behind go with the next step");
    let whole = Commands { scope: scope(), calls: sets, watched: Vec::new(), is_whole: true };
    let (change, outcome) = world.decide(&Op::Commands(Box::new(whole)));
    let said = replies(outcome);
    assert_eq!((said.len(), said.iter().filter(|reply| reply.is_error()).count(), change.effects.len()), (20, 15, 5));
    world.apply(&change);
    let gets: Vec<Call> = (0..20).map(|_| Call::of(["GET", "k1"])).collect();
    let (_, outcome) = world.decide(&stretch(gets));
    assert_eq!(replies(outcome).len(), 9, "and so it is with answers");
}

#[test]
fn what_takes_too_long_for_one_step_is_left() {
    let world = World::new();
    let time = AtomicU64::new(0);
    // a millisecond passes with each look
    let clock = move || Duration::from_millis(time.fetch_add(1, Ordering::Relaxed));
    let mut view = View::new(&world.entries, world.now).timed(Arc::new(clock));
    let calls = (0..1_000).map(|_| Call::of(["INCR", "n"])).collect();
    let (_, outcome) = decide(&mut view, &stretch(calls));
    assert!((50..=101).contains(&replies(outcome).len()));
}

#[test]
fn an_answer_is_not_made_that_would_be_larger_than_any_may_be() {
    let world = World::new();
    let value = "x".repeat(1_000_000);
    world.run(&commands(scope(), &[&["HSET", "h", "f", &value], &["SADD", "s", &value]]));
    let fields = ["f"; 100];
    for words in [
        &[&["HMGET", "h"][..], &fields].concat()[..],
        &["SRANDMEMBER", "s", "-60000"],
        &["HRANDFIELD", "h", "-60000", "WITHVALUES"],
    ] {
        let said = replies(world.run(&commands(scope(), &[words]))).remove(0);
        assert!(text(&said).starts_with("ERR the answer would be larger"), "{}", words[0]);
    }
    let long = "k".repeat(70_000);
    let said = replies(world.run(&commands(scope(), &[&["SET", &long, "v"]]))).remove(0);
    assert!(text(&said).starts_with("ERR keys have a bound"));
}
