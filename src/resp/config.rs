//! Config: `CONFIG`, as far as clients look at it: what Redis would say that does what this server does.

use bytes::Bytes;

use super::conversation::Conversation;
use super::{below, events};
use crate::keyspace::DATABASES;
use crate::keyspace::{EVENTS, Reply, matches, wrong};
use crate::limits;

/// What Redis lets nobody set, not even to what it is.
const IMMUTABLE: &[&str] = &["cluster-enabled", "databases"];

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
            // a name without a value
            (b"set", _) => wrong::syntax(),
            _ => below::strange("config", &args[0]),
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
        // as it was asked for, unless by a pattern
        let shown = |name: &'static str| {
            let fits = |pattern: &&Bytes| matches(&pattern.to_ascii_lowercase(), name.as_bytes());
            let by = patterns.iter().find(fits)?;
            Some(if by.eq_ignore_ascii_case(name.as_bytes()) { Reply::Bulk(by.clone()) } else { Reply::bulk(name) })
        };
        let all = self.parameters().into_iter();
        Reply::Map(all.filter_map(|(name, value)| Some((shown(name)?, Reply::bulk(value)))).collect())
    }

    /// Sets which keyspace events are told, in the whole cluster. An app may add to them: others count on theirs.
    /// Everything else may be set to what it is.
    async fn config_set(&mut self, pairs: &[Bytes]) -> Reply {
        let wanted = match self.wanted_events(pairs) {
            Ok(wanted) => wanted,
            Err(refused) => return refused,
        };
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

    /// The events that are to be told, if pairs say so.
    fn wanted_events(&self, pairs: &[Bytes]) -> Result<Option<String>, Reply> {
        let text = |word: &Bytes| String::from_utf8_lossy(word).into_owned();
        let (known, mut wanted, mut said) = (self.parameters(), None, Vec::new());
        for pair in pairs.chunks(2) {
            let (name, value) = (text(&pair[0]), text(&pair[1]));
            let Some((own, held)) = known.iter().find(|(own, _)| name.eq_ignore_ascii_case(own)) else {
                let text = format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
                return Err(Reply::error(text));
            };
            if said.contains(own) {
                return Err(failed(&name, "duplicate parameter"));
            }
            said.push(*own);
            if *own == EVENTS {
                wanted = Some(value);
            } else if *held != value || IMMUTABLE.contains(own) {
                return Err(failed(&name, "can't set immutable config"));
            }
        }
        Ok(wanted)
    }
}

fn failed(name: &str, why: &str) -> Reply {
    Reply::error(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"))
}
