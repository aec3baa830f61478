//! Scripts: those that session libraries send, and what one sees and reaches.

use std::time::{Duration, Instant};

use super::*;
use crate::state::command::{AppScope, Claim};
use crate::state::decide::claim;
use crate::state::{Call, Commands, Reply, Scope};

pub(super) fn scope() -> Scope {
    Scope { db: 0, app: None, sessions: "sess:".into(), guard_ms: 0 }
}

pub(super) fn commands(scope: Scope, calls: &[&[&str]]) -> Op {
    let calls = calls.iter().map(|words| Call::of(*words)).collect();
    Op::Commands(Box::new(Commands { scope, calls, watched: Vec::new(), is_whole: true }))
}

pub(super) fn replies(outcome: Outcome) -> Vec<Reply> {
    match outcome {
        Outcome::Replies(replies) => replies,
        other => panic!("no replies: {other:?}"),
    }
}

impl World {
    fn ask(&self, words: &[&str]) -> Reply {
        replies(self.run(&commands(scope(), &[words]))).remove(0)
    }

    pub(super) fn eval(&self, script: &str, keys: &[&str], args: &[&str]) -> Reply {
        let count = keys.len().to_string();
        self.ask(&[&["EVAL", script, &count], keys, args].concat())
    }
}

pub(super) fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Value(entry) => String::from_utf8_lossy(entry.value()).into_owned(),
        Reply::Error(text) | Reply::Status(text) => text.clone().into_owned(),
        other => format!("{other:?}"),
    }
}

const RELEASE_PHPREDIS: &str =
    "if redis.call(\"get\",KEYS[1]) == ARGV[1] then return redis.call(\"del\",KEYS[1]) else return 0 end";

