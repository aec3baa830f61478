//! Commands: runs what concerns the connection or the server.

use std::sync::Arc;

use bytes::Bytes;

use super::below::strange;
use super::clients::Card;
use super::conversation::{Conversation, Who, name_of};
use super::transaction::no_permission;
use super::words::{self, WORDS, What, Word};
use super::write::Proto;
use crate::keyspace::hub::By;
use crate::keyspace::{self, Access, Call, Keys, Reply, parse_int, wrong};
use crate::limits::REDIS_NAME_MAX;

impl Conversation {
    /// Runs a command that waited for `EXEC`.
    pub(super) async fn here_by_name(&mut self, call: &Call, replies: &mut Vec<Reply>) {
        match call.0.first().and_then(|name| words::find(name)) {
            Some(word) => self.here(word, call, replies).await,
            None => replies.push(keyspace::unknown(&call.0)),
        }
    }

    /// Runs a command; most are answered once, some once for every word.
    pub(super) async fn here(&mut self, word: &'static Word, call: &Call, replies: &mut Vec<Reply>) {
        let args = &call.0[1..];
        // what shows this client shows that it asks
        if matches!(word.what, What::Client | What::Info) {
            self.show(name_of(call));
        }
        match word.what {
            What::Subscribe => self.subscribe(By::Channel, args, replies),
            What::Psubscribe => self.subscribe(By::Pattern, args, replies),
            What::Unsubscribe => self.unsubscribe(By::Channel, args, replies),
            What::Punsubscribe => self.unsubscribe(By::Pattern, args, replies),
            _ => {
                let reply = self.answered(word, call).await;
                replies.push(reply);
            }
        }
        match word.what {
            What::Ping | What::Echo => self.last = word.name,
            _ => self.show(name_of(call)),
        }
    }

    /// What is answered once.
    async fn answered(&mut self, word: &'static Word, call: &Call) -> Reply {
        let args = &call.0[1..];
        match word.what {
            // answered above, some of them once for every word
            What::Subscribe | What::Psubscribe | What::Unsubscribe | What::Punsubscribe => wrong::syntax(),
            What::Auth => self.auth(args).await,
            What::Hello => self.hello(args).await,
            What::Ping => self.ping(args),
            What::Echo => Reply::Bulk(args[0].clone()),
            What::Select => self.select(call),
            What::Quit => {
                self.closes = true;
                Reply::OK
            }
            What::Reset => {
                self.begin_anew();
                Reply::Status("RESET".into())
            }
            What::Multi => self.multi(),
            What::Exec => self.exec().await,
            What::Discard => self.discard(),
            What::Watch => self.watch(args).await,
            What::Unwatch => {
                self.watched.clear();
                Reply::OK
            }
            What::Script => self.script(args).await,
            What::Info => self.info(args).await,
            What::Config => self.config(args).await,
            What::Client => self.client(args),
            What::Pubsub => self.pubsub(args),
            What::Command => command(args),
            What::Memory => self.memory_of(args),
            What::Acl => self.whoami(),
            What::Slowlog => slowlog(args),
            What::Latency => latency(args),
            What::Role => Reply::Array(vec![Reply::bulk("master"), Reply::Int(0), Reply::Array(Vec::new())]),
            What::LastSave => Reply::Int(self.door.keyspace.now() / 1_000),
            // whoever was answered knows that a majority has it, and of no replica beside
            What::Wait if parse_int(&args[0]).is_none() => wrong::integer(),
            What::Wait if parse_int(&args[1]).is_none_or(|timeout| timeout < 0) => {
                Reply::err("ERR timeout is not an integer or out of range")
            }
            What::Wait => Reply::Int(0),
            What::Cluster => Reply::err("ERR This instance has cluster support disabled"),
            What::Monitor => Reply::err("ERR MONITOR is not supported: it would show everybody's sessions"),
        }
    }

    fn ping(&self, args: &[Bytes]) -> Reply {
        let text = match args {
            [] => None,
            [text] => Some(text.clone()),
            _ => return wrong::arity("ping"),
        };
        if self.proto == Proto::Two && self.subscriber.is_some() {
            return Reply::Array(vec![Reply::bulk("pong"), Reply::Bulk(text.unwrap_or_default())]);
        }
        text.map_or(Reply::Status("PONG".into()), Reply::Bulk)
    }

    fn select(&mut self, call: &Call) -> Reply {
        match keyspace::selected(&call.0) {
            Some(Ok(db)) => {
                self.scope.db = db;
                Reply::OK
            }
            Some(Err(refused)) => refused,
            None => wrong::syntax(),
        }
    }

