//! Limits: every bound of the program, in one place.
//!
//! Whatever a stranger can make grow has its bound here, with the reason for the number, so that the whole list can be
//! read, documented and argued with. Bounds that operators may move are settings instead (`config`).

use std::time::Duration;

// Cluster

/// Most nodes that one join token lets in: a token that leaks must not be good for ever.
pub const JOIN_USES_MAX: u32 = 100;
/// Longest life of a join token, for the same reason.
pub const JOIN_TTL_MAX: Duration = Duration::from_secs(7 * 86_400);

// HTTP

/// Most bytes of a request body. The largest honest one is a session patch.
pub const BODY_MAX: usize = 64 << 10;
/// Most bytes of a request's head: enough for a browser's cookies on a shared domain, as most servers have it.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// How long a client may take to send a request's head.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take to be answered once it is read. Beyond it: 504, since what it began may be done yet.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an idle connection is kept; longer than common balancers' 60 s, so that they are the side that closes.
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(75);
/// How long a TLS handshake may take.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most connections of one listener; the next one waits.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Most of them from one address (IPv6: /64), so that one client cannot take all; the next one is closed. This machine
/// and trusted proxies are not counted.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = CONNECTIONS_MAX / 4;
/// Most requests at once on one HTTP/2 connection.
pub const STREAMS_MAX: u32 = 100;
/// How often a silent HTTP/2 peer is asked whether it lives, and how long it may take to say so.
pub const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a body may take to arrive. Beyond it: 408.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of a body that is too long is read and thrown away, so that the sender gets to see our answer.
pub const DISCARD_MAX: u64 = 1 << 20;
/// How long a node of several says that it goes before it closes its doors.
pub const GOING_NOTICE: Duration = Duration::from_secs(1);
/// How long requests under way may take to finish once the node stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

// people

/// Most bytes of a password, checked before it is hashed. Far above the 64 characters that NIST asks for.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Fewest characters that `users.password_min` may ask for (NIST SP 800-63B-4, 3.1.1.2).
pub const PASSWORD_MIN_FLOOR: u64 = 8;
/// Most bytes of an e-mail address (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Most code points of a first or last name.
pub const NAME_CHARS_MAX: usize = 100;
/// Most groups of one user: all of them travel in one header.
pub const GROUPS_MAX: usize = 64;
/// Most passwords that wait to be hashed; the next one is told to come back.
pub const HASH_QUEUE_MAX: usize = 64;
/// Longest time that a refused sign-in is drawn out to, so that accounts with an imported hash are not told from those
/// that do not exist. bcrypt of cost 13 fits.
pub const REFUSAL_MAX: Duration = Duration::from_secs(1);
/// How long a one-time link is good for.
pub const LINK_LIFETIME: Duration = Duration::from_secs(3_600);

// apps and tokens

/// Most bytes of an app's name.
pub const APP_NAME_MAX: usize = 64;
/// Most tokens of one account: enough for every machine that somebody has, and a loop that makes them ends.
pub const TOKENS_PER_USER_MAX: u32 = 50;
/// Longest life of a token that has an end.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(3_650 * 86_400);

// the Redis door

