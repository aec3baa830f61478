//! Output: aligned tables for people, JSON for programs, progress bars for whoever waits.
//!
//! Names, agents and addresses come from strangers: control characters are taken out before they reach a terminal,
//! which might obey them.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use crate::clock::Millis;

/// A table that is printed piece by piece: columns never get narrower.
pub(super) struct Table {
    header: Option<Vec<String>>,
    widths: Vec<usize>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
        Self { widths: vec![0; header.len()], header: Some(header) }
    }

    /// Prints some rows, under the header if they are the first.
    pub(super) fn rows(&mut self, out: &mut dyn Write, rows: Vec<Vec<String>>) -> io::Result<()> {
        let clean = rows.into_iter().map(|row| row.iter().map(|cell| plain(cell)).collect());
        let all: Vec<Vec<String>> = self.header.take().into_iter().chain(clean).collect();
        for row in &all {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &all {
            let padded = row.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Names and values, one pair a line.
pub(super) fn pairs(out: &mut dyn Write, pairs: &[(&str, String)]) -> io::Result<()> {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in pairs {
        writeln!(out, "{}", format!("{name:width$}  {}", plain(value)).trim_end())?;
    }
    Ok(())
}

/// Text that no terminal obeys.
pub(super) fn plain(text: &str) -> String {
    let unsafe_char = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if unsafe_char(c) { '\u{fffd}' } else { c }).collect()
}

/// A moment, in UTC, to the second.
pub(super) fn moment(ms: Millis) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| "?".into(), |t| t.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// One value as JSON, with moments in RFC 3339.
pub(super) fn json<T: Serialize>(out: &mut dyn Write, value: &T) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &with_moments(value)?)?;
    writeln!(out)
}

/// A JSON array that is printed item by item.
pub(super) struct JsonArray {
    empty: bool,
}

impl JsonArray {
    pub(super) fn begin(out: &mut dyn Write) -> io::Result<Self> {
        write!(out, "[")?;
        Ok(Self { empty: true })
    }

    pub(super) fn item<T: Serialize>(&mut self, out: &mut dyn Write, value: &T) -> io::Result<()> {
        write!(out, "{}\n  {}", if self.empty { "" } else { "," }, with_moments(value)?)?;
        self.empty = false;
        Ok(())
    }

    pub(super) fn end(self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}]", if self.empty { "" } else { "\n" })
    }
}

/// Members that are milliseconds since the Unix epoch.
const MOMENTS: [&str; 6] = ["created_at", "begun", "expires", "absolute", "last_used", "expires_at"];

fn with_moments<T: Serialize>(value: &T) -> io::Result<Value> {
    let mut value = serde_json::to_value(value)?;
    for name in MOMENTS {
        if let Some(member) = value.get_mut(name)
            && let Some(moment) = member.as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        {
            *member = moment.to_string().into();
        }
    }
    Ok(value)
}

/// A bar over bytes on standard error; nothing when that is no terminal.
pub(super) fn byte_bar(what: &'static str, total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes} of {total_bytes}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    ProgressBar::new(total).with_style(style).with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(work: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        work(&mut out).expect("writes to memory");
        String::from_utf8(out).expect("is text")
    }

    #[test]
    fn tables_are_aligned_and_no_page_is_narrower_than_the_one_before() {
        let row = |a: &str, b: &str| vec![vec![a.to_owned(), b.to_owned()]];
        let shown = text(|out| {
            let mut table = Table::new(&["EMAIL", "NAME"]);
            table.rows(out, row("ünï@example.com", "Ü"))?;
            table.rows(out, row("b@x.org", ""))
        });
        assert_eq!(shown, "EMAIL            NAME\nünï@example.com  Ü\nb@x.org\n");
    }

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(text(|out| Table::new(&["A", "B"]).rows(out, Vec::new())), "A  B\n");
    }

    #[test]
    fn terminals_are_not_commanded_by_names() {
        let shown = text(|out| pairs(out, &[("name", "\u{1b}[2Jx\r\n\u{9b}y\u{202e}".into())]));
        assert_eq!(shown, "name  \u{fffd}[2Jx\u{fffd}\u{fffd}\u{fffd}y\u{fffd}\n");
    }

    #[test]
    fn json_arrays_are_json_whatever_their_length() {
        for items in [&[][..], &["a"], &["a", "b"]] {
            let shown = text(|out| {
                let mut array = JsonArray::begin(out)?;
                items.iter().try_for_each(|i| array.item(out, i))?;
                array.end(out)
            });
            assert_eq!(serde_json::from_str::<Vec<String>>(&shown).expect("is JSON"), items);
        }
    }

    #[test]
    fn moments_are_utc_in_both_forms() {
        assert_eq!(moment(1_700_000_000_123), "2023-11-14 22:13:20Z");
        assert_eq!(moment(i64::MAX), "?");
        let shown = text(|out| json(out, &serde_json::json!({"begun": 1_700_000_000_123_i64})));
        assert_eq!(shown, "{\n  \"begun\": \"2023-11-14T22:13:20.123Z\"\n}\n");
    }
}
