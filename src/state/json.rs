//! JSON: the one place that changes the inside of a session's value.
//!
//! RFC 7396 merge patch, then additions to integer members. Values that no app of ours wrote (not an object, not JSON)
//! are left alone: the answer is `None`, and nothing changes.

use serde_json::{Map, Value};

/// `value` with `merge` merged in and `add` added to its members; `None` when either is no JSON object.
pub fn edited(value: &[u8], merge: &str, add: &[(String, i64)]) -> Option<String> {
    let Value::Object(mut members) = serde_json::from_slice(value).ok()? else { return None };
    let Value::Object(patch) = serde_json::from_str(merge).ok()? else { return None };
    merged(&mut members, patch);
    for (name, by) in add {
        let count = members.get(name).and_then(Value::as_i64).unwrap_or(0);
        members.insert(name.clone(), Value::from(count.saturating_add(*by)));
    }
    Some(Value::Object(members).to_string())
}

fn merged(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (value, target.get_mut(&name)) {
            (Value::Null, _) => {
                target.remove(&name);
            }
            (Value::Object(inner), Some(Value::Object(held))) => merged(held, inner),
            (Value::Object(inner), _) => {
                let mut fresh = Map::new();
                merged(&mut fresh, inner);
                target.insert(name, Value::Object(fresh));
            }
            (value, _) => {
                target.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7396, appendix A, that concern objects.
    #[test]
    fn a_patch_merges_as_rfc_7396_says() {
        let cases = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ];
        for (value, patch, expected) in cases {
            assert_eq!(edited(value.as_bytes(), patch, &[]).as_deref(), Some(expected), "{value} + {patch}");
        }
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        assert_eq!(edited(b"[1]", "{}", &[]), None);
        assert_eq!(edited(b"{}", "[1]", &[]), None);
        assert_eq!(edited(b"\xff", "{}", &[]), None);
    }

    #[test]
    fn a_member_that_is_no_integer_counts_as_zero() {
        let add = [("beers".to_owned(), 1)];
        assert_eq!(edited(br#"{"beers":"x"}"#, "{}", &add).as_deref(), Some(r#"{"beers":1}"#));
        assert_eq!(edited(br#"{"beers":41}"#, "{}", &add).as_deref(), Some(r#"{"beers":42}"#));
    }
}
