//! Script: `EVAL`, with Lua 5.1.
//!
//! A script runs in a machine of its own, which knows base, `string`, `table`, `math`, `cjson` and `redis`, and nothing
//! of the world outside. It is bounded in memory, in steps, in time where it is decided, and in what it writes. What it
//! did before it failed stays done, as in Redis. A key that it did not name is an error; one that names none runs alone,
//! and may touch any.

mod convert;
mod decode;
mod json;
mod machine;
mod pattern;
mod search;
mod work;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use mlua::{Function, HookTriggers, Lua, LuaOptions, LuaString, MultiValue, StdLib, Table, Value, VmState};
use sha1::{Digest as _, Sha1};

use super::keyspace::Keyspace;
use super::number::parse_int;
use super::reply::{Answered, Reply, wrong};
use super::table::{self, Access, Keys};
use crate::limits::{SCRIPT_MEMORY_MAX, SCRIPT_STEPS_MAX};
use convert::Dialect;
use work::Work;

/// Instructions between two looks at what is left.
const LOOK_EVERY: u32 = 100;
/// Steps that a command costs, besides those for its bytes.
const COMMAND_STEPS: u64 = 100;
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
        let (text, access) = match self.body() {
            Ok(body) => body,
            Err(error) => return Ok(Err(error)),
        };
        let script = Script { access, ..*self };
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH, LuaOptions::new())?;
        lua.set_memory_limit(SCRIPT_MEMORY_MAX)?;
        let work = Rc::new(Work::new(keyspace.stopwatch()));
        let dialect = Rc::new(Cell::new(Dialect::Two));
        let rust = machine::functions(&lua, &work, &dialect)?;
        let keyspace = RefCell::new(keyspace);
        let call = |words: MultiValue| script.call(&mut keyspace.borrow_mut(), &work, &words);
        let call_or_raise = |lua: &Lua, words| match call(words)? {
            Reply::Error(text) => Err(mlua::Error::external(Said(text.into_owned()))),
            reply => convert::to_lua(lua, &reply, dialect.get()),
        };
        let call_or_show = |lua: &Lua, words| convert::to_lua(lua, &call(words)?, dialect.get());
        lua.scope(|scope| {
            rust.raw_set("call", scope.create_function(call_or_raise)?)?;
            rust.raw_set("pcall", scope.create_function(call_or_show)?)?;
            let (keys, args) = (strings(&lua, self.keys)?, strings(&lua, self.args)?);
            let (env, globals, run): (Table, Table, Function) = machine::prelude(&lua)?.call((&rust, keys, args))?;
            machine::libraries(&lua, (&globals, self.text), &work)?;
            let body = lua.load(&*text).set_name("@user_script").set_environment(env).into_function();
            let body = match body {
                Ok(body) => body,
                Err(e) => return Ok(Err(unreadable(&e))),
            };
            let watched = Rc::clone(&work);
            lua.set_hook(HookTriggers::new().every_nth_instruction(LOOK_EVERY), move |_, _| {
                watched.go_on(u64::from(LOOK_EVERY)).map(|()| VmState::Continue).map_err(spent)
            })?;
            let ran = run.call::<(bool, Value)>(body);
            lua.remove_hook();
            Ok(script.answer(&work, ran, dialect.get()))
        })
    }

    fn answer(&self, work: &Work, ran: mlua::Result<(bool, Value)>, dialect: Dialect) -> Answered {
        match ran {
            _ if work.is_spent() => {
                let sha = sha1hex(self.text);
                Err(Reply::error(format!("ERR Script ran for too long and was stopped. script: {sha}")))
            }
            Ok((true, value)) => convert::to_reply(&value, dialect).map_err(|why| Reply::error(format!("ERR {why}"))),
            Ok((false, failure)) => Err(self.failed(&failure)),
            Err(e) => Err(one_line(&answered(&e))),
        }
    }

    /// The text without a first line that says which language it is in, and what it may do.
    fn body(&self) -> Result<(Vec<u8>, Access), Reply> {
        // it would be believed to be compiled code, which can do anything
        if self.text.first() == Some(&0x1b) {
            return Err(Reply::err("ERR Error compiling script (new function): it is no text"));
        }
        let Some(rest) = self.text.strip_prefix(b"#!") else { return Ok((self.text.to_vec(), self.access)) };
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| Reply::err("ERR Invalid script shebang"))?;
        let access = stated(&String::from_utf8_lossy(&rest[..end]))?;
        if self.access == Access::Read && access == Access::Write {
            return Err(Reply::err("ERR Can not execute a script with write flag using *_ro command."));
        }
        Ok((rest[end..].to_vec(), access))
    }

    fn failed(&self, failure: &Value) -> Reply {
        let Value::Table(failure) = failure else { return Reply::err("ERR execution failure") };
        let text = failure.raw_get::<LuaString>("err").map(|text| text.as_bytes().to_vec());
        let text = text.unwrap_or_else(|_| b"ERR unknown error".to_vec());
        let place = failure.raw_get::<u32>("line");
        let place = place.map_or(String::new(), |line| format!(", on @user_script:{line}."));
        Reply::error_of(&[text, format!(" script: {}{place}", sha1hex(self.text)).into_bytes()].concat())
    }

    /// What a command is answered.
    fn call(&self, keyspace: &mut Keyspace<'_, '_>, work: &Work, words: &MultiValue) -> mlua::Result<Reply> {
        let call = match convert::words(words) {
            Ok(call) => call,
            Err(error) => return Ok(error),
        };
        work.go_on(steps(keyspace, &call)).map_err(spent)?;
        Ok(self.refusal(&call).unwrap_or_else(|| keyspace.run(&call)))
    }

    /// Why a script may not do this.
    fn refusal(&self, call: &[Bytes]) -> Option<Reply> {
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
        (self.access == Access::Read).then(|| Reply::err("ERR Write commands are not allowed from read-only scripts."))
    }
}

