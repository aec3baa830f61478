//! Words: spans and moments as people read them.
//!
//! Pages know neither the reader's language nor their time zone (no script runs), so moments are English and UTC, and
//! said so; the `datetime` attribute carries the exact value for machines. Spans name at most two units: nobody plans
//! by the seconds of a session that lasts a month.

use jiff::Timestamp;
use serde::Serialize;

use crate::clock::Millis;

/// A moment: RFC 3339 for the `datetime` attribute, words for the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    pub machine: String,
    pub human: String,
}

impl Moment {
    /// Day and minute, UTC.
    pub fn absolute(at: Millis) -> Self {
        let stamp = timestamp(at);
        Self { machine: machine(stamp), human: stamp.strftime("%-d %b %Y, %H:%M UTC").to_string() }
    }

    /// The day alone, UTC.
    pub fn day(at: Millis) -> Self {
        let stamp = timestamp(at);
        Self { machine: machine(stamp), human: stamp.strftime("%-d %B %Y").to_string() }
    }

    /// How far from `now`: "in 59 minutes".
    pub fn ahead(at: Millis, now: Millis) -> Self {
        let secs = at.saturating_sub(now) / 1_000;
        let human = if secs < 1 { "now".to_owned() } else { format!("in {}", span(secs)) };
        Self { machine: machine(timestamp(at)), human }
    }
}

/// The nearest moment the calendar can hold.
fn timestamp(at: Millis) -> Timestamp {
    let limit = if at < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(at).unwrap_or(limit)
}

fn machine(stamp: Timestamp) -> String {
    stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A span in seconds as at most two units, rounded down: "1 hour 5 minutes".
pub fn span(secs: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let secs = secs.max(0);
    let Some(at) = UNITS.iter().position(|(size, _)| secs >= *size) else {
        return "0 seconds".to_owned();
    };
    let (size, name) = UNITS[at];
    let whole = counted(secs / size, name);
    // Below an hour the smaller unit is noise.
    match UNITS.get(at + 1) {
        Some((smaller, lesser)) if size >= 3_600 && secs % size >= *smaller => {
            format!("{whole} {}", counted(secs % size / smaller, lesser))
        }
        _ => whole,
    }
}

/// A wait in seconds, rounded up, so that whoever waits that long has waited long enough: "2 minutes" for 61.
pub fn wait(secs: u64) -> String {
    let secs = i64::try_from(secs).unwrap_or(i64::MAX / 2).clamp(1, i64::MAX / 2);
    match secs {
        ..=99 => counted(secs, "second"),
        100..=5_999 => span((secs + 59) / 60 * 60),
        _ => span((secs + 3_599) / 3_600 * 3_600),
    }
}

fn counted(n: i64, name: &str) -> String {
    if n == 1 { format!("1 {name}") } else { format!("{n} {name}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_name_two_units_at_most() {
        let cases = [
            (-5, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (3_599, "59 minutes"),
            (3_600, "1 hour"),
            (3_900, "1 hour 5 minutes"),
            (86_400 * 30, "30 days"),
            (86_400 + 3_600 + 60, "1 day 1 hour"),
            (86_400 + 60, "1 day"),
        ];
        for (secs, words) in cases {
            assert_eq!(span(secs), words, "{secs}");
        }
    }

    #[test]
    fn waits_are_never_told_too_short() {
        let cases = [(0, "1 second"), (30, "30 seconds"), (99, "99 seconds"), (121, "3 minutes"), (7_201, "3 hours")];
        for (secs, words) in cases {
            assert_eq!(wait(secs), words, "{secs}");
        }
        assert!(!wait(u64::MAX).is_empty());
    }

    #[test]
    fn moments_carry_both_forms() {
        let at = Moment::absolute(1_767_623_400_000);
        assert_eq!(at.machine, "2026-01-05T14:30:00Z");
        assert_eq!(at.human, "5 Jan 2026, 14:30 UTC");
        assert_eq!(Moment::ahead(90_000, 0).human, "in 1 minute");
        assert_eq!(Moment::ahead(0, 90_000).human, "now");
    }

    #[test]
    fn moments_outside_the_calendar_do_not_panic() {
        for at in [Millis::MIN, Millis::MAX] {
            assert!(!Moment::absolute(at).human.is_empty());
            assert!(!Moment::ahead(at, 0).human.is_empty());
        }
    }
}
