//! Config: `CONFIG`, as far as clients look at it: what Redis would say that does what this server does.

use bytes::Bytes;

use super::conversation::Conversation;
use super::events;
use super::transaction::arity_below;
use crate::keyspace::DATABASES;
use crate::keyspace::{EVENTS, Reply, matches};
use crate::limits;

impl Conversation {
    pub(super) async fn config(&mut self, args: &[Bytes]) -> Reply {
        // what was set through another node counts here, too
        if let Err(error) = self.door.keyspace.freshen().await {
            return self.refused(&error);
        }
        match (args[0].to_ascii_lowercase().as_slice(), &args[1..]) {
            (b"get", patterns @ [_, ..]) => self.config_get(patterns),
            (b"set", pairs @ [_, _, ..]) if pairs.len().is_multiple_of(2) => self.config_set(pairs).await,
            (b"resetstat", []) => Reply::OK,
            (b"rewrite", []) => Reply::err("ERR The server is running without a config file"),
            (b"get" | b"set" | b"resetstat" | b"rewrite", _) => arity_below("config", &args[0]),
            _ => super::commands::unknown_below("CONFIG", &args[0]),
        }
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let held = self.door.keyspace.setting(EVENTS).map(|held| String::from_utf8_lossy(&held).into_owned());
        let yes = |name| (name, "yes".to_owned());
        let no = |name| (name, "no".to_owned());
        vec![
            yes("appendonly"),
            ("appendfsync", "always".into()),
            ("bind", self.card.local.ip().to_string()),
            no("cluster-enabled"),
            ("databases", DATABASES.to_string()),
            ("lua-time-limit", "5000".into()),
            ("maxclients", limits::CONNECTIONS_MAX.to_string()),
            ("maxmemory", self.door.keyspace.memory_max().to_string()),
            ("maxmemory-policy", "noeviction".into()),
            (EVENTS, held.unwrap_or_default()),
            ("port", self.card.local.port().to_string()),
            ("proto-max-bulk-len", limits::REDIS_VALUE_MAX.to_string()),
            yes("replica-read-only"),
            ("save", String::new()),
            yes("slave-read-only"),
            ("tcp-keepalive", limits::REDIS_KEEP_ALIVE.as_secs().to_string()),
            ("timeout", "0".into()),
        ]
    }

    fn config_get(&self, patterns: &[Bytes]) -> Reply {
        let wanted =
            |name: &str| patterns.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), name.as_bytes()));
        let fitting = self.parameters().into_iter().filter(|(name, _)| wanted(name));
        Reply::Map(fitting.map(|(name, value)| (Reply::bulk(name), Reply::bulk(value))).collect())
    }

    /// Sets which keyspace events are told, in the whole cluster. An app may add to them: others count on theirs.
    async fn config_set(&mut self, pairs: &[Bytes]) -> Reply {
        let mut wanted = None;
        for pair in pairs.chunks(2) {
            let name = String::from_utf8_lossy(&pair[0]).into_owned();
            if name.eq_ignore_ascii_case(EVENTS) {
                wanted = Some(String::from_utf8_lossy(&pair[1]).into_owned());
            } else if self.parameters().iter().any(|(known, _)| name.eq_ignore_ascii_case(known)) {
                return failed(&name, "can't set immutable config");
            } else {
                let text = format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
                return Reply::error(text);
            }
        }
        let Some(mut letters) = wanted else { return Reply::OK };
        let held = self.door.keyspace.setting(EVENTS).map(|held| String::from_utf8_lossy(&held).into_owned());
        if self.scope.app.is_some() {
            letters.push_str(held.as_deref().unwrap_or_default());
        }
        let Some(letters) = events::normal(&letters) else {
            return failed(EVENTS, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        };
        if held.as_deref() == Some(&letters) {
            return Reply::OK;
        }
        match self.door.keyspace.set_events(&letters).await {
            Ok(()) => Reply::OK,
            Err(error) => self.refused(&error),
        }
    }
}

fn failed(name: &str, why: &str) -> Reply {
    Reply::error(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"))
}
