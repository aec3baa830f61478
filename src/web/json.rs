//! Json: bodies of strangers, read strictly.
//!
//! serde_json keeps the last of two equal keys; another reader on the way may keep the first. So an object with a
//! doubled key is refused at every depth, and depth itself has a bound. What comes out is a plain `Value`.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::form::shown;
use crate::error::{Error, Result};

/// How deep objects and arrays may lie in each other.
const DEPTH_MAX: usize = 32;

/// An object.
///
/// # Errors
/// `Malformed`, with a sentence, when the bytes are anything else.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Error::Malformed("The body is not a JSON object.".to_owned())),
        Err(error) if error.is_data() => Err(Error::Malformed(sentence(&error))),
        Err(error) => Err(Error::Malformed(format!("The body is not JSON: {}.", place(&error)))),
    }
}

/// What a `Strict` visitor complained about: its own words, without serde's place behind them.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Where reading stopped. The error's own text could repeat parts of the body.
fn place(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Eof => "it ends too early".to_owned(),
        _ => format!("line {}, column {}", error.line(), error.column()),
    }
}

/// Builds a `Value`, minding keys and depth.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom("The body is nested too deeply."));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("A number in the body is out of range."))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut out = Vec::new();
        while let Some(value) = seq.next_element_seed(deeper)? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if out.contains_key(&key) {
                return Err(de::Error::custom(format!("The key `{}` comes more than once.", shown(&key))));
            }
            let value = map.next_value_seed(deeper)?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8]) -> String {
        match object(text) {
            Err(Error::Malformed(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_object_comes_out_as_it_went_in() {
        let text = br#"{"a":1,"b":-2,"c":1.5,"d":"\u00fc","e":null,"f":[true,{"g":{}}]}"#;
        assert_eq!(Value::Object(object(text).unwrap()), serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn doubled_keys_are_refused_at_every_depth() {
        assert_eq!(refused(br#"{"a":1,"\u0061":2}"#), "The key `a` comes more than once.");
        assert_eq!(refused(br#"{"a":[{"b":{"c":1,"c":1}}]}"#), "The key `c` comes more than once.");
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |n: usize| format!("{}0{}", "{\"a\":".repeat(n), "}".repeat(n));
        assert!(object(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(refused(nested(DEPTH_MAX + 1).as_bytes()), "The body is nested too deeply.");
        refused("[".repeat(60_000).as_bytes());
        refused("{\"a\":[".repeat(10_000).as_bytes());
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for bad in [&b""[..], b"{", b"{}x", b"{} {}", b"[]", b"1", b"null", b"\"a\"", b"{\"a\":1e999}", b"{a:1}"] {
            refused(bad);
        }
        for bad in
            [&b"{\"a\":\"\xff\"}"[..], b"{\"a\":\"\\ud800\"}", b"\xef\xbb\xbf{}", b"{\"a\":NaN}", b"{\"a\":\"\n\"}"]
        {
            refused(bad);
        }
    }

    #[test]
    fn a_complaint_repeats_nothing_of_the_body_but_a_short_key() {
        assert!(!refused(b"{\"password\":\"hunter2hunter2\"").contains("hunter2"));
        let long = format!("{{\"{0}\":1,\"{0}\":1}}", "k".repeat(5_000));
        assert!(refused(long.as_bytes()).len() < 100);
    }
}
