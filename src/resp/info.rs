//! Info: what `INFO` tells: what clients look for before they begin, and what monitors show.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::VERSION;
use super::conversation::Conversation;
use crate::keyspace::{Counted, Reply};

/// All sections, in the order of Redis.
const SECTIONS: &[&str] = &[
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "modules",
    "errorstats",
    "cluster",
    "keyspace",
];

impl Conversation {
    pub(super) async fn info(&self, args: &[Bytes]) -> Reply {
        let names: Vec<String> = args.iter().map(|name| String::from_utf8_lossy(name).to_lowercase()).collect();
        let is_all =
            names.is_empty() || names.iter().any(|name| matches!(name.as_str(), "all" | "everything" | "default"));
        let mut text = String::new();
        for section in SECTIONS.iter().filter(|section| is_all || names.iter().any(|name| name == *section)) {
            if !text.is_empty() {
                text += "\r\n";
            }
            self.section(section, &mut text).await;
        }
        Reply::Verbatim(text)
    }

    async fn section(&self, section: &str, text: &mut String) {
        let title: String = section[..1].to_uppercase() + &section[1..];
        let lines = match section {
            "server" => self.server(),
            "clients" => vec![
                ("connected_clients", self.door.clients.count().to_string()),
                ("maxclients", crate::limits::CONNECTIONS_MAX.to_string()),
                ("blocked_clients", "0".into()),
            ],
            "memory" => self.memory(),
            "persistence" => {
                ["loading", "rdb_changes_since_last_save", "rdb_bgsave_in_progress", "aof_rewrite_in_progress"]
                    .map(|name| (name, "0".to_owned()))
                    .into_iter()
                    .chain([("aof_enabled", "1".to_owned())])
                    .collect()
            }
            "stats" => self.stats(),
            "replication" => vec![
                ("role", "master".into()),
                ("connected_slaves", "0".into()),
                ("master_failover_state", "no-failover".into()),
                ("master_replid", self.door.run_id.clone()),
                ("master_repl_offset", "0".into()),
            ],
            "cluster" => vec![("cluster_enabled", "0".into())],
            _ => Vec::new(),
        };
        // a String takes everything
        let _ = write!(text, "# {title}\r\n");
        if section == "keyspace" {
            for (db, keys) in self.keys().await {
                let _ = write!(text, "{db}:{keys}\r\n");
            }
        }
        for (name, value) in lines {
            let _ = write!(text, "{name}:{value}\r\n");
        }
    }

    fn server(&self) -> Vec<(&'static str, String)> {
        let up = self.door.begun.elapsed().as_secs();
        vec![
            ("redis_version", VERSION.into()),
            ("redis_git_sha1", "00000000".into()),
            ("redis_git_dirty", "0".into()),
            ("redis_mode", "standalone".into()),
            ("os", std::env::consts::OS.into()),
            ("arch_bits", usize::BITS.to_string()),
            ("process_id", std::process::id().to_string()),
            ("run_id", self.door.run_id.clone()),
            ("tcp_port", self.card.local.port().to_string()),
            ("uptime_in_seconds", up.to_string()),
            ("uptime_in_days", (up / 86_400).to_string()),
            ("sojourn_version", env!("CARGO_PKG_VERSION").into()),
        ]
    }

    /// What was counted on this node. What is not counted is left out: how many keys were found, and how many have ended.
    fn stats(&self) -> Vec<(&'static str, String)> {
        let (app, hub, counts) = (self.scope.app.as_ref(), self.door.keyspace.hub(), self.door.clients.counts());
        vec![
            ("total_connections_received", self.door.clients.total.load(Ordering::Relaxed).to_string()),
            ("total_commands_processed", counts.commands.to_string()),
            ("instantaneous_ops_per_sec", self.door.pace.now(counts.commands).to_string()),
            ("total_error_replies", counts.errors.to_string()),
            ("pubsub_channels", hub.channels(app).len().to_string()),
            ("pubsub_patterns", hub.patterns(app).to_string()),
            ("evicted_keys", "0".into()),
        ]
    }

    fn memory(&self) -> Vec<(&'static str, String)> {
        let (_, used) = self.door.keyspace.size();
        vec![
            ("used_memory", used.to_string()),
            ("used_memory_human", format!("{:.2}M", used as f64 / 1_048_576.0)),
            ("maxmemory", self.door.keyspace.memory_max().to_string()),
            ("maxmemory_policy", "noeviction".into()),
        ]
    }

    /// How many keys this client sees in each database here, and how many of them end.
    async fn keys(&self) -> Vec<(String, String)> {
        let Ok(counted) = self.door.keyspace.counted(&self.scope).await else { return Vec::new() };
        let shown = |(db, counted): (usize, &Counted)| {
            let line = format!("keys={},expires={},avg_ttl=0", counted.keys, counted.ending);
            (counted.keys > 0).then(|| (format!("db{db}"), line))
        };
        counted.iter().enumerate().filter_map(shown).collect()
    }
}
