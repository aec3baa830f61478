//! Table: every command that works on keys, once: name, number of arguments, which of them are keys, what runs it.
//!
//! What concerns a connection alone (`AUTH`, `HELLO`, `MULTI`, `SUBSCRIBE`, …) belongs to the Redis door.

use bytes::Bytes;
use smallvec::SmallVec;

use super::names::Names;
use super::number::parse_int;
use super::{Answered, Keyspace, Reply, hash, keys, scan, score_range, script, set, sorted_set, strings};

/// Whether a command changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// Which arguments are keys; places count from the name, which is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    None,
    /// The argument at this place.
    At(usize),
    /// The first two.
    Two,
    /// All arguments.
    All,
    /// Every other argument, from the first.
    Pairs,
    /// So many as the argument at this place says, behind it.
    Counted(usize),
    /// Any key there is.
    Any,
}

type Run = fn(&mut Keyspace<'_, '_>, &[Bytes]) -> Answered;

/// A command.
pub struct Spec {
    /// In lower case.
    pub name: &'static str,
    /// How many words it has, name and all; negative: at least so many.
    pub arity: i16,
    pub access: Access,
    /// Whether it is refused when there is no room.
    pub grows: bool,
    pub keys: Keys,
    pub(super) run: Run,
}

impl Spec {
    /// Whether only the leader runs it: what changes something, and scripts, which take their time.
    pub fn is_decided(&self) -> bool {
        self.access == Access::Write || self.name == "eval_ro"
    }

    /// Whether so many words are right.
    pub fn takes(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= arity } else { words == arity }
    }

    /// The keys that a call of it names; `None` when it may touch any. Nothing when its words are not right.
    pub fn keys_of<'c>(&self, call: &'c [Bytes]) -> Option<SmallVec<[&'c Bytes; 4]>> {
        if !self.takes(call.len()) {
            return Some(SmallVec::new());
        }
        Some(match self.keys {
            Keys::None => SmallVec::new(),
            Keys::At(place) => call.get(place).into_iter().collect(),
            Keys::Two => call[1..3].iter().collect(),
            Keys::All => call[1..].iter().collect(),
            Keys::Pairs => call[1..].iter().step_by(2).collect(),
            Keys::Counted(place) => {
                let count = parse_int(&call[place]).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                // a script that names no key may touch any
                if count == 0 {
                    return None;
                }
                call[place + 1..].iter().take(count).collect()
            }
            Keys::Any => return None,
        })
    }
}

const fn read(name: &'static str, arity: i16, keys: Keys, run: Run) -> Spec {
    Spec { name, arity, access: Access::Read, grows: false, keys, run }
}

/// Changes something, and never needs more room.
const fn write(name: &'static str, arity: i16, keys: Keys, run: Run) -> Spec {
    Spec { name, arity, access: Access::Write, grows: false, keys, run }
}

/// Changes something, and may need more room.
const fn grow(name: &'static str, arity: i16, keys: Keys, run: Run) -> Spec {
    Spec { name, arity, access: Access::Write, grows: true, keys, run }
}

