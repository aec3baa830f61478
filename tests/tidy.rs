//! Tidy: the rules of the house that a compiler does not know.
//!
//! Imports point down: each room may use the rooms below it and no other. A crate that belongs to one room stays in
//! that room. Files stay short, panics stay out, comments name no machine. The text of the source is read, nothing else.

use std::fs;
use std::path::{Path, PathBuf};

/// What each room may use of the others. `main` stands above all.
const FLOORS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["node", "config", "control", "trace", "limits", "clock", "random", "error"]),
    (
        "node",
        &[
            "web", "resp", "keyspace", "listen", "control", "identity", "raft", "state", "log", "config", "clock",
            "random", "limits", "error",
        ],
    ),
    ("web", &["identity", "listen", "config", "clock", "random", "limits", "error", "planted"]),
    ("resp", &["keyspace", "identity", "listen", "config", "clock", "random", "limits", "error"]),
    ("control", &["log", "clock", "random", "limits", "error"]),
    ("identity", &["state", "log", "config", "clock", "random", "limits", "error", "planted"]),
    ("keyspace", &["state", "log", "config", "clock", "limits", "error"]),
    ("raft", &["state", "log", "clock", "random", "limits", "error", "planted"]),
    ("log", &["state", "clock", "error"]),
    ("state", &["clock", "error", "limits", "planted"]),
    ("trace", &["error"]),
    ("config", &["limits", "error"]),
    ("listen", &["error"]),
    ("limits", &[]),
    ("random", &[]),
    ("error", &[]),
    ("clock", &[]),
    ("planted", &[]),
];

/// Crates that one room alone may name.
const OWNED: &[(&str, &[&str])] = &[
    ("warp", &["web"]),
    ("minijinja", &["web"]),
    ("hyper_util", &["web", "raft/peers"]),
    ("redis_protocol", &["resp"]),
    ("openraft", &["raft"]),
    ("redb", &["raft"]),
    ("moka", &["state"]),
    ("rusqlite", &["state"]),
    ("argon2", &["identity/passwords"]),
    ("bincode", &["state/codec"]),
    ("mlua", &["state/command/script"]),
    ("clap", &["cli"]),
    ("ureq", &["cli"]),
    ("figment", &["config"]),
    ("redis", &["cli"]),
];

struct Source {
    /// Path below `src`, without extension: `state/entries`.
    name: String,
    /// Lines that are no comment, before the first test module; with their numbers.
    code: Vec<(usize, String)>,
    lines: usize,
    text: String,
}

impl Source {
    fn room(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).expect("src can be read") {
            let path = item.expect("an entry").path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => found.push(read(&root, &path)),
                _ => {}
            }
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn read(root: &Path, path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).expect("sources are UTF-8");
    let below = path.strip_prefix(root).expect("it lies in src").with_extension("");
    let name = below.to_str().expect("names are UTF-8").trim_end_matches("/mod").to_owned();
    let is_test = name.split('/').any(|part| part == "tests");
    let before_tests = text.lines().take_while(|line| !is_test && !line.trim_start().starts_with("#[cfg(test)]"));
    let code = before_tests.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let code = code.map(|(at, line)| (at + 1, line.to_owned())).collect();
    Source { name, code, lines: text.lines().count(), text }
}

/// The rooms that a line names by `crate::room`, alone or in braces.
fn rooms_named(line: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                let mut word = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if depth == 0 && start && (c.is_alphanumeric() || c == '_') => word.push(c),
                        _ if !word.is_empty() => {
                            rooms.push(std::mem::take(&mut word));
                            start = false;
                        }
                        _ => {}
                    }
                    if c == ',' && !word.is_empty() {
                        rooms.push(std::mem::take(&mut word));
                    }
                }
                if !word.is_empty() {
                    rooms.push(word);
                }
            }
            None => rooms.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()),
        }
    }
    rooms
}

#[test]
fn imports_point_down() {
    let known: Vec<&str> = FLOORS.iter().map(|(room, _)| *room).collect();
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| source.name != "lib") {
        let Some((_, allowed)) = FLOORS.iter().find(|(room, _)| *room == source.room()) else {
            breaches.push(format!("{}: a room that stands on no floor", source.name));
            continue;
        };
        for (at, line) in &source.code {
            for room in rooms_named(line) {
                let fine = room == source.room() || allowed.contains(&room.as_str()) || !known.contains(&room.as_str());
                if !fine {
                    breaches.push(format!("src/{}.rs:{at}: {} may not use {room}", source.name, source.room()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn braces_and_paths_are_both_seen() {
    assert_eq!(rooms_named("use crate::state::{Op, Key};"), ["state"]);
    assert_eq!(rooms_named("use crate::{limits, random, state::{Op}};"), ["limits", "random", "state"]);
    assert_eq!(rooms_named("let x = crate::raft::f(crate::clock::now());"), ["raft", "clock"]);
}

#[test]
fn a_crate_stays_in_its_room() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (at, line) in &source.code {
            for (name, homes) in OWNED {
                let named = line.contains(&format!("{name}::")) || line.trim_end() == format!("use {name};");
                let whole = !line.contains(&format!("_{name}::")) && !line.contains(&format!("::{name}::"));
                if named && whole && !homes.iter().any(|home| source.name.starts_with(home)) {
                    breaches.push(format!("src/{}.rs:{at}: {name} belongs to {}", source.name, homes.join(", ")));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn nothing_unwraps() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (at, line) in &source.code {
            if [".unwrap()", "todo!(", "unimplemented!(", "dbg!("].iter().any(|bad| line.contains(bad)) {
                breaches.push(format!("src/{}.rs:{at}: {}", source.name, line.trim()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut breaches = Vec::new();
    for source in sources() {
        if source.lines > 450 {
            breaches.push(format!("src/{}.rs has {} lines", source.name, source.lines));
        }
        if !source.text.starts_with("//!") {
            breaches.push(format!("src/{}.rs does not say what it is", source.name));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn functions_end_before_the_reader_does() {
    let mut breaches = Vec::new();
    for source in sources() {
        let mut open: Option<(usize, usize)> = None;
        for (at, line) in &source.code {
            let indent = line.len() - line.trim_start().len();
            let begins = ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(super) fn ", "pub(super) async fn "];
            if begins.iter().any(|begin| line.trim_start().starts_with(begin)) {
                open = Some((*at, indent));
            }
            if let Some((start, depth)) = open
                && indent == depth
                && line.trim() == "}"
            {
                if at - start > 70 {
                    breaches.push(format!("src/{}.rs:{start}: {} lines", source.name, at - start));
                }
                open = None;
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_words_are_the_fields() {
    let mut breaches = Vec::new();
    for source in sources() {
        let last = source.name.rsplit('/').next().unwrap_or_default();
        if ["util", "utils", "helpers", "helper", "manager", "handler", "handlers", "service", "common", "misc"]
            .contains(&last)
        {
            breaches.push(format!("src/{}.rs", source.name));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
