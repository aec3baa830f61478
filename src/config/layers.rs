//! Layers: where values come from, one over the other: defaults, the file, the environment, flags.
//!
//! figment merges them and remembers which one a value came from. Every layer is checked against the table first, so
//! that a key that is spelt wrong is an error and never a setting that silently keeps its default.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::problem::{Problem, Problems};
use super::table::{self, Kind, SETTINGS, Setting};

/// What every variable begins with.
const PREFIX: &str = "SOJOURN_";

/// What the lowest layer is called.
pub(super) const DEFAULTS: &str = "the defaults";

/// Variables of ours that are no settings: the log filter, and the file to read.
const OTHER_VARIABLES: [&str; 2] = ["SOJOURN_LOG", "SOJOURN_CONFIG"];

/// The file with settings.
#[derive(Debug, Clone)]
pub enum File {
    /// Somebody named it, so it has to exist.
    Named(PathBuf),
    /// Read when it exists.
    IfPresent(PathBuf),
}

/// Where to look for values. Later ones win: file, environment, flags.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The file.
    pub file: File,
    /// Names and values of the environment; only `SOJOURN_*` matters.
    pub environment: Vec<(OsString, OsString)>,
    /// Key, value and name of each flag that was given.
    pub flags: Vec<(&'static str, String, &'static str)>,
}

impl Sources {
    /// This process's environment, and `sojourn.toml` in the working directory unless `file` names another.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let file = file.map_or_else(|| File::IfPresent("sojourn.toml".into()), File::Named);
        Self { file, environment: std::env::vars_os().collect(), flags: Vec::new() }
    }

    /// All layers, merged.
    ///
    /// # Errors
    /// Files that cannot be read, keys and variables that are no settings: all of them at once.
    pub(super) fn merge(&self) -> Result<Figment, Problems> {
        let mut problems = Vec::new();
        let mut merged = Figment::from(defaults());
        merged = merged.merge(from_file(&self.file, &mut problems));
        for layer in from_environment(&self.environment, &mut problems) {
            merged = merged.merge(layer);
        }
        for (key, value, flag) in &self.flags {
            let setting = table::find(key).expect("flags name settings");
            merged = merged.merge(Layer::one(flag, setting, from_text(setting, value)));
        }
        if problems.is_empty() { Ok(merged) } else { Err(Problems(problems)) }
    }
}

/// Values of one source. Its name is what error messages call it.
struct Layer {
    source: String,
    values: Vec<(&'static str, Value)>,
}

impl Layer {
    fn one(source: &str, setting: &'static Setting, value: Value) -> Self {
        Self { source: source.into(), values: vec![(setting.key, value)] }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let mut root = Dict::new();
        for (key, value) in &self.values {
            let Some((section, leaf)) = key.split_once('.') else {
                root.insert((*key).into(), value.clone());
                continue;
            };
            if let Value::Dict(_, dict) = root.entry(section.into()).or_insert_with(|| Dict::new().into()) {
                dict.insert(leaf.into(), value.clone());
            }
        }
        Ok(Profile::Default.collect(root))
    }
}

fn defaults() -> Layer {
    let values = SETTINGS.iter().map(|s| (s.key, default_value(s))).collect();
    Layer { source: DEFAULTS.into(), values }
}

/// The default of a setting, read.
pub(super) fn default_value(setting: &Setting) -> Value {
    let parsed = Toml::from_str::<Dict>(&format!("v = {}", setting.default));
    parsed.ok().and_then(|mut d| d.remove("v")).expect("defaults are TOML")
}

fn from_file(file: &File, problems: &mut Vec<Problem>) -> Layer {
    let (File::Named(path) | File::IfPresent(path)) = file;
    let source = path.display().to_string();
    let mut layer = Layer { source: source.clone(), values: Vec::new() };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && matches!(file, File::IfPresent(_)) => return layer,
        Err(e) => {
            problems.push(Problem::new(format!("cannot read {source}: {e}"), "--config names the file with settings"));
            return layer;
        }
    };
    match Toml::from_str::<Dict>(&text) {
        Ok(dict) => flatten("", dict, &mut layer, problems),
        Err(e) => {
            // the parser's own display quotes the line, which may hold a secret
            let line = e.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let what = format!("{source} is not TOML: line {line}: {}", e.message().replace('\n', ", "));
            problems.push(Problem::new(what, "texts stand in quotes: idle = \"30m\""));
        }
    }
    layer
}

