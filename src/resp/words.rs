//! Words: the commands that concern a connection or the server, and no key; by name, with how many words they have and
//! when they may be said. What runs them is in `commands`.

use crate::keyspace::Names;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// In lower case.
    pub name: &'static str,
    /// How many words it has, name and all; negative: at least so many.
    pub arity: i16,
    pub what: What,
    /// When it may be said besides.
    pub when: When,
}

/// When a command may be said besides by somebody known, outside of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Inside a `MULTI`, too, where it waits for its turn.
    Queued,
    /// Not inside a `MULTI`.
    Outside,
    /// Inside a `MULTI`, where it is run at once.
    AtOnce,
    /// By a RESP2 client that listens to channels.
    Listening,
    /// By that one, and by somebody unknown, and at once.
    Always,
    /// By somebody unknown.
    Unknown,
}

/// Which command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Acl,
    Auth,
    Client,
    Cluster,
    Command,
    Config,
    Discard,
    Echo,
    Exec,
    Hello,
    Info,
    LastSave,
    Latency,
    Memory,
    Monitor,
    Multi,
    Ping,
    Psubscribe,
    Pubsub,
    Punsubscribe,
    Quit,
    Reset,
    Role,
    Script,
    Select,
    Slowlog,
    Subscribe,
    Unsubscribe,
    Unwatch,
    Wait,
    Watch,
}

const fn word(name: &'static str, arity: i16, what: What, when: When) -> Word {
    Word { name, arity, what, when }
}

/// All of them, by name.
pub static WORDS: &[Word] = &[
    word("acl", -2, What::Acl, When::Queued),
    word("asking", 1, What::Cluster, When::Queued),
    word("auth", -2, What::Auth, When::Unknown),
    word("client", -2, What::Client, When::Queued),
    word("cluster", -2, What::Cluster, When::Queued),
    word("command", -1, What::Command, When::Queued),
    word("config", -2, What::Config, When::Queued),
    word("discard", 1, What::Discard, When::AtOnce),
    word("echo", 2, What::Echo, When::Queued),
    word("exec", 1, What::Exec, When::AtOnce),
    word("hello", -1, What::Hello, When::Unknown),
    word("info", -1, What::Info, When::Queued),
    word("lastsave", 1, What::LastSave, When::Queued),
    word("latency", -2, What::Latency, When::Queued),
    word("memory", -2, What::Memory, When::Queued),
    word("monitor", 1, What::Monitor, When::Outside),
    word("multi", 1, What::Multi, When::AtOnce),
    word("ping", -1, What::Ping, When::Listening),
    word("psubscribe", -2, What::Psubscribe, When::Listening),
    word("pubsub", -2, What::Pubsub, When::Queued),
    word("punsubscribe", -1, What::Punsubscribe, When::Listening),
    word("quit", -1, What::Quit, When::Always),
    word("readonly", 1, What::Cluster, When::Queued),
    word("readwrite", 1, What::Cluster, When::Queued),
    word("reset", 1, What::Reset, When::Always),
    word("role", 1, What::Role, When::Queued),
    word("script", -2, What::Script, When::Queued),
    word("select", 2, What::Select, When::Queued),
    word("slowlog", -2, What::Slowlog, When::Queued),
    word("subscribe", -2, What::Subscribe, When::Listening),
    word("unsubscribe", -1, What::Unsubscribe, When::Listening),
    word("unwatch", 1, What::Unwatch, When::Queued),
    word("wait", 3, What::Wait, When::Queued),
    word("watch", -2, What::Watch, When::AtOnce),
];

/// The command of this name, in any letter case.
pub fn find(name: &[u8]) -> Option<&'static Word> {
    static NAMES: Names<Word> = Names::of(WORDS, |word| word.name);
    NAMES.find(name)
}

impl Word {
    /// Whether so many words are right.
    pub fn takes(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= arity } else { words == arity }
    }

    /// Whether somebody unknown may say it.
    pub fn is_for_strangers(&self) -> bool {
        matches!(self.when, When::Unknown | When::Always)
    }

    /// Whether a RESP2 client may say it that listens to channels.
    pub fn is_for_listeners(&self) -> bool {
        matches!(self.when, When::Listening | When::Always)
    }

    /// Whether it is run at once inside a `MULTI`.
    pub fn is_at_once(&self) -> bool {
        matches!(self.when, When::AtOnce | When::Always)
    }

    /// Whether it may wait inside a `MULTI`.
    pub fn may_wait(&self) -> bool {
        self.when == When::Queued || self.what == What::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_are_found_in_any_letter_case() {
        assert!(WORDS.is_sorted_by(|a, b| a.name < b.name));
        for word in WORDS {
            assert_eq!(find(word.name.to_uppercase().as_bytes()), Some(word));
        }
        assert_eq!((find(b""), find(b"get"), find(&[b'x'; 300])), (None, None, None));
    }
}
