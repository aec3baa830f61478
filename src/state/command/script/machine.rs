//! Machine: what scripts find in theirs, besides Lua itself.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::OnceLock;

use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};

use super::convert::Dialect;
use super::work::{Spent, Work};
use super::{Said, answered, first_line, json, place, raised, search, sha1hex, spent};

/// What every script sees, compiled once.
pub(super) fn prelude(lua: &Lua) -> mlua::Result<Function> {
    static CODE: OnceLock<Vec<u8>> = OnceLock::new();
    compiled(lua, (include_str!("prelude.lua"), "=redis"), &CODE)
}

/// A text of ours as a function. It was compiled by a machine like this one, in this process.
pub(super) fn compiled(lua: &Lua, (text, name): (&str, &str), code: &OnceLock<Vec<u8>>) -> mlua::Result<Function> {
    if let Some(code) = code.get() {
        return lua.load(code.as_slice()).set_name(name).into_function();
    }
    let function = lua.load(text).set_name(name).into_function()?;
    // whoever comes second has compiled the same
    let _ = code.set(function.dump(false));
    Ok(function)
}

/// The functions that the prelude is made of.
pub(super) fn functions(lua: &Lua, work: &Rc<Work>, dialect: &Rc<Cell<Dialect>>) -> mlua::Result<Table> {
    let rust = lua.create_table()?;
    let watched = Rc::clone(work);
    let alive = move |_: &Lua, ()| if watched.is_spent() { Err(spent(Spent)) } else { Ok(()) };
    rust.raw_set("alive", lua.create_function(alive)?)?;
    let watched = Rc::clone(work);
    rust.raw_set("is_over", lua.create_function(move |_, ()| Ok(watched.is_spent()))?)?;
    rust.raw_set("place", lua.create_function(|lua, ()| Ok(place(lua)))?)?;
    rust.raw_set("shown", lua.create_function(|_, failure: Value| Ok(failure.as_error().map(first_line)))?)?;
    let answered = |_: &Lua, failure: Value| Ok(failure.as_error().map(answered));
    rust.raw_set("answered", lua.create_function(answered)?)?;
    rust.raw_set("has_code", lua.create_function(|_, text: LuaString| Ok(text.as_bytes().contains(&b' ')))?)?;
    let hex = |lua: &Lua, text: Value| match lua.coerce_string(text)? {
        Some(text) => Ok(sha1hex(&text.as_bytes())),
        None => Err(mlua::Error::external(Said("ERR wrong number of arguments".into()))),
    };
    rust.raw_set("sha1hex", lua.create_function(hex)?)?;
    let seen = Rc::clone(dialect);
    let setresp = move |lua: &Lua, words: MultiValue| {
        let said = |what: &str| mlua::Error::external(Said(format!("ERR {what}")));
        let Some(version) = words.front().filter(|_| words.len() == 1) else {
            return Err(said("redis.setresp() requires one argument."));
        };
        seen.set(match lua.coerce_number(version.clone())? {
            Some(2.0) => Dialect::Two,
            Some(3.0) => Dialect::Three,
            _ => return Err(said("RESP version must be 2 or 3.")),
        });
        Ok(())
    };
    rust.raw_set("setresp", lua.create_function(setresp)?)?;
    let dice = Rc::new(Dice(Cell::new(Dice::FIRST)));
    let thrown = Rc::clone(&dice);
    let random = move |lua: &Lua, (low, high): (Option<f64>, Option<f64>)| {
        let place = if high.is_some() { 2 } else { 1 };
        let empty = || raised(lua, &format!("bad argument #{place} to 'random' (interval is empty)"));
        thrown.throw(low, high).ok_or_else(empty)
    };
    rust.raw_set("random", lua.create_function(random)?)?;
    let seed = move |_: &Lua, seed: f64| {
        dice.0.set((seed as i64 as u64) << 16 | Dice::LOW);
        Ok(())
    };
    rust.raw_set("randomseed", lua.create_function(seed)?)?;
    Ok(rust)
}

/// `math.random` as Redis has it: from the same numbers in every script.
struct Dice(Cell<u64>);

impl Dice {
    const LOW: u64 = 0x330e;
    const FIRST: u64 = 0x1234_abcd_330e;

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
pub(super) fn libraries(lua: &Lua, (globals, text): (&Table, &[u8]), work: &Rc<Work>) -> mlua::Result<()> {
    let names = |word: &str| text.windows(word.len()).any(|part| part == word.as_bytes());
    if names("cjson") {
        globals.raw_set("cjson", json::library(lua, work)?)?;
    }
    if ["find", "match", "gsub"].into_iter().any(names) {
        search::library(lua, &globals.raw_get("string")?, work)?;
    }
    Ok(())
}
