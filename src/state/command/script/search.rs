//! Search: `string.find` and its kin, on patterns that spend steps.

use std::rc::Rc;
use std::sync::OnceLock;

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::machine::compiled;
use super::pattern::{self, Captured, Match, Stop};
use super::work::{Spent, Work};
use super::{raised, spent};
use crate::limits::SCRIPT_MEMORY_MAX;

/// Gives `string` what searches.
pub(super) fn library(lua: &Lua, string: &Table, work: &Rc<Work>) -> mlua::Result<()> {
    static CODE: OnceLock<Vec<u8>> = OnceLock::new();
    let watched = Rc::clone(work);
    let found = move |lua: &Lua, (text, pattern, from, is_plain): (LuaString, LuaString, Option<f64>, Option<bool>)| {
        find(lua, (&text, &pattern), (from.unwrap_or(1.0), is_plain.unwrap_or(false)), &watched)
    };
    let watched = Rc::clone(work);
    let matched = move |lua: &Lua, (text, pattern, from): (LuaString, LuaString, Option<f64>)| {
        let found = sought(lua, (&text, &pattern), (from.unwrap_or(1.0), true), &watched)?;
        found.map_or(Ok(Vec::new()), |found| captures(lua, &text, &found)).map(nothing_is_nil)
    };
    let watched = Rc::clone(work);
    let seek = move |lua: &Lua, (text, pattern, from, anchors): (LuaString, LuaString, f64, bool)| {
        let Some(found) = sought(lua, (&text, &pattern), (from, anchors), &watched)? else {
            return Ok(nothing_is_nil(Vec::new()));
        };
        let mut all = places(&found);
        all.extend(captures(lua, &text, &found)?);
        Ok(MultiValue::from_vec(all))
    };
    string.raw_set("find", lua.create_function(found)?)?;
    string.raw_set("match", lua.create_function(matched)?)?;
    let (seek, expand) = (lua.create_function(seek)?, lua.create_function(expand)?);
    compiled(lua, (include_str!("pattern.lua"), "=string"), &CODE)?.call((seek, expand))
}

fn nothing_is_nil(values: Vec<Value>) -> MultiValue {
    MultiValue::from_vec(if values.is_empty() { vec![Value::Nil] } else { values })
}

/// Where a search begins: a place from 1, or from the end.
fn begin(length: usize, from: f64) -> usize {
    let length = length as f64;
    let from = if from < 0.0 { (length + from).max(0.0) } else { (from - 1.0).max(0.0) };
    from.min(length) as usize
}

fn told(lua: &Lua, stop: Stop) -> mlua::Error {
    match stop {
        Stop::Malformed(why) => raised(lua, why),
        Stop::Spent => spent(Spent),
    }
}

/// Finds a pattern in a text, from there on; `^` counts if it is said.
fn sought(
    lua: &Lua,
    (text, pattern): (&LuaString, &LuaString),
    (from, anchors): (f64, bool),
    work: &Work,
) -> mlua::Result<Option<Match>> {
    let text = text.as_bytes();
    let from = begin(text.len(), from);
    pattern::seek(&text, &pattern.as_bytes(), (from, anchors), work).map_err(|stop| told(lua, stop))
}

/// `string.find`: the places, and what was captured.
fn find(
    lua: &Lua,
    (text, pattern): (&LuaString, &LuaString),
    (from, is_plain): (f64, bool),
    work: &Work,
) -> mlua::Result<MultiValue> {
    let found = if is_plain || !pattern::is_special(&pattern.as_bytes()) {
        let text = text.as_bytes();
        let from = begin(text.len(), from);
        pattern::seek_plain(&text, &pattern.as_bytes(), from, work).map_err(|stop| told(lua, stop))?
    } else {
        sought(lua, (text, pattern), (from, true), work)?
    };
    let Some(found) = found else { return Ok(nothing_is_nil(Vec::new())) };
    let mut all = places(&found);
    if !found.captures.is_empty() {
        all.extend(captures(lua, text, &found)?);
    }
    Ok(MultiValue::from_vec(all))
}

fn places(found: &Match) -> Vec<Value> {
    vec![Value::Number((found.from + 1) as f64), Value::Number(found.to as f64)]
}

/// What was captured; all that was found if there are no captures.
fn captures(lua: &Lua, text: &LuaString, found: &Match) -> mlua::Result<Vec<Value>> {
    let text = text.as_bytes();
    let part = |from: usize, to: usize| lua.create_string(&text[from..to]).map(Value::String);
    if found.captures.is_empty() {
        return Ok(vec![part(found.from, found.to)?]);
    }
    let one = |captured: &Captured| match captured {
        Captured::Bytes(from, to) => part(*from, *to),
        Captured::Place(place) => Ok(Value::Number(*place as f64)),
    };
    found.captures.iter().map(one).collect()
}

/// A replacement's text, in which `%1` stands for the first capture and `%0` for all that was found.
fn expand(lua: &Lua, (text, captures): (LuaString, MultiValue)) -> mlua::Result<LuaString> {
    let (text, captures) = (text.as_bytes(), captures.into_vec());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(digit @ b'0'..=b'9') => {
                let captured = captures.get(usize::from(digit - b'0'));
                let captured = captured.ok_or_else(|| raised(lua, "invalid capture index"))?;
                if let Some(captured) = lua.coerce_string(captured.clone())? {
                    out.extend_from_slice(&captured.as_bytes());
                }
            }
            other => out.extend(other),
        }
        if out.len() > SCRIPT_MEMORY_MAX {
            return Err(raised(lua, "not enough memory"));
        }
    }
    lua.create_string(out)
}
