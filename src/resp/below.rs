//! Below: commands that stand below another, as `LIST` does below `CLIENT`: which there are, and how many words each has,
//! all told. One that is none, or whose words are too few or too many, is refused before it is run or waits for `EXEC`.

use bytes::Bytes;

use crate::keyspace::{Reply, wrong};

/// The whole name, and how many words; negative: at least so many.
type Below = (&'static str, i16);

const ACL: &[Below] = &[("acl|whoami", 2)];
const CLIENT: &[Below] = &[
    ("client|getname", 2),
    ("client|getredir", 2),
    ("client|id", 2),
    ("client|info", 2),
    ("client|kill", -3),
    ("client|list", -2),
    ("client|no-evict", 3),
    ("client|no-touch", 3),
    ("client|reply", 3),
    ("client|setname", 3),
];
// no docs: where they are an error, redis-cli explains commands by itself
const COMMAND: &[Below] = &[("command|count", 2), ("command|getkeys", -4), ("command|info", -2), ("command|list", -2)];
const CONFIG: &[Below] = &[("config|get", -3), ("config|resetstat", 2), ("config|rewrite", 2), ("config|set", -4)];
const LATENCY: &[Below] =
    &[("latency|histogram", -2), ("latency|history", 3), ("latency|latest", 2), ("latency|reset", -2)];
const MEMORY: &[Below] = &[("memory|doctor", 2), ("memory|purge", 2), ("memory|usage", -3)];
const OBJECT: &[Below] = &[("object|encoding", 3), ("object|freq", 3), ("object|idletime", 3), ("object|refcount", 3)];
const PUBSUB: &[Below] = &[
    ("pubsub|channels", -2),
    ("pubsub|numpat", 2),
    ("pubsub|numsub", -2),
    ("pubsub|shardchannels", -2),
    ("pubsub|shardnumsub", -2),
];
const SCRIPT: &[Below] =
    &[("script|debug", 3), ("script|exists", -3), ("script|flush", -2), ("script|kill", 2), ("script|load", 3)];
const SLOWLOG: &[Below] = &[("slowlog|get", -2), ("slowlog|len", 2), ("slowlog|reset", 2)];

fn below(command: &str) -> Option<&'static [Below]> {
    Some(match command {
        "acl" => ACL,
        "client" => CLIENT,
        "command" => COMMAND,
        "config" => CONFIG,
        "latency" => LATENCY,
        "memory" => MEMORY,
        "object" => OBJECT,
        "pubsub" => PUBSUB,
        "script" => SCRIPT,
        "slowlog" => SLOWLOG,
        _ => return None,
    })
}

/// What a call names below the command.
fn find(all: &'static [Below], command: &str, name: &[u8]) -> Option<&'static Below> {
    all.iter().find(|(known, _)| known.as_bytes()[command.len() + 1..].eq_ignore_ascii_case(name))
}

/// The whole name of what is called.
pub fn name(command: &'static str, call: &[Bytes]) -> &'static str {
    let found = below(command).zip(call.get(1)).and_then(|(all, name)| find(all, command, name));
    found.map_or(command, |(name, _)| name)
}

/// What a call is answered that names nothing below the command, or something with other words.
pub fn refusal(command: &str, call: &[Bytes]) -> Option<Reply> {
    let (all, name) = (below(command)?, call.get(1)?);
    let Some((known, arity)) = find(all, command, name) else { return Some(unknown(command, name)) };
    let most = usize::from(arity.unsigned_abs());
    let fits = if *arity < 0 { call.len() >= most } else { call.len() == most };
    (!fits).then(|| wrong::arity(known))
}

fn unknown(command: &str, name: &[u8]) -> Reply {
    if command == "acl" {
        return Reply::err("ERR only ACL WHOAMI is supported: users are made by `sojourn app add`");
    }
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
    Reply::error(format!("ERR unknown subcommand '{name}'. Try {} HELP.", command.to_uppercase()))
}

/// What words are answered that are not what a command below another takes.
pub fn strange(command: &str, name: &[u8]) -> Reply {
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
    let command = command.to_uppercase();
    Reply::error(format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try {command} HELP."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_below_a_command_has_so_many_words() {
        let asked = |line: &str| {
            let call: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
            refusal(&call[0].to_ascii_lowercase().escape_ascii().to_string(), &call)
        };
        for line in ["CLIENT LIST TYPE normal", "client id", "COMMAND", "INFO server", "Object Encoding k"] {
            assert_eq!(asked(line), None, "{line}");
        }
        let none = "ERR unknown subcommand 'NoSuch'. Try CLIENT HELP.";
        assert_eq!(asked("CLIENT NoSuch"), Some(Reply::err(none)));
        assert_eq!(asked("CLIENT ID x"), Some(wrong::arity("client|id")));
        assert_eq!(asked("CONFIG GET"), Some(wrong::arity("config|get")));
        let call = |line: &str| line.split(' ').map(str::to_owned).map(Bytes::from).collect::<Vec<_>>();
        assert_eq!(name("client", &call("CLIENT LIST")), "client|list");
        assert_eq!((name("client", &call("CLIENT x")), name("get", &call("GET k"))), ("client", "get"));
    }
}
