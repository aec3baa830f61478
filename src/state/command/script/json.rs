//! JSON: what scripts know as `cjson`.

use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::decode::{self, Failed};
use super::work::Work;
use super::{raised, spent};
use crate::limits::{REDIS_VALUE_MAX, SCRIPT_MEMORY_MAX};

/// How deep what is encoded may nest.
const DEPTH_MAX: usize = 128;
/// So many more places than members make a list too sparse to be one, from this one on.
const SPARSE_RATIO: usize = 2;
const SPARSE_FROM: usize = 10;

/// The library.
pub(super) fn library(lua: &Lua, work: &Rc<Work>) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let watched = Rc::clone(work);
    let encode = move |lua: &Lua, values: MultiValue| {
        let value = only(lua, values, "encode")?;
        let mut out = Vec::new();
        match encode(&value, DEPTH_MAX, (&mut out, &watched)) {
            Ok(()) => lua.create_string(out),
            Err(_) if watched.is_spent() => Err(spent(super::work::Spent)),
            Err(why) => Err(raised(lua, &why)),
        }
    };
    library.raw_set("encode", lua.create_function(encode)?)?;
    let watched = Rc::clone(work);
    let decode = move |lua: &Lua, values: MultiValue| decode(lua, values, &watched);
    library.raw_set("decode", lua.create_function(decode)?)?;
    library.raw_set("null", Value::NULL)?;
    library.raw_set("_NAME", "cjson")?;
    Ok(library)
}

fn decode(lua: &Lua, values: MultiValue, work: &Work) -> mlua::Result<Value> {
    let value = only(lua, values, "decode")?;
    let Some(text) = lua.coerce_string(value.clone())? else {
        let name = if value.is_light_userdata() { "userdata" } else { value.type_name() };
        return Err(raised(lua, &format!("bad argument #1 to 'decode' (string expected, got {name})")));
    };
    let text = text.as_bytes();
    if text.len() > REDIS_VALUE_MAX {
        return Err(raised(lua, "the text is too long"));
    }
    work.go_on(text.len() as u64 / 4).map_err(spent)?;
    decode::decode(lua, &text).map_err(|failed| match failed {
        Failed::Text(why) => raised(lua, &why),
        Failed::Machine(error) => error,
    })
}

/// The one argument that a function has.
fn only(lua: &Lua, mut values: MultiValue, function: &str) -> mlua::Result<Value> {
    match (values.pop_front(), values.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err(raised(lua, &format!("bad argument #1 to '{function}' (expected 1 argument)"))),
    }
}

type Out<'o> = (&'o mut Vec<u8>, &'o Work);

fn encode(value: &Value, depth: usize, (out, work): Out<'_>) -> Result<(), String> {
    work.spend(1).map_err(|_| String::new())?;
    if out.len() > SCRIPT_MEMORY_MAX {
        return Err("not enough memory".into());
    }
    match value {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::LightUserData(pointer) if pointer.0.is_null() => out.extend_from_slice(b"null"),
        Value::Boolean(is_so) => out.extend_from_slice(if *is_so { b"true" } else { b"false" }),
        Value::Number(n) if !n.is_finite() => return Err("Cannot serialise number: must not be NaN or Inf".into()),
        Value::Number(n) => out.extend_from_slice(number(*n).as_bytes()),
        Value::Integer(n) => out.extend_from_slice(number(*n as f64).as_bytes()),
        Value::String(text) => quoted(out, &text.as_bytes()),
        Value::Table(_) if depth == 0 => {
            return Err("Cannot serialise, excessive depth".into());
        }
        Value::Table(table) => match length(table)? {
            Some(length) => list(table, length, depth - 1, (out, work))?,
            None => object(table, depth - 1, (out, work))?,
        },
        other => return Err(format!("Cannot serialise {}: type not supported", other.type_name())),
    }
    Ok(())
}

/// How long the list is that a table is; `None` when it is none.
fn length(table: &Table) -> Result<Option<usize>, String> {
    let (mut longest, mut count) = (0_usize, 0);
    for pair in table.pairs::<Value, Value>() {
        // a number that is whole comes as an integer
        let Ok((Value::Integer(at), _)) = pair else { return Ok(None) };
        let Some(at) = usize::try_from(at).ok().filter(|at| *at > 0) else { return Ok(None) };
        (longest, count) = (longest.max(at), count + 1);
    }
    if longest > count * SPARSE_RATIO && longest > SPARSE_FROM {
        return Err("Cannot serialise table: excessively sparse array".into());
    }
    Ok((count > 0).then_some(longest))
}

fn list(table: &Table, length: usize, depth: usize, (out, work): Out<'_>) -> Result<(), String> {
    out.push(b'[');
    for at in 1..=length {
        if at > 1 {
            out.push(b',');
        }
        let item = table.raw_get::<Value>(at).map_err(|e| e.to_string())?;
        encode(&item, depth, (out, work))?;
    }
    out.push(b']');
    Ok(())
}

fn object(table: &Table, depth: usize, (out, work): Out<'_>) -> Result<(), String> {
    out.push(b'{');
    for (at, pair) in table.pairs::<Value, Value>().enumerate() {
        let (name, member) = pair.map_err(|e| e.to_string())?;
        if at > 0 {
            out.push(b',');
        }
        match &name {
            Value::String(text) => quoted(out, &text.as_bytes()),
            Value::Number(n) => quoted(out, number(*n).as_bytes()),
            Value::Integer(n) => quoted(out, number(*n as f64).as_bytes()),
            _ => return Err("Cannot serialise table: table key must be a number or string".into()),
        }
        out.push(b':');
        encode(&member, depth, (out, work))?;
    }
    out.push(b'}');
    Ok(())
}

/// 14 digits, as Lua shows numbers.
fn number(n: f64) -> String {
    if n.fract() == 0.0 && n.abs() < 1e14 {
        return format!("{n:.0}");
    }
    let text = format!("{n:.13e}");
    let rounded: f64 = text.parse().unwrap_or(n);
    let exponent = text.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    if (-4..14).contains(&exponent) {
        return format!("{rounded}");
    }
    let digits = text.split_once('e').map_or("0", |(digits, _)| digits);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' | b'/' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}
