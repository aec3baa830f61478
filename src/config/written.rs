//! Written: a value as it stands in a file or an answer.

use figment::value::Value;

/// A value as TOML writes it. TOML's basic strings escape what JSON's do, and DEL besides.
pub(super) fn toml(value: &Value) -> String {
    match value {
        Value::Dict(_, members) => {
            let members = members.iter().map(|(key, value)| format!("{key} = {}", toml(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(_, parts) => format!("[{}]", parts.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => json(other).to_string().replace('\u{7f}', "\\u007f"),
    }
}

/// The value for programs.
pub(super) fn json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}