/// All commands, by name.
static COMMANDS: &[Spec] = &[
    grow("append", 3, Keys::At(1), strings::append),
    grow("copy", -3, Keys::Two, keys::copy),
    read("dbsize", 1, Keys::Any, keys::dbsize),
    grow("decr", 2, Keys::At(1), strings::decr),
    grow("decrby", 3, Keys::At(1), strings::decrby),
    write("del", -2, Keys::All, keys::del),
    read("echo", 2, Keys::None, keys::echo),
    write("eval", -3, Keys::Counted(2), script::eval),
    read("eval_ro", -3, Keys::Counted(2), script::eval_ro),
    read("exists", -2, Keys::All, keys::exists),
    write("expire", -3, Keys::At(1), keys::expire),
    write("expireat", -3, Keys::At(1), keys::expireat),
    read("expiretime", 2, Keys::At(1), keys::expiretime),
    write("flushall", -1, Keys::Any, keys::flushdb),
    write("flushdb", -1, Keys::Any, keys::flushdb),
    read("get", 2, Keys::At(1), strings::get),
    write("getdel", 2, Keys::At(1), strings::getdel),
    write("getex", -2, Keys::At(1), strings::getex),
    read("getrange", 4, Keys::At(1), strings::getrange),
    grow("getset", 3, Keys::At(1), strings::getset),
    write("hdel", -3, Keys::At(1), hash::hdel),
    read("hexists", 3, Keys::At(1), hash::hexists),
    read("hget", 3, Keys::At(1), hash::hget),
    read("hgetall", 2, Keys::At(1), hash::hgetall),
    grow("hincrby", 4, Keys::At(1), hash::hincrby),
    grow("hincrbyfloat", 4, Keys::At(1), hash::hincrbyfloat),
    read("hkeys", 2, Keys::At(1), hash::hkeys),
    read("hlen", 2, Keys::At(1), hash::hlen),
    read("hmget", -3, Keys::At(1), hash::hmget),
    grow("hmset", -4, Keys::At(1), hash::hmset),
    read("hrandfield", -2, Keys::At(1), hash::hrandfield),
    read("hscan", -3, Keys::At(1), hash::hscan),
    grow("hset", -4, Keys::At(1), hash::hset),
    grow("hsetnx", 4, Keys::At(1), hash::hsetnx),
    read("hstrlen", 3, Keys::At(1), hash::hstrlen),
    read("hvals", 2, Keys::At(1), hash::hvals),
    grow("incr", 2, Keys::At(1), strings::incr),
    grow("incrby", 3, Keys::At(1), strings::incrby),
    grow("incrbyfloat", 3, Keys::At(1), strings::incrbyfloat),
    read("keys", 2, Keys::Any, keys::keys),
    read("mget", -2, Keys::All, strings::mget),
    grow("mset", -3, Keys::Pairs, strings::mset),
    grow("msetnx", -3, Keys::Pairs, strings::msetnx),
    read("object", -2, Keys::At(2), keys::object),
    write("persist", 2, Keys::At(1), keys::persist),
    write("pexpire", -3, Keys::At(1), keys::pexpire),
    write("pexpireat", -3, Keys::At(1), keys::pexpireat),
    read("pexpiretime", 2, Keys::At(1), keys::pexpiretime),
    read("ping", -1, Keys::None, keys::ping),
    grow("psetex", 4, Keys::At(1), strings::psetex),
    read("pttl", 2, Keys::At(1), keys::pttl),
    write("publish", 3, Keys::None, keys::publish),
    read("randomkey", 1, Keys::Any, keys::randomkey),
    write("rename", 3, Keys::Two, keys::rename),
    write("renamenx", 3, Keys::Two, keys::renamenx),
    grow("sadd", -3, Keys::At(1), set::sadd),
    read("scan", -2, Keys::Any, scan::scan),
    read("scard", 2, Keys::At(1), set::scard),
    read("sdiff", -2, Keys::All, set::sdiff),
    grow("sdiffstore", -3, Keys::All, set::sdiffstore),
    grow("set", -3, Keys::At(1), strings::set),
    grow("setex", 4, Keys::At(1), strings::setex),
    grow("setnx", 3, Keys::At(1), strings::setnx),
    grow("setrange", 4, Keys::At(1), strings::setrange),
    read("sinter", -2, Keys::All, set::sinter),
    grow("sinterstore", -3, Keys::All, set::sinterstore),
    read("sismember", 3, Keys::At(1), set::sismember),
    read("smembers", 2, Keys::At(1), set::smembers),
    read("smismember", -3, Keys::At(1), set::smismember),
    write("smove", 4, Keys::Two, set::smove),
    write("spop", -2, Keys::At(1), set::spop),
    read("srandmember", -2, Keys::At(1), set::srandmember),
    write("srem", -3, Keys::At(1), set::srem),
    read("sscan", -3, Keys::At(1), set::sscan),
    read("strlen", 2, Keys::At(1), strings::strlen),
    read("substr", 4, Keys::At(1), strings::getrange),
    read("sunion", -2, Keys::All, set::sunion),
    grow("sunionstore", -3, Keys::All, set::sunionstore),
    read("time", 1, Keys::None, keys::time),
    read("touch", -2, Keys::All, keys::exists),
    read("ttl", 2, Keys::At(1), keys::ttl),
    read("type", 2, Keys::At(1), keys::kind),
    write("unlink", -2, Keys::All, keys::del),
    grow("zadd", -4, Keys::At(1), sorted_set::zadd),
    read("zcard", 2, Keys::At(1), sorted_set::zcard),
    read("zcount", 4, Keys::At(1), score_range::zcount),
    grow("zincrby", 4, Keys::At(1), sorted_set::zincrby),
    read("zlexcount", 4, Keys::At(1), score_range::zlexcount),
    read("zmscore", -3, Keys::At(1), sorted_set::zmscore),
    write("zpopmax", -2, Keys::At(1), sorted_set::zpopmax),
    write("zpopmin", -2, Keys::At(1), sorted_set::zpopmin),
    read("zrange", -4, Keys::At(1), score_range::zrange),
    read("zrangebylex", -4, Keys::At(1), score_range::zrangebylex),
    read("zrangebyscore", -4, Keys::At(1), score_range::zrangebyscore),
    read("zrank", 3, Keys::At(1), sorted_set::zrank),
    write("zrem", -3, Keys::At(1), sorted_set::zrem),
    write("zremrangebylex", 4, Keys::At(1), score_range::zremrangebylex),
    write("zremrangebyrank", 4, Keys::At(1), score_range::zremrangebyrank),
    write("zremrangebyscore", 4, Keys::At(1), score_range::zremrangebyscore),
    read("zrevrange", -4, Keys::At(1), score_range::zrevrange),
    read("zrevrangebylex", -4, Keys::At(1), score_range::zrevrangebylex),
    read("zrevrangebyscore", -4, Keys::At(1), score_range::zrevrangebyscore),
    read("zrevrank", 3, Keys::At(1), sorted_set::zrevrank),
    read("zscan", -3, Keys::At(1), sorted_set::zscan),
    read("zscore", 3, Keys::At(1), sorted_set::zscore),
];

