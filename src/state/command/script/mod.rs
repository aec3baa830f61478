//! Script: `EVAL`, with Lua 5.1.
//!
//! A script runs in a machine of its own, which knows base, `string`, `table`, `math`, `cjson` and `redis`, and nothing
//! of the world outside. It is bounded in memory, in steps, in time where it is decided, and in what it writes. What it
//! did before it failed stays done, as in Redis. A key that it did not name is an error; one that names none runs alone,
//! and may touch any.

mod convert;
mod json;
mod pattern;
mod work;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::OnceLock;

use bytes::Bytes;
use mlua::{
    Function, HookTriggers, IntoLua as _, IntoLuaMulti as _, Lua, LuaOptions, LuaString, MultiValue, StdLib, Table,
    Value, VmState,
};
use sha1::{Digest as _, Sha1};

use super::keyspace::Keyspace;
use super::number::parse_int;
use super::reply::{Answered, Reply, wrong};
use super::table::{self, Access, Keys};
use crate::limits::{SCRIPT_MEMORY_MAX, SCRIPT_STEPS_MAX, SCRIPT_WRITES_MAX};
use pattern::{Captured, Match, Stop};
use work::Work;

/// Instructions between two looks at what is left.
const LOOK_EVERY: u32 = 100;
/// Steps that a command costs, besides those for its bytes.
const COMMAND_STEPS: u64 = 50;
/// Bytes that cost a step.
const STEP_BYTES: usize = 16;
/// Steps of a command that looks at all keys.
const ALL_STEPS: u64 = SCRIPT_STEPS_MAX / 1_000;

/// What a connection knows, and no script.
const NOT_FOR_SCRIPTS: &[&[u8]] = &[
    b"acl",
    b"auth",
    b"bgrewriteaof",
    b"bgsave",
    b"blpop",
    b"brpop",
    b"client",
    b"config",
    b"debug",
    b"discard",
    b"eval",
    b"eval_ro",
    b"evalsha",
    b"evalsha_ro",
    b"exec",
    b"fcall",
    b"function",
    b"hello",
    b"info",
    b"monitor",
    b"multi",
    b"psubscribe",
    b"punsubscribe",
    b"quit",
    b"replicaof",
    b"reset",
    b"save",
    b"script",
    b"select",
    b"shutdown",
    b"slaveof",
    b"ssubscribe",
    b"subscribe",
    b"sunsubscribe",
    b"sync",
    b"unsubscribe",
    b"unwatch",
    b"watch",
];

pub(super) fn eval(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    declared(keyspace, args, Access::Write)
}

pub(super) fn eval_ro(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    declared(keyspace, args, Access::Read)
}

/// `EVAL script numkeys key … arg …`.
fn declared(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes], access: Access) -> Answered {
    let count = parse_int(&args[1]).ok_or_else(wrong::integer)?;
    let count = usize::try_from(count).map_err(|_| Reply::err("ERR Number of keys can't be negative"))?;
    let (keys, rest) = args[2..]
        .split_at_checked(count)
        .ok_or_else(|| Reply::err("ERR Number of keys can't be greater than number of args"))?;
    let named = (count > 0).then(|| keys.iter().map(|raw| keyspace.key(raw)).collect());
    keyspace.declaring(named, |keyspace| {
        let script = Script { text: &args[0], keys, args: rest, access };
        script.run(keyspace).unwrap_or_else(|e| Err(Reply::error(format!("ERR {}", first_line(&e)))))
    })
}

fn first_line(error: &mlua::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn sha1hex(text: &[u8]) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Script<'a> {
    text: &'a [u8],
    keys: &'a [Bytes],
    args: &'a [Bytes],
    access: Access,
}

