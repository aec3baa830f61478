//! Problem: what is wrong with the settings, said so that it can be put right at once.
//!
//! All problems are reported together. Each names the setting, the value (unless it is a secret), where the value came
//! from and what is allowed, and ends in a hint.

use std::fmt;

use super::table::{self, SETTINGS, Setting};

/// One thing that is wrong: a sentence without its end, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    what: String,
    hint: String,
}

impl Problem {
    /// `what` is wrong; `hint` says what to do.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }

    /// A value that `setting` does not allow. An empty `hint` gives way to the default.
    pub fn value(setting: &Setting, shown: &str, source: &str, hint: String) -> Self {
        let shown = if setting.kind.is_secret() { "(hidden)" } else { shown };
        let hint = if hint.is_empty() { format!("the default is {}", setting.default) } else { hint };
        Self::new(format!("{} = {shown} (from {source}) is not {}", setting.key, setting.kind.allowed()), hint)
    }

    /// A key of the file that is no setting.
    pub fn unknown_key(key: &str, source: &str) -> Self {
        let by_leaf = || {
            let leaf = key.rsplit('.').next().unwrap_or(key);
            SETTINGS.iter().find(|s| s.key.rsplit('.').next() == Some(leaf)).map(|s| s.key)
        };
        let hint = match table::nearest(key, SETTINGS.iter().map(|s| s.key)).or_else(by_leaf) {
            Some(near) => format!("did you mean {near}? `sojourn config print` shows all settings"),
            None => "`sojourn config print` shows all settings".into(),
        };
        Self::new(format!("unknown setting {key} (from {source})"), hint)
    }

    /// A variable that sets nothing.
    pub fn unknown_variable(name: &str) -> Self {
        if name == "SOJOURN_ACCESS" {
            let what = "SOJOURN_ACCESS (from the environment) sets nothing";
            return Self::new(what, "rules stand in the file alone: [[access]]");
        }
        let known: Vec<String> = SETTINGS.iter().map(table::variable).collect();
        let hint = match table::nearest(name, known.iter().map(String::as_str)) {
            Some(near) if name == format!("{near}_FILE") => {
                format!("only secrets are read from files: set {near} instead")
            }
            Some(near) => format!("did you mean {near}? unset {name} otherwise"),
            None => format!("unset {name}; `sojourn config print` shows all settings"),
        };
        Self::new(format!("unknown setting {name} (from the environment)"), hint)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  hint: {}", self.what, self.hint)
    }
}

/// Everything that is wrong, at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