/// Removes keys by name, as a part of a `FLUSHDB`. It is none of the commands, so that nobody can say it.
pub static FLUSHED: Spec = write("flushed", -2, Keys::All, keys::flushed);

/// The command of this name, in any letter case.
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    static NAMES: Names<Spec> = Names::of(COMMANDS, |spec| spec.name);
    NAMES.find(name)
}

/// All commands.
pub fn names() -> impl Iterator<Item = &'static Spec> {
    COMMANDS.iter()
}

/// What a command that is none is answered.
pub fn unknown(call: &[Bytes]) -> Reply {
    let shown = |word: &Bytes| String::from_utf8_lossy(&word[..word.len().min(128)]).into_owned();
    let name = call.first().map(shown).unwrap_or_default();
    let mut args = String::new();
    for word in call.iter().skip(1) {
        if args.len() >= 128 {
            break;
        }
        args += &format!("'{}' ", shown(word));
    }
    Reply::error(format!("ERR unknown command '{name}', with args beginning with: {args}").replace(['\r', '\n'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_are_found_in_any_letter_case() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        for spec in COMMANDS {
            assert!(find(spec.name.to_uppercase().as_bytes()).is_some_and(|found| found.name == spec.name));
        }
        assert!(find(b"").is_none() && find(b"gett").is_none() && find(&[b'x'; 300]).is_none());
    }
}
