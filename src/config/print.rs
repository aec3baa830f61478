//! Print: all settings as TOML that can be read back, each with its default and one line of meaning.
//!
//! Secrets are never shown: a secret that is set becomes a comment. So does a `public_url` that nobody set, because
//! written down it would stop following the listener. A program reads the same as JSON.

use figment::Figment;
use figment::value::Value;
use serde::Serialize;

use super::access;
use super::table::{Kind, SETTINGS, Setting};
use super::written::{json, toml};
use super::{Config, read};

/// One setting as it stands, for programs.
#[derive(Debug, Serialize)]
pub struct Printed {
    /// Its name with the section.
    pub key: &'static str,
    /// Its value; `null` for a secret that is set.
    pub value: Option<serde_json::Value>,
    /// The default.
    pub default: serde_json::Value,
    /// Where the value comes from.
    pub source: String,
    /// One line of meaning.
    pub meaning: &'static str,
}

/// All settings, as TOML.
pub(super) fn as_toml(merged: &Figment, config: &Config) -> String {
    let mut out = String::new();
    let mut section = "";
    for setting in SETTINGS {
        let (place, leaf) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if place != section {
            section = place;
            out += &format!("\n[{section}]\n");
        }
        let value = effective(merged, setting, config);
        // an empty list of rules, written down, would stand in the way of the first [[access]]
        let is_mute = follows(setting, config) || matches!(setting.kind, Kind::Rules) && config.access.is_empty();
        let mark = if is_mute { "# " } else { "" };
        out += &format!("# {} (default: {})\n", setting.meaning, setting.default);
        if is_hidden(setting, &value) {
            out += &format!("# {leaf} is set by {}, and hidden\n", read::source(merged, setting.key));
        } else {
            let shown = if let Kind::Rules = setting.kind { access::written(&value) } else { toml(&value) };
            out += &format!("{mark}{leaf} = {shown}\n");
        }
    }
    out
}

/// All settings, for programs.
pub(super) fn as_rows(merged: &Figment, config: &Config) -> Vec<Printed> {
    let row = |setting: &'static Setting| {
        let value = effective(merged, setting, config);
        Printed {
            key: setting.key,
            value: (!is_hidden(setting, &value)).then(|| json(&value)),
            default: json(&super::layers::default_value(setting)),
            source: read::source(merged, setting.key),
            meaning: setting.meaning,
        }
    };
    SETTINGS.iter().map(row).collect()
}

fn follows(setting: &Setting, config: &Config) -> bool {
    setting.key == "public_url" && config.follows_listen
}

fn effective(merged: &Figment, setting: &Setting, config: &Config) -> Value {
    if follows(setting, config) { config.public_url.to_string().into() } else { read::value(merged, setting) }
}

fn is_hidden(setting: &Setting, value: &Value) -> bool {
    setting.kind.is_secret() && toml(value) != setting.default
}