impl Script<'_> {
    /// # Errors
    /// When the machine itself fails: there is no memory for it.
    fn run(&self, keyspace: &mut Keyspace<'_, '_>) -> mlua::Result<Answered> {
        let text = match self.body() {
            Ok(text) => text,
            Err(error) => return Ok(Err(error)),
        };
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH, LuaOptions::new())?;
        lua.set_memory_limit(SCRIPT_MEMORY_MAX)?;
        let work = Rc::new(Work::new(keyspace.stopwatch()));
        let rust = machine(&lua, &work)?;
        lua.scope(|scope| {
            let call =
                scope.create_function_mut(|lua: &Lua, words: MultiValue| self.call(lua, keyspace, &work, words))?;
            rust.raw_set("call", call)?;
            let (keys, args) = (strings(&lua, self.keys)?, strings(&lua, self.args)?);
            let (env, globals, run): (Table, Table, Function) = prelude(&lua)?.call((&rust, keys, args))?;
            libraries(&lua, (&globals, self.text), &work)?;
            let script = lua.load(&*text).set_name("@user_script").set_environment(env).into_function();
            let script = match script {
                Ok(script) => script,
                Err(e) => {
                    let why = match &e {
                        mlua::Error::SyntaxError { message, .. } => message.clone(),
                        other => first_line(other),
                    };
                    return Ok(Err(Reply::error(format!("ERR Error compiling script (new function): {why}"))));
                }
            };
            let watched = Rc::clone(&work);
            lua.set_hook(HookTriggers::new().every_nth_instruction(LOOK_EVERY), move |_, _| {
                watched.go_on(u64::from(LOOK_EVERY)).map(|()| VmState::Continue).map_err(spent)
            })?;
            let ran: mlua::Result<(bool, Value)> = run.call(script);
            lua.remove_hook();
            Ok(match ran {
                _ if work.is_spent() => Err(Reply::error(format!(
                    "ERR Script ran for too long and was stopped. script: {}",
                    sha1hex(self.text)
                ))),
                Ok((true, value)) => convert::to_reply(&value).map_err(|why| Reply::error(format!("ERR {why}"))),
                Ok((false, failure)) => Err(self.failed(&failure)),
                Err(e) => Err(Reply::error(format!("ERR {}", first_line(&e)))),
            })
        })
    }

    /// The text without a first line that says which language it is in.
    fn body(&self) -> Result<Vec<u8>, Reply> {
        // it would be believed to be compiled code, which can do anything
        if self.text.first() == Some(&0x1b) {
            return Err(Reply::err("ERR Error compiling script (new function): it is no text"));
        }
        let Some(rest) = self.text.strip_prefix(b"#!") else { return Ok(self.text.to_vec()) };
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| Reply::err("ERR Invalid script shebang"))?;
        let line = String::from_utf8_lossy(&rest[..end]);
        match line.split_whitespace().next() {
            Some("lua") => Ok(rest[end..].to_vec()),
            other => {
                Err(Reply::error(format!("ERR Unexpected engine in script shebang: {}", other.unwrap_or_default())))
            }
        }
    }

    fn failed(&self, failure: &Value) -> Reply {
        let Value::Table(failure) = failure else { return Reply::err("ERR execution failure") };
        let text = failure.raw_get::<LuaString>("err").map(|text| text.to_string_lossy());
        let text = text.unwrap_or_else(|_| "ERR unknown error".to_owned());
        let place = failure.raw_get::<u32>("line");
        let place = place.map_or(String::new(), |line| format!(", on @user_script:{line}."));
        one_line(&format!("{text} script: {}{place}", sha1hex(self.text)))
    }

    /// `redis.call`: whether it failed, and what it is answered.
    fn call(
        &self,
        lua: &Lua,
        keyspace: &mut Keyspace<'_, '_>,
        work: &Work,
        words: MultiValue,
    ) -> mlua::Result<(bool, Value)> {
        let reply = match convert::words(&words) {
            Ok(call) => {
                work.go_on(steps(keyspace, &call)).map_err(spent)?;
                self.refusal(keyspace, &call).unwrap_or_else(|| keyspace.run(&call))
            }
            Err(error) => error,
        };
        Ok((reply.is_error(), convert::to_lua(lua, &reply)?))
    }

    /// Why a script may not do this.
    fn refusal(&self, keyspace: &Keyspace<'_, '_>, call: &[Bytes]) -> Option<Reply> {
        let lower = call[0].to_ascii_lowercase();
        if NOT_FOR_SCRIPTS.contains(&lower.as_slice()) {
            return Some(Reply::err("ERR This Redis command is not allowed from script"));
        }
        let Some(spec) = table::find(&lower) else {
            return Some(Reply::err("ERR Unknown Redis command called from script"));
        };
        if !spec.takes(call.len()) {
            return Some(Reply::err("ERR Wrong number of args calling Redis command from script"));
        }
        if spec.access == Access::Read {
            return None;
        }
        if self.access == Access::Read {
            return Some(Reply::err("ERR Write commands are not allowed from read-only scripts."));
        }
        let is_too_much = keyspace.weight() > SCRIPT_WRITES_MAX;
        is_too_much.then(|| Reply::err("ERR Script writes too much to be written in one step"))
    }
}