/// What a script may do, by its first line: `#!lua flags=no-writes`.
fn stated(line: &str) -> Result<Access, Reply> {
    let wrong = |what: &str, word: &str| Reply::error(format!("ERR {what}{word}"));
    let mut words = line.split_ascii_whitespace();
    // the name follows at once
    let engine = words.next().filter(|_| !line.starts_with(|c: char| c.is_ascii_whitespace())).unwrap_or_default();
    if engine != "lua" {
        return Err(wrong("Unexpected engine in script shebang: #!", engine));
    }
    let mut access = Access::Write;
    for word in words {
        let flags = word.strip_prefix("flags=").ok_or_else(|| wrong("Unknown lua shebang option: ", word))?;
        for flag in flags.split(',').filter(|_| !flags.is_empty()) {
            match flag {
                "no-writes" => access = Access::Read,
                // nothing here depends on these
                "allow-oom" | "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                other => return Err(wrong("Unexpected flag in script shebang: ", other)),
            }
        }
    }
    Ok(access)
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
    Reply::error_of(text.as_bytes())
}

fn strings(lua: &Lua, words: &[Bytes]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(words.len(), 0)?;
    for word in words {
        table.raw_push(lua.create_string(word)?)?;
    }
    Ok(table)
}

fn unreadable(error: &mlua::Error) -> Reply {
    let why = match error {
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        other => first_line(other),
    };
    one_line(&format!("ERR Error compiling script (new function): {why}"))
}

/// An error of Redis's, as it is answered.
#[derive(Debug)]
struct Said(String);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

/// What a script is answered that ends with this.
fn answered(error: &mlua::Error) -> String {
    let text = first_line(error);
    if cause(error).downcast_ref::<Said>().is_some() { text } else { format!("ERR {text}") }
}

/// What lies below what Lua made of it.
fn cause(error: &mlua::Error) -> &mlua::Error {
    match error {
        mlua::Error::CallbackError { cause: inner, .. } => cause(inner),
        other => other,
    }
}

fn first_line(error: &mlua::Error) -> String {
    let text = match cause(error) {
        mlua::Error::RuntimeError(text) => text.clone(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

/// An error as Lua's own functions raise it, with the place in front.
fn raised(lua: &Lua, what: &str) -> mlua::Error {
    let place = place(lua).map_or(String::new(), |line| format!("user_script:{line}: "));
    mlua::Error::runtime(format!("{place}{what}"))
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