/// Fewest bytes of `redis.password`: fewer can be guessed even at one try a second.
pub const REDIS_PASSWORD_MIN: usize = 8;
/// Most bytes of one value at the Redis door; a hash, a set or a sorted set counts as one. Larger ones would hold up
/// the log for everybody.
pub const REDIS_VALUE_MAX: usize = 1 << 20;
/// Most bytes of a key.
pub const REDIS_KEY_MAX: usize = 64 << 10;
/// Most bytes of one argument. One that is longer than a value may be is read all the same, so that its sender is told
/// so; beyond this the connection is closed.
pub const REDIS_BULK_MAX: usize = 2 << 20;
/// Most arguments of one command: `clear()` of a session store deletes everything it found at once.
pub const REDIS_ARGS_MAX: usize = 100_000;
/// Most bytes of one command, and of commands that are queued in a `MULTI`.
pub const REDIS_REQUEST_MAX: usize = 8 << 20;
/// Most commands that are queued in a `MULTI`.
pub const REDIS_QUEUED_MAX: usize = 10_000;
/// Most arguments, and bytes of one, before `AUTH`: as Redis has it.
pub const REDIS_UNKNOWN_ARGS_MAX: usize = 10;
pub const REDIS_UNKNOWN_BULK_MAX: usize = 16 << 10;
/// Most commands, and bytes, before `AUTH`: every client proves itself within its first few.
pub const REDIS_UNKNOWN_COMMANDS_MAX: u32 = 100;
/// How long a connection may take until `AUTH`.
pub const REDIS_UNKNOWN_TIME: Duration = Duration::from_secs(10);
/// Most connections that have not proved themselves; the next one is closed.
pub const REDIS_UNKNOWN_MAX: usize = 1_000;
/// Most of these from one address (IPv6: /64), so that others find room.
pub const REDIS_UNKNOWN_PER_ADDRESS_MAX: usize = 250;
/// Most bytes of a line of an inline command: as Redis has it.
pub const REDIS_INLINE_MAX: usize = 64 << 10;
/// Most commands that are taken from a connection before they are answered.
pub const REDIS_TURN_MAX: usize = 1_024;
/// Commands that are run before their answers are sent, and bytes of answers, about.
pub const REDIS_STRETCH_MAX: usize = 128;
pub const REDIS_STRETCH_BYTES: usize = 8 << 20;
/// Most bytes of one answer; a listing that is longer is asked for in parts.
pub const REDIS_REPLY_MAX: usize = 64 << 20;
/// How long a client may take to read what it is sent.
pub const REDIS_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a silent client's machine is asked whether it is there: as Redis has it.
pub const REDIS_KEEP_ALIVE: Duration = Duration::from_secs(300);
/// Most commands, and bytes of them, that are decided as one.
pub const REDIS_LOT_MAX: usize = 128;
pub const REDIS_LOT_BYTES: usize = 512 << 10;
/// Most keys that a connection watches.
pub const REDIS_WATCHED_MAX: usize = 10_000;
/// Most channels that a connection listens to, and most patterns: each message is compared with each of those.
pub const REDIS_CHANNELS_MAX: usize = 10_000;
pub const REDIS_PATTERNS_MAX: usize = 100;
/// Most bytes of a channel's name or a pattern.
pub const REDIS_CHANNEL_BYTES_MAX: usize = 1 << 10;
/// Most messages, and bytes of them, that wait for a subscriber; one that is further behind is cut off, as Redis does.
pub const REDIS_HEARD_MAX: usize = 10_000;
pub const REDIS_HEARD_BYTES: usize = 8 << 20;
/// Most scripts that a node remembers, and bytes of them; the oldest is forgotten, and `EVAL` brings it again.
pub const REDIS_SCRIPTS_MAX: usize = 1_000;
pub const REDIS_SCRIPTS_BYTES: usize = 8 << 20;
/// Most scripts that `SCRIPT LOAD` has all nodes remember, and bytes of them.
pub const REDIS_LOADED_MAX: usize = 100;
pub const REDIS_LOADED_BYTES: usize = 256 << 10;
/// Most bytes of a client's name.
pub const REDIS_NAME_MAX: usize = 256;
/// Wrong passwords at the Redis door from one address (IPv6: /64) that cost nothing; from then on tries of that address
/// are taken one after another, each after this long, and no more than so many wait.
pub const REDIS_GUESSES_FREE: u32 = 10;
pub const REDIS_GUESS_WAIT: Duration = Duration::from_secs(1);
pub const REDIS_GUESSES_WAITING: u32 = 16;
/// Most bytes that a script's machine may use: a value, and some copies of it.
pub const SCRIPT_MEMORY_MAX: usize = 16 << 20;
/// Most steps of a script; one is about an instruction. They are some tens of milliseconds.
pub const SCRIPT_STEPS_MAX: u64 = 5_000_000;
/// How long a script, or commands that are one step, may take where they are decided: others wait meanwhile.
pub const STEP_TIME_MAX: Duration = Duration::from_millis(100);
/// Bytes, about, from which on nothing more is written in one step: they go into one record.
pub const STEP_WRITES_MAX: usize = 4 << 20;
/// Bytes of answers, about, from which on nothing more is run in one step: they go to another node in one piece.
pub const STEP_REPLIES_MAX: usize = 8 << 20;
/// Most keys that are flushed in one step.
pub const FLUSH_MAX: usize = 5_000;