    fn client(&mut self, args: &[Bytes]) -> Reply {
        let below = args[0].to_ascii_lowercase();
        match (below.as_slice(), &args[1..]) {
            (b"id", []) => Reply::Int(i64::try_from(self.card.id).unwrap_or(i64::MAX)),
            (b"getname", []) => match self.card.seen().name {
                name if name.is_empty() => Reply::Null,
                name => Reply::bulk(name),
            },
            (b"setname", [name]) => match client_name(name) {
                Ok(name) => {
                    self.card.note(|seen| seen.name = name);
                    Reply::OK
                }
                Err(refused) => refused,
            },
            (b"info", []) => Reply::Verbatim(self.card.line() + "\n"),
            (b"list", filters) => self.list(filters),
            (b"kill", filters @ [_, ..]) => self.kill(filters),
            (b"no-evict" | b"no-touch", [switch]) => match switch.to_ascii_lowercase().as_slice() {
                b"on" | b"off" => Reply::OK,
                _ => wrong::syntax(),
            },
            (b"reply", [how]) if how.eq_ignore_ascii_case(b"on") => Reply::OK,
            (b"reply", [how]) if how.eq_ignore_ascii_case(b"off") || how.eq_ignore_ascii_case(b"skip") => {
                Reply::err("ERR CLIENT REPLY OFF and SKIP are not supported")
            }
            (b"reply", [_]) => wrong::syntax(),
            (b"getredir", []) => Reply::Int(-1),
            _ => strange("client", &args[0]),
        }
    }

    /// The connections that this client may know of: all, or those of its own app.
    fn mine(&self) -> Vec<Arc<Card>> {
        let mut all = self.door.clients.all();
        if let Some(app) = &self.scope.app {
            all.retain(|card| card.seen().user == app.name);
        }
        all
    }

    /// Whether there is a user of this name that this client may know of.
    fn is_user(&self, name: &str) -> bool {
        name == "default"
            || match &self.scope.app {
                Some(app) => app.name == name,
                None => self.door.identity.has_app(name),
            }
    }

    /// `CLIENT LIST [TYPE normal] [ID n …]`.
    fn list(&self, filters: &[Bytes]) -> Reply {
        let mut found = self.mine();
        match filters {
            [] => {}
            [word, kind] if word.eq_ignore_ascii_case(b"type") => match of_type(found, kind) {
                Ok(fitting) => found = fitting,
                Err(refused) => return refused,
            },
            [word, ids @ ..] if word.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
                let ids: Option<Vec<i64>> = ids.iter().map(|id| parse_int(id)).collect();
                let Some(ids) = ids else { return Reply::err("ERR Invalid client ID") };
                found.retain(|card| ids.contains(&i64::try_from(card.id).unwrap_or(i64::MAX)));
            }
            _ => return wrong::syntax(),
        }
        Reply::Verbatim(found.iter().map(|card| card.line() + "\n").collect())
    }

    /// `CLIENT KILL address`, or `CLIENT KILL ID n | ADDR a | LADDR a | TYPE t | USER name`.
    fn kill(&self, filters: &[Bytes]) -> Reply {
        let text = |word: &Bytes| String::from_utf8_lossy(word).into_owned();
        let mut found = self.mine();
        if let [address] = filters {
            let address = text(address);
            return match found.iter().find(|card| card.address.to_string() == address) {
                Some(card) => {
                    card.cut();
                    Reply::OK
                }
                None => Reply::err("ERR No such client"),
            };
        }
        // whoever says it is spared unless they say otherwise
        let mut skips_me = true;
        for pair in filters.chunks(2) {
            let [name, value] = pair else { return wrong::syntax() };
            let value = text(value);
            match name.to_ascii_lowercase().as_slice() {
                b"id" => match value.parse::<u64>() {
                    Ok(id @ 1..) => found.retain(|card| card.id == id),
                    _ => return Reply::err("ERR client-id should be greater than 0"),
                },
                b"addr" => found.retain(|card| card.address.to_string() == value),
                b"laddr" => found.retain(|card| card.local.to_string() == value),
                b"user" if !self.is_user(&value) => return Reply::error(format!("ERR No such user '{value}'")),
                b"user" => found.retain(|card| card.seen().user == value),
                b"type" => match of_type(found, pair[1].as_ref()) {
                    Ok(fitting) => found = fitting,
                    Err(refused) => return refused,
                },
                b"skipme" if value.eq_ignore_ascii_case("yes") => skips_me = true,
                b"skipme" if value.eq_ignore_ascii_case("no") => skips_me = false,
                _ => return wrong::syntax(),
            }
        }
        found.retain(|card| !skips_me || card.id != self.card.id);
        found.iter().for_each(|card| card.cut());
        Reply::count(found.len())
    }

    fn memory_of(&self, args: &[Bytes]) -> Reply {
        match (args[0].to_ascii_lowercase().as_slice(), &args[1..]) {
            (b"usage", [raw] | [raw, _, _]) if !self.may_name(raw) => no_permission(),
            (b"usage", [raw] | [raw, _, _]) => match self.door.keyspace.usage(&self.scope, raw) {
                Some(bytes) => Reply::Int(i64::try_from(bytes).unwrap_or(i64::MAX)),
                None => Reply::Null,
            },
            (b"usage", [_, _] | [_, _, _, ..]) => wrong::syntax(),
            (b"purge", []) => Reply::OK,
            (b"doctor", []) => Reply::Verbatim("Sam, I can't find any memory issue in your instance.\n".into()),
            _ => strange("memory", &args[0]),
        }
    }

    fn whoami(&self) -> Reply {
        // nothing else stands below it
        Reply::bulk(match (&self.who, &self.scope.app) {
            (Who::App { .. }, Some(app)) => &app.name,
            _ => "default",
        })
    }
}