#[test]
fn a_lock_is_released_by_whoever_holds_it() {
    // redis-py's Lock; Laravel's RedisLock
    let others = [
        "
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('del', KEYS[1])
        return 1
    ",
        "
if redis.call(\"get\",KEYS[1]) == ARGV[1] then
    return redis.call(\"del\",KEYS[1])
else
    return 0
end
",
    ];
    for script in others.into_iter().chain([RELEASE_PHPREDIS]) {
        let world = World::new();
        assert_eq!(world.ask(&["SET", "lock", "mine", "NX", "PX", "30000"]), Reply::OK);
        assert_eq!(world.ask(&["SET", "lock", "theirs", "NX", "PX", "30000"]), Reply::Null);
        assert_eq!(world.eval(script, &["lock"], &["theirs"]), Reply::Int(0));
        assert_eq!(world.ask(&["EXISTS", "lock"]), Reply::Int(1));
        assert_eq!(world.eval(script, &["lock"], &["mine"]), Reply::Int(1));
        assert_eq!(world.eval(script, &["lock"], &["mine"]), Reply::Int(0));
        assert_eq!(world.ask(&["EXISTS", "lock"]), Reply::Int(0));
    }
}

#[test]
fn redis_py_extends_and_reacquires_its_lock() {
    const EXTEND: &str = "
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        local expiration = redis.call('pttl', KEYS[1])
        if not expiration then
            expiration = 0
        end
        if expiration < 0 then
            return 0
        end

        local newttl = ARGV[2]
        if ARGV[3] == \"0\" then
            newttl = ARGV[2] + expiration
        end
        redis.call('pexpire', KEYS[1], newttl)
        return 1
    ";
    const REACQUIRE: &str = "
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('pexpire', KEYS[1], ARGV[2])
        return 1
    ";
    let world = World::new();
    world.ask(&["SET", "lock", "mine", "PX", "30000"]);
    assert_eq!(world.eval(EXTEND, &["lock"], &["theirs", "1000", "0"]), Reply::Int(0));
    assert_eq!(world.eval(EXTEND, &["lock"], &["mine", "1000", "0"]), Reply::Int(1));
    assert_eq!(world.ask(&["PTTL", "lock"]), Reply::Int(31_000));
    assert_eq!(world.eval(EXTEND, &["lock"], &["mine", "1000", "1"]), Reply::Int(1));
    assert_eq!(world.ask(&["PTTL", "lock"]), Reply::Int(1_000));
    assert_eq!(world.eval(REACQUIRE, &["lock"], &["mine", "5000"]), Reply::Int(1));
    assert_eq!(world.ask(&["PTTL", "lock"]), Reply::Int(5_000));
}

#[test]
fn laravel_adds_what_is_not_there() {
    const ADD: &str = "return redis.call('exists',KEYS[1])<1 and redis.call('setex',KEYS[1],ARGV[2],ARGV[1])";
    let world = World::new();
    assert_eq!(world.eval(ADD, &["cache:k"], &["v", "60"]), Reply::OK);
    assert_eq!(world.eval(ADD, &["cache:k"], &["w", "60"]), Reply::Null);
    assert_eq!((text(&world.ask(&["GET", "cache:k"])), world.ask(&["TTL", "cache:k"])), ("v".into(), Reply::Int(60)));
}

#[test]
fn django_redis_increments_what_is_there() {
    const INCR: &str = "
            local exists = redis.call('EXISTS', KEYS[1])
            if (exists == 1) then
                return redis.call('INCRBY', KEYS[1], ARGV[1])
            else return false end
            ";
    let world = World::new();
    assert_eq!(world.eval(INCR, &[":1:n"], &["5"]), Reply::Null);
    world.ask(&["SET", ":1:n", "1"]);
    assert_eq!(world.eval(INCR, &[":1:n"], &["5"]), Reply::Int(6));
}

#[test]
fn litestar_renews_what_it_reads_and_deletes_by_pattern() {
    const GET_AND_RENEW: &str = "
        local key = KEYS[1]
        local renew = tonumber(ARGV[1])

        local data = redis.call('GET', key)
        local ttl = redis.call('TTL', key)

        if ttl > 0 then
            redis.call('EXPIRE', key, renew)
        end

        return data
        ";
    const DELETE_ALL: &str = "
        local cursor = 0

        repeat
            local result = redis.call('SCAN', cursor, 'MATCH', ARGV[1])
            for _,key in ipairs(result[2]) do
                redis.call('UNLINK', key)
            end
            cursor = tonumber(result[1])
        until cursor == 0
        ";
    let world = World::new();
    world.ask(&["SET", "LITESTAR:a", "v", "EX", "10"]);
    assert_eq!(text(&world.eval(GET_AND_RENEW, &["LITESTAR:a"], &["100"])), "v");
    assert_eq!(world.ask(&["TTL", "LITESTAR:a"]), Reply::Int(100));
    assert_eq!(world.eval(GET_AND_RENEW, &["LITESTAR:none"], &["100"]), Reply::Null);
    for n in 0..50 {
        world.ask(&["SET", &format!("LITESTAR:{n}"), "v"]);
        world.ask(&["SET", &format!("other:{n}"), "v"]);
    }
    assert_eq!(world.eval(DELETE_ALL, &[], &["LITESTAR*"]), Reply::Null);
    assert_eq!(world.ask(&["DBSIZE"]), Reply::Int(50));
}

#[test]
fn asp_net_keeps_a_session_as_a_hash() {
    // Microsoft.Extensions.Caching.StackExchangeRedis up to 7
    const SET: &str = "
                redis.call('HSET', KEYS[1], 'absexp', ARGV[1], 'sldexp', ARGV[2], 'data', ARGV[4])
                if ARGV[3] ~= '-1' then
                  redis.call('EXPIRE', KEYS[1], ARGV[3])
                end
                return 1";
    let world = World::new();
    assert_eq!(world.eval(SET, &["s"], &["-1", "12000000000", "1200", "\u{1}\u{0}data"]), Reply::Int(1));
    let held = world.ask(&["HMGET", "s", "absexp", "sldexp", "data"]);
    let expected = ["-1", "12000000000", "\u{1}\u{0}data"].map(Reply::bulk).to_vec();
    assert_eq!((held, world.ask(&["TTL", "s"])), (Reply::Array(expected), Reply::Int(1_200)));
    assert_eq!(world.eval(SET, &["t"], &["-1", "-1", "-1", ""]), Reply::Int(1));
    assert_eq!(world.ask(&["TTL", "t"]), Reply::Int(-1));
}

#[test]
fn the_session_state_provider_of_dot_net_locks_reads_and_releases() {
    const LOCK_AND_GET: &str = "
                local retArray = {}
                local lockValue = ARGV[1]
                local locked = redis.call('SETNX',KEYS[1],ARGV[1])
                local IsLocked = true

                if locked == 0 then
                    lockValue = redis.call('GET',KEYS[1])
                else
                    redis.call('EXPIRE',KEYS[1],ARGV[2])
                    IsLocked = false
                end

                retArray[1] = lockValue
                if lockValue == ARGV[1] then retArray[2] = redis.call('GET',KEYS[2]) else retArray[2] = '' end

                local SessionTimeout = redis.call('HGET', KEYS[3], 'SessionTimeout')
                if SessionTimeout ~= false then
                    retArray[3] = SessionTimeout
                    redis.call('EXPIRE',KEYS[2], SessionTimeout)
                    redis.call('EXPIRE',KEYS[3], SessionTimeout)
                else
                    retArray[3] = '-1'
                end

                retArray[4] = IsLocked
                return retArray
                ";
    const RELEASE: &str = "
                local writeLockValue = redis.call('GET',KEYS[1])
                if writeLockValue == ARGV[1] then
                    redis.call('DEL',KEYS[1])
                end
                local SessionTimeout = redis.call('HGET', KEYS[3], 'SessionTimeout')
                if SessionTimeout ~= false then
                    redis.call('EXPIRE',KEYS[2], SessionTimeout)
                    redis.call('EXPIRE',KEYS[3], SessionTimeout)
                end
                return 1";
    const REMOVE: &str = "
                if ARGV[1] ~= '' then
                    local lockValue = redis.call('GET',KEYS[1])
                    if lockValue ~= ARGV[1] then
                        return 1
                    end
                end
                redis.call('DEL',KEYS[2])
                redis.call('DEL',KEYS[3])
                redis.call('DEL',KEYS[1])
                ";
    let world = World::new();
    let keys = ["{/_id}_WriteLock", "{/_id}_SessionStateItemCollection", "{/_id}_Internal"];
    world.ask(&["SET", keys[1], "items"]);
    world.ask(&["HSET", keys[2], "SessionTimeout", "1200"]);
    let first = world.eval(LOCK_AND_GET, &keys, &["lock1", "110"]);
    // an answer ends with the first that is nothing, and false is such
    assert_eq!(first, Reply::Array(vec![Reply::bulk("lock1"), Reply::bulk("items"), Reply::bulk("1200"), Reply::Null]));
    let second = world.eval(LOCK_AND_GET, &keys, &["lock2", "110"]);
    assert_eq!(second, Reply::Array(vec![Reply::bulk("lock1"), Reply::bulk(""), Reply::bulk("1200"), Reply::Int(1)]));
    assert_eq!(world.ask(&["TTL", keys[1]]), Reply::Int(1_200));
    assert_eq!(world.eval(RELEASE, &keys, &["lock1"]), Reply::Int(1));
    assert_eq!(world.ask(&["EXISTS", keys[0]]), Reply::Int(0));
    assert_eq!(world.eval(REMOVE, &keys, &[""]), Reply::Null);
    assert_eq!(world.ask(&["DBSIZE"]), Reply::Int(0));
}

#[test]
fn what_a_script_did_before_it_failed_stays_done() {
    let world = World::new();
    let failed = world.eval("redis.call('SET', KEYS[1], 'v') error('no')", &["k"], &[]);
    assert!(failed.is_error());
    assert_eq!(text(&world.ask(&["GET", "k"])), "v");
}

/// Redis 7.0 itself ends there.
#[test]
fn an_error_that_says_nothing_is_an_error() {
    let got = text(&World::new().eval("error({})", &[], &[]));
    assert!(got.starts_with("ERR unknown error script: "), "{got}");
}

#[test]
fn a_script_sees_what_it_does_and_its_effects_are_one_change() {
    let world = World::new();
    let script = "for i = 1, 10 do redis.call('INCR', KEYS[1]) end return redis.call('GET', KEYS[1])";
    let (change, outcome) = world.decide(&commands(scope(), &[&["EVAL", script, "1", "n"]]));
    assert_eq!(text(&replies(outcome)[0]), "10");
    assert_eq!(change.effects.len(), 1, "what was done to the key before counts no longer");
    assert!(world.entries.get(&Key::of_app(0, b"n")).is_none(), "nothing is done before it is applied");
    world.apply(&change);
    assert_eq!(text(&world.ask(&["GET", "n"])), "10");
}

#[test]
fn a_key_that_was_not_named_is_an_error_unless_none_was() {
    let world = World::new();
    let undeclared = "ERR Script attempted to access a key that it did not declare";
    for script in [
        "return redis.call('GET', 'other')",
        "return redis.call('SET', 'other', 'v')",
        "return redis.call('MGET', KEYS[1], 'other')",
        "return redis.call('KEYS', '*')",
        "return redis.call('FLUSHALL')",
    ] {
        let got = text(&world.eval(script, &["k"], &[]));
        assert!(got.starts_with(undeclared), "{got}");
    }
    assert_eq!(world.eval("return redis.call('SET', 'other', 'v')", &[], &[]), Reply::OK);
    let claimed = |words: &[&str]| claim(&commands(scope(), &[words]), &world.entries, NOW);
    assert_eq!(claimed(&["EVAL", "return 1", "0"]), Claim::Everything, "it runs alone");
    assert_eq!(claimed(&["EVAL", "return 1", "1", "k", "x"]), Claim::Keys(vec![Key::of_app(0, b"k")]));
    assert_eq!(claimed(&["EVAL_RO", "return 1", "0"]), Claim::Everything, "it may look at anything");
    for bad in [&["EVAL", "return 1", "x"][..], &["EVAL", "return 1", "-1"], &["EVAL", "return 1", "99", "k"]] {
        claimed(bad);
        assert!(world.ask(bad).is_error());
    }
}

#[test]
fn an_app_reaches_its_own_keys_only_from_a_script_too() {
    let world = World::new();
    world.ask(&["SET", "secret", "v"]);
    let app = AppScope { name: "blog".into(), prefix: b"blog:".to_vec(), may_sign_in: false, share: 50 };
    let scope = Scope { app: Some(app), ..scope() };
    for script in ["return redis.call('GET', 'secret')", "return redis.call('DEL', 'secret')"] {
        let got = replies(world.run(&commands(scope.clone(), &[&["EVAL", script, "0"]]))).remove(0);
        assert!(text(&got).starts_with("NOPERM"), "{got:?}");
    }
    let got = replies(world.run(&commands(scope, &[&["EVAL", "return redis.call('KEYS', '*')", "0"]]))).remove(0);
    assert_eq!(got, Reply::Array(Vec::new()));
}

#[test]
fn a_dead_key_stays_dead_for_scripts_too() {
    let world = World::new();
    world.begin("a", "ada");
    world.run(&Op::End(vec![key("a")]));
    let script = "redis.call('SET', KEYS[1], 'v') redis.call('HSET', KEYS[1], 'f', 'v') redis.call('SADD', KEYS[1], 'v') \
                  redis.call('ZADD', KEYS[1], 1, 'v') return redis.call('EXISTS', KEYS[1])";
    let (change, outcome) = world.decide(&commands(scope(), &[&["EVAL", script, "1", "sess:a"]]));
    assert!(change.is_empty() && replies(outcome) == [Reply::Int(0)]);
}

#[test]
fn compiled_code_is_no_script() {
    let world = World::new();
    assert!(text(&world.eval("\u{1b}Lua", &[], &[])).starts_with("ERR Error compiling script"));
    let reach = "return type(rawget(_G, 'loadstring')) .. tostring(string.dump) .. tostring(rawget(_G, 'load'))";
    assert_eq!(text(&world.eval(reach, &[], &[])), "nilnilnil");
    for name in [
        "load",
        "loadstring",
        "dofile",
        "loadfile",
        "require",
        "print",
        "getfenv",
        "setfenv",
        "newproxy",
        "coroutine",
        "os",
        "io",
        "debug",
        "package",
        "module",
    ] {
        let got = text(&world.eval(&format!("return {name}"), &[], &[]));
        assert!(got.contains("nonexistent global variable"), "{name}: {got}");
    }
}

#[test]
fn a_script_costs_little_to_begin() {
    let world = World::new();
    world.eval(RELEASE_PHPREDIS, &["lock"], &["x"]);
    let begun = Instant::now();
    let count = 1_000;
    for _ in 0..count {
        world.eval(RELEASE_PHPREDIS, &["lock"], &["x"]);
    }
    let each = begun.elapsed() / count;
    println!("a script took {each:?}");
    assert!(each < Duration::from_millis(20), "{each:?}");
}