// events

/// Most services that listen to events at once, on one node.
pub const EVENT_LISTENERS_MAX: usize = 1_000;
/// Events that are kept for whoever lost their connection: a few megabytes.
pub const EVENTS_KEPT: usize = 10_000;
/// Most events that a listener is handed at once.
pub const EVENTS_AT_ONCE: usize = 256;
/// How often a listener who hears nothing is shown that the connection lives.
pub const EVENT_BEAT: Duration = Duration::from_secs(15);
// services behind a proxy

/// What requests hold by which `sojourn doctor` looks through a proxy.
pub const DOCTOR_MARK: &str = "sojourn-doctor-";
/// Most of them of which a node remembers what arrived.
pub const SIGHTINGS_MAX: usize = 256;

// sessions

/// Most bytes of a session's value.
pub const SESSION_VALUE_MAX: usize = 64 << 10;
/// Most characters of the short name of a browser or client in a session's facts.
pub const AGENT_LABEL_CHARS_MAX: usize = 40;
/// Most bytes of a session's prefix.
pub const PREFIX_BYTES_MAX: usize = 64;
/// Longest lifetime of a session: what browsers allow a cookie (RFC 6265bis, 5.5).
pub const LIFETIME_MAX: Duration = Duration::from_secs(400 * 86_400);
/// Shortest secret, in bytes: as much as the HMAC-SHA256 that it keys can use.
pub const SECRET_BYTES_MIN: usize = 32;

// the control door

/// Most connections to the control socket at once; the next one waits.
pub const CONTROL_CONNECTIONS_MAX: usize = 16;
/// Most bytes of one request line on the control socket.
pub const CONTROL_LINE_MAX: usize = 2 << 20;
/// Most bytes of one answer line that the command line accepts.
pub const CONTROL_ANSWER_MAX: usize = 16 << 20;
/// How long a connection to the control socket may stay silent between requests.
pub const CONTROL_IDLE: Duration = Duration::from_secs(60);
/// How often the node tells a waiting command that it is still at work.
pub const CONTROL_BEAT: Duration = Duration::from_secs(5);
/// How long a command waits for a sign of life before it gives up.
pub const CONTROL_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Most users or sessions in one page of a listing.
pub const CONTROL_PAGE: u32 = 1_000;
/// Most bytes of rows that an import sends at once; six times as much fits into a line, which JSON may need.
pub const IMPORT_CHUNK_MAX: usize = 128 << 10;

// tries

/// So many tries, then waits that double.
#[derive(Debug, Clone, Copy)]
pub struct Tries {
    /// Tries that cost nothing.
    pub free: u32,
    /// The wait after the last free one, seconds; doubles with each further try.
    pub wait_secs: i64,
    /// The longest wait, seconds.
    pub wait_max_secs: i64,
    /// How long tries are remembered after the last one, seconds.
    pub memory_secs: i64,
}

