//! Convert: answers as Lua's values and back, as Redis's documentation of `EVAL` has it.

use bytes::Bytes;
use mlua::{Lua, MultiValue, Table, Value};

use crate::limits::SCRIPT_MEMORY_MAX;
use crate::state::command::number::show_double;
use crate::state::command::reply::Reply;

/// How deep what a script answers may nest.
const DEPTH_MAX: usize = 64;

/// How a script sees answers: as RESP2 has them, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Two,
    Three,
}

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
pub(super) fn to_lua(lua: &Lua, reply: &Reply, dialect: Dialect) -> mlua::Result<Value> {
    let field = |name: &str, value: Value| {
        let table = lua.create_table()?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    };
    let text = |name: &str, text: &str| field(name, Value::String(lua.create_string(text)?));
    let seen = |reply: &Reply| to_lua(lua, reply, dialect);
    let string = |bytes: &[u8]| lua.create_string(bytes).map(Value::String);
    match reply {
        Reply::Status(status) => text("ok", status),
        Reply::Error(error) => text("err", error),
        Reply::Int(n) => Ok(Value::Number(*n as f64)),
        Reply::Bool(is_so) => Ok(Value::Boolean(*is_so)),
        Reply::Double(n) if dialect == Dialect::Three => field("double", Value::Number(*n)),
        Reply::Double(n) => string(show_double(*n).as_bytes()),
        Reply::Bulk(bytes) => string(bytes),
        // no command answers these
        Reply::RawStatus(bytes) | Reply::RawError(bytes) => string(bytes),
        Reply::Value(entry) => string(entry.value()),
        Reply::Verbatim(text) => string(text.as_bytes()),
        Reply::Null | Reply::NullArray if dialect == Dialect::Three => Ok(Value::Nil),
        Reply::Null | Reply::NullArray => Ok(Value::Boolean(false)),
        Reply::Set(items) if dialect == Dialect::Three => {
            let members = items.iter().map(|item| Ok((seen(item)?, Value::Boolean(true))));
            field("set", table(lua, members)?)
        }
        Reply::Map(pairs) if dialect == Dialect::Three => {
            let members = pairs.iter().map(|(name, value)| Ok((seen(name)?, seen(value)?)));
            field("map", table(lua, members)?)
        }
        Reply::Pairs(pairs) if dialect == Dialect::Three => {
            list(lua, pairs.iter().map(|(a, b)| list(lua, [seen(a), seen(b)].into_iter())))
        }
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => list(lua, items.iter().map(seen)),
        Reply::Map(pairs) | Reply::Pairs(pairs) => list(lua, pairs.iter().flat_map(|(a, b)| [a, b]).map(seen)),
    }
}

/// Nothing takes a place, too.
fn list(lua: &Lua, items: impl Iterator<Item = mlua::Result<Value>>) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    for (at, item) in items.enumerate() {
        table.raw_set(at + 1, item?)?;
    }
    Ok(Value::Table(table))
}

fn table(lua: &Lua, members: impl Iterator<Item = mlua::Result<(Value, Value)>>) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    for member in members {
        let (name, value) = member?;
        table.raw_set(name, value)?;
    }
    Ok(Value::Table(table))
}

/// The answer that a script's value is.
///
/// # Errors
/// When it is too large, or nests too deep; says so.
pub(super) fn to_reply(value: &Value, dialect: Dialect) -> Result<Reply, &'static str> {
    reply_of(value, DEPTH_MAX, &mut SoFar { bytes: 0, dialect })
}

/// What was answered so far.
struct SoFar {
    bytes: usize,
    dialect: Dialect,
}

fn reply_of(value: &Value, depth: usize, said: &mut SoFar) -> Result<Reply, &'static str> {
    let length = if let Value::String(text) = value { text.as_bytes().len() } else { 0 };
    said.bytes += 32 + length;
    if said.bytes > SCRIPT_MEMORY_MAX {
        return Err("the script's answer is too large");
    }
    Ok(match value {
        Value::String(text) => Reply::bulk(text.as_bytes()),
        Value::Number(n) => Reply::Int(*n as i64),
        Value::Integer(n) => Reply::Int(*n),
        Value::Boolean(is_so) if said.dialect == Dialect::Three => Reply::Bool(*is_so),
        Value::Boolean(true) => Reply::Int(1),
        Value::Table(_) if depth == 0 => return Err("reached lua stack limit"),
        Value::Table(table) => return reply_of_table(table, depth - 1, said),
        _ => Reply::Null,
    })
}

fn reply_of_table(table: &Table, depth: usize, said: &mut SoFar) -> Result<Reply, &'static str> {
    let text = |name: &str| match table.raw_get::<Value>(name) {
        Ok(Value::String(text)) => Some(text.as_bytes().to_vec()),
        _ => None,
    };
    if let Some(error) = text("err") {
        return Ok(Reply::error_of(&error));
    }
    if let Some(status) = text("ok") {
        return Ok(Reply::status_of(&status));
    }
    match table.raw_get::<Value>("double") {
        Ok(Value::Number(n)) => return Ok(Reply::Double(n)),
        Ok(Value::Integer(n)) => return Ok(Reply::Double(n as f64)),
        _ => {}
    }
    let inner = |name: &str| table.raw_get::<Table>(name).ok();
    if let Some(map) = inner("map") {
        let pairs = map.pairs::<Value, Value>().flatten();
        let pairs = pairs.map(|(name, value)| Ok((reply_of(&name, depth, said)?, reply_of(&value, depth, said)?)));
        return pairs.collect::<Result<_, _>>().map(Reply::Map);
    }
    if let Some(set) = inner("set") {
        let names = set.pairs::<Value, Value>().flatten();
        return names.map(|(name, _)| reply_of(&name, depth, said)).collect::<Result<_, _>>().map(Reply::Set);
    }
    let mut items = Vec::new();
    for at in 1_i64.. {
        match table.raw_get::<Value>(at) {
            Ok(Value::Nil) | Err(_) => break,
            Ok(item) => items.push(reply_of(&item, depth, said)?),
        }
    }
    Ok(Reply::Array(items))
}