/// Those among connections that are of a type.
fn of_type(mut all: Vec<Arc<Card>>, kind: &[u8]) -> Result<Vec<Arc<Card>>, Reply> {
    match kind.to_ascii_lowercase().as_slice() {
        b"normal" => all.retain(|card| !card.seen().listens()),
        b"pubsub" => all.retain(|card| card.seen().listens()),
        b"master" | b"replica" | b"slave" => all.clear(),
        _ => return Err(Reply::error(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(kind)))),
    }
    Ok(all)
}

/// A client's name, if it is one.
pub(super) fn client_name(name: &[u8]) -> Result<String, Reply> {
    if name.len() > REDIS_NAME_MAX {
        return Err(Reply::err("ERR Client names have a bound here, and this is longer"));
    }
    match std::str::from_utf8(name) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err(Reply::err("ERR Client names cannot contain spaces, newlines or special characters.")),
    }
}

fn slowlog(args: &[Bytes]) -> Reply {
    match (args[0].to_ascii_lowercase().as_slice(), &args[1..]) {
        (b"len", []) => Reply::Int(0),
        (b"get", [] | [_]) => Reply::Array(Vec::new()),
        (b"reset", []) => Reply::OK,
        _ => strange("slowlog", &args[0]),
    }
}

fn latency(args: &[Bytes]) -> Reply {
    match (args[0].to_ascii_lowercase().as_slice(), &args[1..]) {
        (b"latest", []) | (b"history", [_]) => Reply::Array(Vec::new()),
        (b"histogram", _) => Reply::Map(Vec::new()),
        (b"reset", _) => Reply::Int(0),
        _ => strange("latency", &args[0]),
    }
}

/// `COMMAND`: what commands there are, as far as clients ask.
fn command(args: &[Bytes]) -> Reply {
    let all = || Reply::Array(keyspace::names().map(spec_row).chain(WORDS.iter().map(word_row)).collect());
    let Some(below) = args.first() else { return all() };
    match (below.to_ascii_lowercase().as_slice(), &args[1..]) {
        (b"count", []) => Reply::count(keyspace::names().count() + WORDS.len()),
        (b"list", []) => {
            let names = keyspace::names().map(|spec| spec.name).chain(WORDS.iter().map(|word| word.name));
            Reply::Array(names.map(Reply::bulk).collect())
        }
        (b"info", []) => all(),
        (b"info", names) => Reply::Array(names.iter().map(|name| row(name)).collect()),
        (b"getkeys", [name, _, ..]) => match keyspace::find(name).map(|spec| (spec, spec.takes(args.len() - 1))) {
            Some((spec, true)) => match spec.keys_of(&args[1..]) {
                Some(keys) if !keys.is_empty() => {
                    Reply::Array(keys.iter().map(|key| Reply::Bulk((*key).clone())).collect())
                }
                _ => Reply::err("ERR The command has no key arguments"),
            },
            Some((_, false)) => Reply::err("ERR Invalid number of arguments specified for command"),
            None => Reply::err("ERR Invalid command specified"),
        },
        _ => wrong::syntax(),
    }
}

fn row(name: &[u8]) -> Reply {
    match (words::find(name), keyspace::find(name)) {
        (Some(word), _) => word_row(word),
        (None, Some(spec)) => spec_row(spec),
        (None, None) => Reply::Null,
    }
}

fn word_row(word: &Word) -> Reply {
    described(word.name, word.arity, "fast", (0, 0, 0))
}

fn spec_row(spec: &keyspace::Spec) -> Reply {
    let flag = if spec.access == Access::Read { "readonly" } else { "write" };
    let place = |at: usize| i64::try_from(at).unwrap_or(0);
    let keys = match spec.keys {
        Keys::None | Keys::Any | Keys::Counted(_) => (0, 0, 0),
        Keys::At(at) => (place(at), place(at), 1),
        Keys::Two => (1, 2, 1),
        Keys::All => (1, -1, 1),
        Keys::Pairs => (1, -1, 2),
    };
    described(spec.name, spec.arity, flag, keys)
}

fn described(name: &str, arity: i16, flag: &'static str, (first, last, step): (i64, i64, i64)) -> Reply {
    let none = || Reply::Array(Vec::new());
    Reply::Array(vec![
        Reply::bulk(name),
        Reply::Int(i64::from(arity)),
        Reply::Set(vec![Reply::Status(flag.into())]),
        Reply::Int(first),
        Reply::Int(last),
        Reply::Int(step),
        Reply::Set(Vec::new()),
        none(),
        none(),
        none(),
    ])
}