/// Takes the settings out of nested tables; what is in no table of ours is a problem.
fn flatten(above: &str, dict: Dict, layer: &mut Layer, problems: &mut Vec<Problem>) {
    for (name, value) in dict {
        let path = if above.is_empty() { name } else { format!("{above}.{name}") };
        match (table::find(&path), value) {
            (Some(setting), value) => layer.values.push((setting.key, value)),
            (None, Value::Dict(_, inner)) if table::is_section(&path) => flatten(&path, inner, layer, problems),
            (None, _) if table::is_section(&path) => {
                let what = format!("{path} (from {}) is a section, not a setting", layer.source);
                problems.push(Problem::new(what, format!("write [{path}] and its settings below")));
            }
            (None, Value::Dict(_, inner)) => {
                let keys = inner.keys().map(|k| format!("{path}.{k}"));
                let unknown: Vec<String> = if inner.is_empty() { vec![path.clone()] } else { keys.collect() };
                problems.extend(unknown.iter().map(|k| Problem::unknown_key(k, &layer.source)));
            }
            (None, _) => problems.push(Problem::unknown_key(&path, &layer.source)),
        }
    }
}

fn from_environment(variables: &[(OsString, OsString)], problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for (name, value) in variables {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) || OTHER_VARIABLES.contains(&&*name) {
            continue;
        }
        let Some((setting, in_file)) = setting_of(&name) else {
            if !is_kubernetes_link(&name, &value.to_string_lossy()) {
                problems.push(Problem::unknown_variable(&name));
            }
            continue;
        };
        let text = match (value.to_str(), in_file) {
            (Some(text), InFile::No) => Ok(text.to_owned()),
            (Some(path), InFile::Yes) => read_secret(&name, Path::new(path)),
            (None, _) => Err(Problem::new(format!("{name} is not UTF-8"), "set it to plain text")),
        };
        if layers.iter().any(|l| l.values[0].0 == setting.key) {
            let plain = table::variable(setting);
            let what = format!("{plain} and {plain}_FILE are both set (from the environment)");
            problems.push(Problem::new(what, "unset one of them"));
        }
        match text {
            Ok(text) => layers.push(Layer::one(&name, setting, from_text(setting, &text))),
            Err(problem) => problems.push(problem),
        }
    }
    layers
}

/// Whether a variable holds the value or the name of a file with it.
#[derive(Clone, Copy)]
enum InFile {
    Yes,
    No,
}

fn setting_of(name: &str) -> Option<(&'static Setting, InFile)> {
    let settable = |s: &&Setting| !matches!(s.kind, Kind::Rules) && table::variable(s) == name;
    if let Some(setting) = SETTINGS.iter().find(settable) {
        return Some((setting, InFile::No));
    }
    let plain = name.strip_suffix("_FILE")?;
    let setting = SETTINGS.iter().find(|s| s.kind.is_secret() && table::variable(s) == plain)?;
    Some((setting, InFile::Yes))
}

fn read_secret(name: &str, path: &Path) -> Result<String, Problem> {
    let read = std::fs::read_to_string(path);
    let text = read.map_err(|e| {
        let what = format!("cannot read {} (from {name}): {e}", path.display());
        Problem::new(what, "the variable holds the path of a file that this user may read")
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Kubernetes sets variables for every service in the namespace; one that is called `sojourn` or `sojourn-web` would
/// otherwise keep the program from starting.
fn is_kubernetes_link(name: &str, value: &str) -> bool {
    let host = name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT");
    let link = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let detail = ["_TCP_PROTO", "_TCP_PORT", "_TCP_ADDR", "_UDP_PROTO", "_UDP_PORT", "_UDP_ADDR"];
    host || (name.contains("_PORT") && (link || detail.iter().any(|end| name.ends_with(end))))
}

/// What a flag or variable says, in the shape that the file would have; left as text where it does not fit.
fn from_text(setting: &Setting, text: &str) -> Value {
    if setting.kind.is_list() {
        let parts = text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty());
        return Value::from(parts.map(Value::from).collect::<Vec<_>>());
    }
    match (setting.kind, text) {
        (Kind::Number(..), _) => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
        (Kind::Flag, "true") => true.into(),
        (Kind::Flag, "false") => false.into(),
        _ => text.into(),
    }
}