/// Wrong passwords for one account, wherever they come from. Guessing a hundred takes more than three days (NIST
/// SP 800-63B-4, 3.2.2), and nobody is locked out for longer than an hour.
pub const ACCOUNT_TRIES: Tries = Tries { free: 10, wait_secs: 30, wait_max_secs: 3_600, memory_secs: 86_400 };
/// Wrong passwords from one address (IPv6: /64), for whichever accounts: an office behind one address has room, a list
/// of stolen passwords has not.
pub const ADDRESS_TRIES: Tries = Tries { free: 60, wait_secs: 10, wait_max_secs: 900, memory_secs: 900 };
/// Wrong credentials of apps from one address. They cannot be guessed: this keeps a service that was given the wrong ones
/// from filling the log.
pub const APP_TRIES: Tries = Tries { free: 30, wait_secs: 10, wait_max_secs: 300, memory_secs: 900 };
/// Sign-ups from one address.
pub const SIGN_UP_TRIES: Tries = Tries { free: 60, wait_secs: 60, wait_max_secs: 3_600, memory_secs: 3_600 };
/// Anonymous sessions begun from one address.
pub const ANONYMOUS_SESSIONS: Tries = Tries { free: 300, wait_secs: 1, wait_max_secs: 60, memory_secs: 3_600 };

/// Users that one log entry of an import carries.
pub const IMPORT_OP_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(secs: i64) -> String {
        match secs {
            h if h >= 3_600 => format!("{} h", h / 3_600),
            m if m > 60 => format!("{} min", m / 60),
            s => format!("{s} s"),
        }
    }

    #[test]
    fn the_readme_tells_people_the_throttles_that_are_here() {
        let readme = include_str!("../README.md");
        for (what, tries) in [
            ("passwords for one account", ACCOUNT_TRIES),
            ("passwords from one address", ADDRESS_TRIES),
            ("sign-ups from one address", SIGN_UP_TRIES),
            ("anonymous sessions from one address", ANONYMOUS_SESSIONS),
        ] {
            let Tries { free, wait_secs, wait_max_secs, memory_secs } = tries;
            let (wait, most) = (spell(wait_secs), spell(wait_max_secs).replace("60 s", "1 min"));
            let row = format!("| {what} | {free} | {wait}, doubling up to {most} | {} |", spell(memory_secs));
            assert!(readme.contains(&row), "{row}");
        }
    }

    #[test]
    fn the_readme_tells_people_the_bounds_that_are_here() {
        let readme = include_str!("../README.md");
        let common = include_str!("../data/common-passwords.txt").lines().count();
        let thousands = |n: usize| format!("{},{:03}", n / 1_000, n % 1_000);
        let (secs, kib) =
            (|time: Duration| format!("{} s", time.as_secs()), |bytes: usize| format!("{} KiB", bytes >> 10));
        for (what, most) in [
            ("password", format!("{PASSWORD_BYTES_MAX} bytes, at least {PASSWORD_MIN_FLOOR} characters")),
            ("passwords that wait to be hashed", format!("{HASH_QUEUE_MAX};")),
            ("request: head, body", format!("{}, {} |", kib(HEADER_BYTES_MAX), kib(BODY_MAX))),
            (
                "time for a head, a body, an answer",
                format!("{}, {}, {} |", secs(HEADER_READ_TIMEOUT), secs(BODY_TIMEOUT), secs(REQUEST_TIMEOUT)),
            ),
            ("idle connection, TLS handshake", format!("{}, {} |", secs(KEEP_ALIVE_IDLE), secs(TLS_HANDSHAKE_TIMEOUT))),
            ("connections", format!("{};", thousands(CONNECTIONS_MAX))),
            ("one-time links", format!("good once, for {} h |", LINK_LIFETIME.as_secs() / 3_600)),
            ("requests under way when it stops", format!("{} to finish;", secs(DRAIN_TIMEOUT))),
            ("value of one", format!("{} |", kib(SESSION_VALUE_MAX))),
        ] {
            let row = format!("| {what} | {most}");
            assert!(readme.contains(&row), "{row}");
        }
        assert!(readme.contains(&format!("none of {} common ones", thousands(common))), "{common}");
    }
}
