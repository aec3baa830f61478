//! Convert: answers as Lua's values and back, as Redis's documentation of `EVAL` has it.

use bytes::Bytes;
use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::one_line;
use crate::limits::SCRIPT_MEMORY_MAX;
use crate::state::command::number::show_double;
use crate::state::command::reply::Reply;

/// How deep what a script answers may nest.
const DEPTH_MAX: usize = 64;

/// The words of a command.
///
/// # Errors
/// When they are none.
pub(super) fn words(values: &MultiValue) -> Result<Vec<Bytes>, Reply> {
    if values.is_empty() {
        return Err(Reply::err("ERR Please specify at least one argument for this redis lib call"));
    }
    let word = |value: &Value| match value {
        Value::String(text) => Ok(Bytes::copy_from_slice(&text.as_bytes())),
        Value::Number(n) => Ok(show_double(*n).into()),
        Value::Integer(n) => Ok(show_double(*n as f64).into()),
        _ => Err(Reply::err("ERR Lua redis lib command arguments must be strings or integers")),
    };
    values.iter().map(word).collect()
}

/// What a script sees of an answer.
pub(super) fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
    let field = |name: &str, text: &str| {
        let table = lua.create_table()?;
        table.raw_set(name, text)?;
        Ok(Value::Table(table))
    };
    let string = |bytes: &[u8]| lua.create_string(bytes).map(Value::String);
    match reply {
        Reply::Status(text) => field("ok", text),
        Reply::Error(text) => field("err", text),
        Reply::Int(n) => Ok(Value::Number(*n as f64)),
        Reply::Double(n) => string(show_double(*n).as_bytes()),
        Reply::Bulk(bytes) => string(bytes),
        Reply::Value(entry) => string(entry.value()),
        Reply::Verbatim(text) => string(text.as_bytes()),
        Reply::Null | Reply::NullArray => Ok(Value::Boolean(false)),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => list(lua, items.iter()),
        Reply::Map(pairs) | Reply::Pairs(pairs) => list(lua, pairs.iter().flat_map(|(a, b)| [a, b])),
    }
}

fn list<'r>(lua: &Lua, items: impl Iterator<Item = &'r Reply>) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    for item in items {
        table.raw_push(to_lua(lua, item)?)?;
    }
    Ok(Value::Table(table))
}

/// The answer that a script's value is.
///
/// # Errors
/// When it is too large, or nests too deep; says so.
pub(super) fn to_reply(value: &Value) -> Result<Reply, &'static str> {
    reply_of(value, DEPTH_MAX, &mut 0)
}

fn reply_of(value: &Value, depth: usize, bytes: &mut usize) -> Result<Reply, &'static str> {
    let length = if let Value::String(text) = value { text.as_bytes().len() } else { 0 };
    *bytes += 32 + length;
    if *bytes > SCRIPT_MEMORY_MAX {
        return Err("the script's answer is too large");
    }
    Ok(match value {
        Value::String(text) => Reply::bulk(text.as_bytes()),
        Value::Number(n) => Reply::Int(*n as i64),
        Value::Integer(n) => Reply::Int(*n),
        Value::Boolean(true) => Reply::Int(1),
        Value::Table(_) if depth == 0 => return Err("reached lua stack limit"),
        Value::Table(table) => return reply_of_table(table, depth - 1, bytes),
        _ => Reply::Null,
    })
}

fn reply_of_table(table: &Table, depth: usize, bytes: &mut usize) -> Result<Reply, &'static str> {
    let text = |name: &str| match table.raw_get::<Value>(name) {
        Ok(Value::String(text)) => Some(LuaString::to_string_lossy(&text)),
        _ => None,
    };
    if let Some(error) = text("err") {
        return Ok(one_line(&error));
    }
    if let Some(status) = text("ok") {
        return Ok(Reply::Status(status.replace(['\r', '\n'], " ").into()));
    }
    match table.raw_get::<Value>("double") {
        Ok(Value::Number(n)) => return Ok(Reply::Double(n)),
        Ok(Value::Integer(n)) => return Ok(Reply::Double(n as f64)),
        _ => {}
    }
    let mut items = Vec::new();
    for at in 1_i64.. {
        match table.raw_get::<Value>(at) {
            Ok(Value::Nil) | Err(_) => break,
            Ok(item) => items.push(reply_of(&item, depth, bytes)?),
        }
    }
    Ok(Reply::Array(items))
}