/// What a command costs: by what is said, and by what lies there.
fn steps(keyspace: &Keyspace<'_, '_>, call: &[Bytes]) -> u64 {
    let said: usize = call.iter().map(Bytes::len).sum();
    let spec = table::find(&call[0]);
    if spec.is_some_and(|spec| spec.keys == Keys::Any) {
        return ALL_STEPS;
    }
    let keys = spec.and_then(|spec| spec.keys_of(call)).unwrap_or_default();
    let held: usize = keys.iter().filter_map(|raw| keyspace.live(raw)).map(|entry| entry.len()).sum();
    COMMAND_STEPS + ((said + held) / STEP_BYTES) as u64
}

fn spent(_: work::Spent) -> mlua::Error {
    mlua::Error::runtime("the script ran for too long")
}

fn one_line(text: &str) -> Reply {
    Reply::error(text.replace(['\r', '\n'], " "))
}

fn strings(lua: &Lua, words: &[Bytes]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(words.len(), 0)?;
    for word in words {
        table.raw_push(lua.create_string(word)?)?;
    }
    Ok(table)
}

/// What every script sees, compiled once.
fn prelude(lua: &Lua) -> mlua::Result<Function> {
    static CODE: OnceLock<Vec<u8>> = OnceLock::new();
    compiled(lua, (include_str!("prelude.lua"), "=redis"), &CODE)
}

/// A text of ours as a function. It was compiled by a machine like this one, in this process.
fn compiled(lua: &Lua, (text, name): (&str, &str), code: &OnceLock<Vec<u8>>) -> mlua::Result<Function> {
    if let Some(code) = code.get() {
        return lua.load(code.as_slice()).set_name(name).into_function();
    }
    let function = lua.load(text).set_name(name).into_function()?;
    // whoever comes second has compiled the same
    let _ = code.set(function.dump(false));
    Ok(function)
}

/// The functions that the prelude is made of.
fn machine(lua: &Lua, work: &Rc<Work>) -> mlua::Result<Table> {
    let rust = lua.create_table()?;
    let watched = Rc::clone(work);
    let alive = move |_: &Lua, ()| if watched.is_spent() { Err(spent(work::Spent)) } else { Ok(()) };
    rust.raw_set("alive", lua.create_function(alive)?)?;
    let watched = Rc::clone(work);
    rust.raw_set("is_over", lua.create_function(move |_, ()| Ok(watched.is_spent()))?)?;
    rust.raw_set("place", lua.create_function(|lua, ()| Ok(place(lua)))?)?;
    let shown = |_: &Lua, failure: Value| Ok(failure.as_error().map(first_line));
    rust.raw_set("shown", lua.create_function(shown)?)?;
    let hex = |lua: &Lua, text: Value| match lua.coerce_string(text)? {
        Some(text) => (false, sha1hex(&text.as_bytes())).into_lua_multi(lua),
        None => (true, "wrong number of arguments").into_lua_multi(lua),
    };
    rust.raw_set("sha1hex", lua.create_function(hex)?)?;
    let dice = Rc::new(Dice(Cell::new(Dice::FIRST)));
    let thrown = Rc::clone(&dice);
    let random = move |lua: &Lua, (low, high): (Option<f64>, Option<f64>)| match thrown.throw(low, high) {
        Some(number) => (false, number).into_lua_multi(lua),
        None => (true, "bad argument #1 to 'random' (interval is empty)").into_lua_multi(lua),
    };
    rust.raw_set("random", lua.create_function(random)?)?;
    let seed = move |_: &Lua, seed: Option<f64>| Ok(dice.0.set((seed.unwrap_or(0.0) as i64 as u64) << 16 | Dice::LOW));
    rust.raw_set("randomseed", lua.create_function(seed)?)?;
    Ok(rust)
}

/// The line of the script that is being run.
fn place(lua: &Lua) -> Option<usize> {
    (1..20).find_map(|level| {
        let line = |debug: &mlua::debug::Debug<'_>| {
            let is_script = debug.source().source.as_deref() == Some("@user_script");
            if is_script { debug.current_line() } else { None }
        };
        lua.inspect_stack(level, line).flatten()
    })
}

/// `math.random` as Redis has it: from the same numbers in every script.
struct Dice(Cell<u64>);

impl Dice {
    const LOW: u64 = 0x330e;
    const FIRST: u64 = Self::LOW;

