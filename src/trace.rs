//! Trace: where log lines go, and which.
//!
//! Lines for people when a person looks on (standard error is a terminal), JSON lines for machines otherwise; times are
//! RFC 3339 in UTC. `SOJOURN_LOG`, or else `RUST_LOG`, filters them; openraft speaks of its errors only unless it is named:
//! a peer that does not answer is news to it many times a second.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What is logged when nobody says otherwise.
const DEFAULT: &str = "info";

/// For whom lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Machine,
    Person,
    /// On a terminal that shows colours.
    PersonInColour,
}

/// Starts logging to standard error for the rest of the process.
///
/// # Errors
/// A filter that cannot be read, with a hint; or that logging was started before.
pub fn start() -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let reader = match (io::stderr().is_terminal(), variable("NO_COLOR")) {
        (false, _) => Reader::Machine,
        (true, Some(_)) => Reader::Person,
        (true, None) => Reader::PersonInColour,
    };
    let said = variable("SOJOURN_LOG").or_else(|| variable("RUST_LOG"));
    let subscriber = subscriber(filter(said.as_deref().unwrap_or(DEFAULT))?, reader, io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| "logging was started before".to_owned())
}

fn filter(said: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("openraft=error,{said}")).map_err(|e| {
        format!(
            "the log filter \"{said}\" is wrong: {e}\n  hint: SOJOURN_LOG=info, or SOJOURN_LOG=info,sojourn::web=debug"
        )
    })
}

fn subscriber<W>(filter: EnvFilter, reader: Reader, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match reader {
        Reader::Machine => Box::new(lines.json().flatten_event(true).with_current_span(false).finish()),
        Reader::Person => Box::new(lines.with_ansi(false).with_target(false).finish()),
        Reader::PersonInColour => Box::new(lines.with_ansi(true).with_target(false).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(said: &str, reader: Reader, work: impl FnOnce()) -> String {
        let paper = Paper::default();
        let inner = paper.clone();
        let filter = filter(said).unwrap_or_else(|e| panic!("{e}"));
        tracing::subscriber::with_default(subscriber(filter, reader, move || inner.clone()), work);
        let bytes = paper.0.lock().clone();
        String::from_utf8(bytes).expect("is text")
    }

    #[test]
    fn machines_get_one_json_object_a_line_with_utc_time() {
        let line = written(DEFAULT, Reader::Machine, || tracing::info!(port = 3000, "listening"));
        let read: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
        assert_eq!(
            (&read["message"], &read["port"], &read["level"]),
            (&"listening".into(), &3000.into(), &"INFO".into())
        );
        let time: jiff::Timestamp = read["timestamp"].as_str().expect("is text").parse().expect("is RFC 3339");
        assert!(time.as_second() > 1_700_000_000 && read["timestamp"].as_str().is_some_and(|t| t.ends_with('Z')));
    }

    #[test]
    fn people_get_plain_lines() {
        let line = written(DEFAULT, Reader::Person, || tracing::warn!(cause = "rain", "late"));
        assert!(line.trim_end().ends_with("WARN late cause=\"rain\""), "{line}");
    }

    #[test]
    fn openraft_speaks_only_of_errors_unless_it_is_named() {
        let speak = || {
            tracing::warn!(target: "openraft::core", "chatter");
            tracing::error!(target: "openraft::core", "trouble");
        };
        for said in [DEFAULT, "debug"] {
            let lines = written(said, Reader::Person, speak);
            assert!(lines.contains("trouble") && !lines.contains("chatter"), "{said}: {lines}");
        }
        assert!(written("info,openraft=warn", Reader::Person, speak).contains("chatter"));
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_with_a_hint() {
        let why = filter("sojourn=loud").err().unwrap_or_default();
        assert!(why.starts_with("the log filter \"sojourn=loud\" is wrong: ") && why.contains("hint: "), "{why}");
    }
}