    fn throw(&self, low: Option<f64>, high: Option<f64>) -> Option<f64> {
        // drand48
        self.0.set(self.0.get().wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & ((1 << 48) - 1));
        let most = f64::from(i32::MAX);
        let drawn = (self.0.get() >> 17) as f64 % most / most;
        let (low, high) = match (low, high) {
            (None, _) => return Some(drawn),
            (Some(high), None) => (1.0, high.trunc()),
            (Some(low), Some(high)) => (low.trunc(), high.trunc()),
        };
        (low <= high).then(|| (drawn * (high - low + 1.0)).floor() + low)
    }
}

/// Libraries that few scripts use are there for those that name them.
fn libraries(lua: &Lua, (globals, text): (&Table, &[u8]), work: &Rc<Work>) -> mlua::Result<()> {
    let names = |word: &str| text.windows(word.len()).any(|part| part == word.as_bytes());
    if names("cjson") {
        globals.raw_set("cjson", json::library(lua, work)?)?;
    }
    if ["find", "match", "gsub"].into_iter().any(names) {
        static CODE: OnceLock<Vec<u8>> = OnceLock::new();
        let watched = Rc::clone(work);
        let seek = lua.create_function(move |lua, asked| seek(lua, asked, &watched))?;
        let expand = lua.create_function(|lua, (text, captures)| expand(lua, &text, captures))?;
        compiled(lua, (include_str!("pattern.lua"), "=string"), &CODE)?.call::<()>((seek, expand))?;
    }
    Ok(())
}

/// What a search is asked: text, pattern, from where, whether `^` counts, whether signs mean themselves, whether the
/// captures are told apart from the whole.
type Sought = (LuaString, LuaString, f64, bool, bool, bool);

/// Whether it failed; then where it was found, and what was captured.
fn seek(lua: &Lua, (text, pattern, from, anchors, is_plain, tells): Sought, work: &Work) -> mlua::Result<MultiValue> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let length = text.len() as f64;
    let from = if from < 0.0 { (length + from).max(0.0) } else { (from - 1.0).max(0.0) };
    let from = from.min(length) as usize;
    let found = if is_plain || tells && !pattern::is_special(&pattern) {
        pattern::seek_plain(&text, &pattern, from, work)
    } else {
        pattern::seek(&text, &pattern, (from, anchors), work)
    };
    let Match { from, to, captures } = match found {
        Ok(Some(found)) => found,
        Ok(None) => return (false, mlua::Nil).into_lua_multi(lua),
        Err(Stop::Malformed(why)) => return (true, why).into_lua_multi(lua),
        Err(Stop::Spent) => return Err(spent(work::Spent)),
    };
    let mut all = vec![Value::Boolean(false), Value::Number((from + 1) as f64), Value::Number(to as f64)];
    let whole = || lua.create_string(&text[from..to]).map(Value::String);
    match (captures.is_empty(), tells) {
        (true, true) => all.push(Value::Boolean(true)),
        (true, false) => all.push(whole()?),
        (false, true) => all.push(Value::Boolean(false)),
        (false, false) => {}
    }
    for captured in captures {
        all.push(match captured {
            Captured::Bytes(from, to) => Value::String(lua.create_string(&text[from..to])?),
            Captured::Place(place) => Value::Number(place as f64),
        });
    }
    Ok(MultiValue::from_vec(all))
}

/// A replacement's text, in which `%1` stands for the first capture and `%0` for all that was found.
fn expand(lua: &Lua, text: &LuaString, captures: MultiValue) -> mlua::Result<MultiValue> {
    let (text, captures) = (text.as_bytes(), captures.into_vec());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let digit = match (byte, bytes.as_slice().first()) {
            (b'%', Some(digit @ b'0'..=b'9')) => usize::from(digit - b'0'),
            (b'%', other) => {
                out.extend(other);
                bytes.next();
                continue;
            }
            _ => {
                out.push(*byte);
                continue;
            }
        };
        bytes.next();
        let Some(captured) = captures.get(digit) else {
            return (true, "invalid capture index").into_lua_multi(lua);
        };
        if let Some(captured) = lua.coerce_string(captured.clone())? {
            out.extend_from_slice(&captured.as_bytes());
        }
        if out.len() > SCRIPT_MEMORY_MAX {
            return (true, "not enough memory").into_lua_multi(lua);
        }
    }
    (false, lua.create_string(out)?.into_lua(lua)?).into_lua_multi(lua)
}
