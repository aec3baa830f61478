//! Import: accounts from another program, as JSON lines or CSV.
//!
//! Members or columns `id,email,password_hash,first_name,last_name,created_at`, in any order; only `email` is needed,
//! the others may be missing or empty. A bad row is reported with its line and left out, the others are kept. An
//! unknown column is an error: better to be told than to lose what was in it. Accounts that come this way count as
//! approved, their addresses as verified; none is an admin. Reasons never quote a hash.

use std::collections::HashSet;

use serde_json::Value;

use super::{email, name, passwords};
use crate::clock::Millis;
use crate::state::NewUser;

/// The longest id that is taken over, bytes.
const ID_MAX: usize = 64;
/// How far in the future an account may have been made: clocks differ.
const AHEAD_MS: Millis = 24 * 3_600 * 1_000;

/// What the file is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line; blank lines are skipped.
    JsonLines,
    /// RFC 4180, with a header row.
    Csv,
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// Line in the file, from 1; of a row of several lines the first.
    pub line: u64,
    /// Why, for the operator.
    pub reason: String,
}

/// The text of each member that a row has; empty counts as missing.
#[derive(Default)]
struct Row {
    fields: [Option<String>; FIELDS.len()],
}

const FIELDS: [&str; 6] = ["id", "email", "password_hash", "first_name", "last_name", "created_at"];
const ID: usize = 0;
const EMAIL: usize = 1;
const PASSWORD_HASH: usize = 2;
const FIRST_NAME: usize = 3;
const LAST_NAME: usize = 4;
const CREATED_AT: usize = 5;

/// The accounts in `text`, and the rows that are none. Without `format` the first character decides: `{` begins JSON
/// lines. Accounts without an id get a `new_id`, those without a date are made `now`. The second row of an address or
/// id is an error too.
pub fn rows(
    text: &str,
    format: Option<Format>,
    now: Millis,
    new_id: &mut dyn FnMut() -> String,
) -> (Vec<NewUser>, Vec<RowError>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = match format.unwrap_or_else(|| guess(text)) {
        Format::JsonLines => json_lines(text),
        Format::Csv => csv(text),
    };
    let (mut users, mut errors) = (Vec::new(), Vec::new());
    let (mut emails, mut ids) = (HashSet::new(), HashSet::new());
    for (line, row) in read {
        let user = row.and_then(|row| user(row, now, new_id)).and_then(|user| {
            if !emails.insert(user.email.clone()) {
                return Err("the address stands in an earlier row".to_owned());
            }
            if !ids.insert(user.id.clone()) {
                return Err("the id stands in an earlier row".to_owned());
            }
            Ok(user)
        });
        match user {
            Ok(user) => users.push(user),
            Err(reason) => errors.push(RowError { line, reason }),
        }
    }
    (users, errors)
}

fn guess(text: &str) -> Format {
    if text.trim_start().starts_with(['{', '[']) { Format::JsonLines } else { Format::Csv }
}

type ReadRow = (u64, Result<Row, String>);

fn json_lines(text: &str) -> Vec<ReadRow> {
    if text.trim_start().starts_with('[') {
        return vec![(1, Err("this is a JSON array; hint: write one object per line, without brackets".to_owned()))];
    }
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| (number, json_row(line))).collect()
}

fn json_row(line: &str) -> Result<Row, String> {
    let Value::Object(members) = serde_json::from_str(line).map_err(|e| format!("not JSON: {e}"))? else {
        return Err("not a JSON object".to_owned());
    };
    let mut row = Row::default();
    for (name, value) in members {
        let at = field(&name)?;
        row.fields[at] = match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            Value::Number(n) if at == ID || at == CREATED_AT => Some(n.to_string()),
            _ => return Err(format!("`{}` must be text", FIELDS[at])),
        };
    }
    Ok(row)
}

fn csv(text: &str) -> Vec<ReadRow> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let columns = match reader.headers().map_err(|e| format!("not CSV: {e}")).and_then(columns) {
        Ok(columns) => columns,
        Err(reason) => return vec![(1, Err(reason))],
    };
    let mut out = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => return out,
            Ok(true) => out.push((line(text, record.position()), Ok(csv_row(&columns, &record)))),
            Err(e) => out.push((line(text, e.position()), Err(csv_reason(&e)))),
        }
    }
}

/// The line where a row begins. The reader counts from the end of the row before: blank lines stand between.
fn line(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 0 };
    let rest = usize::try_from(position.byte()).ok().and_then(|at| text.as_bytes().get(at..)).unwrap_or_default();
    let blank = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| **b == b'\n').count();
    position.line() + blank as u64
}

fn csv_reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields, the header {expected_len}")
        }
        _ => "not CSV".to_owned(),
    }
}

/// Which field each column is.
fn columns(header: &csv::StringRecord) -> Result<Vec<usize>, String> {
    let columns: Vec<usize> = header.iter().map(field).collect::<Result<_, _>>()?;
    if columns.iter().collect::<HashSet<_>>().len() < columns.len() {
        return Err("the header names a column twice".to_owned());
    }
    if !columns.contains(&EMAIL) {
        return Err(format!("the header lacks the column `email`; hint: it names {}", FIELDS.join(",")));
    }
    Ok(columns)
}

fn csv_row(columns: &[usize], record: &csv::StringRecord) -> Row {
    let mut row = Row::default();
    for (at, text) in columns.iter().zip(record) {
        row.fields[*at] = Some(text.to_owned());
    }
    row
}

/// The number of the field called `name`.
fn field(name: &str) -> Result<usize, String> {
    FIELDS.iter().position(|f| *f == name).ok_or_else(|| {
        let name: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        format!("unknown column `{name}`; hint: the columns are {}", FIELDS.join(","))
    })
}

fn user(mut row: Row, now: Millis, new_id: &mut dyn FnMut() -> String) -> Result<NewUser, String> {
    let mut take = |at: usize| row.fields[at].take().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let email = email::normalise(&take(EMAIL).ok_or("`email` is missing")?).map_err(|e| e.to_string())?;
    let password_hash = take(PASSWORD_HASH).unwrap_or_default();
    if !password_hash.is_empty() {
        passwords::recognise(&password_hash)?;
    }
    let mut named = |field, at| {
        let name = name::normalise(field, &take(at).unwrap_or_default());
        name.map_err(|e| format!("`{field}`: {e}"))
    };
    let (first_name, last_name) = (named("first_name", FIRST_NAME)?, named("last_name", LAST_NAME)?);
    let created_at = take(CREATED_AT).map_or(Ok(now), |text| moment(&text, now))?;
    let id = match take(ID) {
        Some(id) if id.len() > ID_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) => {
            return Err(format!("`id` must be at most {ID_MAX} characters of ASCII without blanks"));
        }
        Some(id) => id,
        None => new_id(),
    };
    Ok(NewUser {
        id,
        email,
        first_name,
        last_name,
        password_hash,
        created_at,
        admin: false,
        approved: true,
        verified: true,
    })
}

/// RFC 3339, or seconds since the Unix epoch.
fn moment(text: &str, now: Millis) -> Result<Millis, String> {
    let moment = match text.parse::<i64>() {
        Ok(secs) => secs.checked_mul(1_000),
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
    };
    match moment {
        Some(at) if (0..=now.saturating_add(AHEAD_MS)).contains(&at) => Ok(at),
        Some(_) => Err("`created_at` is before 1970 or in the future; hint: numbers are seconds".to_owned()),
        None => Err("`created_at` must be RFC 3339 (2026-01-31T12:00:00Z) or seconds since 1970".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Millis = 1_790_000_000_000;
    const BCRYPT: &str = "$2y$12$7Mj1fG3bdlpmRcXtZpwimOI4pItCQcj5x2.ZqydPbR5wWlKGVaQVe";

    fn read(text: &str) -> (Vec<NewUser>, Vec<RowError>) {
        let mut n = 0;
        rows(text, None, NOW, &mut || {
            n += 1;
            format!("new-{n}")
        })
    }

    fn emails(users: &[NewUser]) -> Vec<&str> {
        users.iter().map(|u| u.email.as_str()).collect()
    }

    fn reasons(errors: &[RowError]) -> Vec<(u64, &str)> {
        errors.iter().map(|e| (e.line, e.reason.as_str())).collect()
    }

    #[test]
    fn a_row_becomes_an_account_that_is_approved_and_verified_and_no_admin() {
        let expected = NewUser {
            id: "7".into(),
            email: "test@example.com".into(),
            first_name: "Ada".into(),
            last_name: "O, \"Brien\"".into(),
            password_hash: BCRYPT.into(),
            created_at: 1_700_000_000_000,
            admin: false,
            approved: true,
            verified: true,
        };
        let csv = format!(
            "id,email,password_hash,first_name,last_name,created_at\n7,Test@Example.com,{BCRYPT}, Ada ,\"O, \"\"Brien\"\"\",1700000000\n"
        );
        assert_eq!(read(&csv), (vec![expected.clone()], vec![]));
        let json = format!(
            r#"{{"created_at":"2023-11-14T23:13:20+01:00","last_name":"O, \"Brien\"","first_name":"Ada","password_hash":"{BCRYPT}","email":" test@example.com ","id":7}}"#
        );
        assert_eq!(read(&json), (vec![expected], vec![]));
    }

    #[test]
    fn columns_may_come_in_any_order_be_missing_or_empty() {
        let (users, errors) = read("last_name, email ,id\nLovelace,a@example.com,\n,b@example.com,x-1\n");
        assert_eq!(errors, []);
        assert_eq!(emails(&users), ["a@example.com", "b@example.com"]);
        assert_eq!((users[0].id.as_str(), users[1].id.as_str()), ("new-1", "x-1"));
        assert_eq!((users[0].created_at, users[0].password_hash.as_str()), (NOW, ""));
        let (users, errors) = read("\n{\"email\":\"a@example.com\",\"id\":null,\"created_at\":1700000000}\n");
        assert_eq!((users.len(), errors.len()), (1, 0));
        assert_eq!(users[0].created_at, 1_700_000_000_000);
    }

    #[test]
    fn bad_rows_are_named_and_the_others_kept() {
        let text = format!(
            "email,password_hash,created_at\na@example.com,,\nnobody,,\nb@example.com,secret,\nc@example.com,,soon\n\
             d@example.com,{BCRYPT}\n\"e@example.com\",\"\",\"\"\nA@example.com,,\nf@example.com,,1700000000000\n,,\n"
        );
        let (users, errors) = read(&text);
        assert_eq!(emails(&users), ["a@example.com", "e@example.com"]);
        let lines: Vec<u64> = errors.iter().map(|e| e.line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 8, 9, 10], "{errors:?}");
        assert_eq!(errors[3].reason, "the row has 2 fields, the header 3");
        assert_eq!(errors[4].reason, "the address stands in an earlier row");
        assert!(errors[5].reason.contains("numbers are seconds"));
        assert_eq!(errors[6].reason, "`email` is missing");
        assert!(errors.iter().all(|e| !e.reason.contains("secret")), "hashes are not quoted: {errors:?}");
    }

    #[test]
    fn the_line_of_a_row_is_where_it_begins() {
        let (users, errors) = read("email,last_name\na@example.com,\"two\nlines\"\n\nnobody,x\n");
        assert_eq!(users, []);
        assert_eq!(errors.iter().map(|e| e.line).collect::<Vec<_>>(), [2, 5], "{errors:?}");
    }

    #[test]
    fn json_lines_report_their_own_lines() {
        let text = "{\"email\":\"a@example.com\"}\r\n\n{\"email\":7}\n{\"email\":\"b@example.com\",\"role\":\"admin\"}\n[]\n{\n{\"email\":\"c@example.com\",\"id\":\"a b\"}\n{}\n";
        let (users, errors) = read(text);
        assert_eq!(emails(&users), ["a@example.com"]);
        let lines: Vec<u64> = errors.iter().map(|e| e.line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7, 8]);
        assert_eq!(errors[0].reason, "`email` must be text");
        assert!(errors[1].reason.starts_with("unknown column `role`"), "{errors:?}");
    }

    #[test]
    fn an_unknown_column_stops_everything_and_is_named() {
        let (users, errors) = read("email,nick\na@example.com,x\n");
        assert_eq!(users, []);
        assert!(matches!(&reasons(&errors)[..], [(1, reason)] if reason.starts_with("unknown column `nick`")));
    }

    #[test]
    fn a_header_is_required_and_names_each_column_once() {
        for (text, reason) in [
            ("", "lacks the column `email`"),
            ("id,first_name\n1,x\n", "lacks the column `email`"),
            ("email,email\na@example.com,x\n", "twice"),
            ("a@example.com,x\n", "unknown column `a@example.com`"),
            ("[{\"email\":\"a@example.com\"}]", "JSON array"),
        ] {
            let (users, errors) = read(text);
            assert_eq!(users, []);
            assert!(matches!(&reasons(&errors)[..], [(1, why)] if why.contains(reason)), "{text}: {errors:?}");
        }
    }

    #[test]
    fn a_given_format_is_not_guessed_and_a_byte_order_mark_is_skipped() {
        let json = "\u{feff}{\"email\":\"a@example.com\"}";
        assert_eq!(read(json).0.len(), 1);
        let (users, errors) = rows(json, Some(Format::Csv), NOW, &mut String::new);
        assert_eq!((users.len(), errors.len()), (0, 1));
        assert_eq!(read("\u{feff}email\na@example.com\n").0.len(), 1);
    }

    #[test]
    fn names_and_ids_and_dates_out_of_bounds_are_refused() {
        for (member, value) in [
            ("first_name", "\"x\\u0000\"".to_owned()),
            ("last_name", format!("\"{}\"", "x".repeat(101))),
            ("id", format!("\"{}\"", "x".repeat(65))),
            ("id", "\"ä\"".to_owned()),
            ("id", "true".to_owned()),
            ("created_at", "-1".to_owned()),
            ("created_at", "1.5".to_owned()),
            ("created_at", "9223372036854775807".to_owned()),
            ("created_at", "\"2999-01-01T00:00:00Z\"".to_owned()),
            ("created_at", "\"2026-01-01\"".to_owned()),
        ] {
            let (users, errors) = read(&format!("{{\"email\":\"a@example.com\",\"{member}\":{value}}}"));
            assert_eq!(users, [], "{member} {value}");
            assert!(errors[0].reason.contains(member), "{errors:?}");
        }
    }

    #[test]
    fn an_id_may_not_come_twice() {
        let (users, errors) = read("id,email\n1,a@example.com\n1,b@example.com\n");
        assert_eq!(emails(&users), ["a@example.com"]);
        assert_eq!(reasons(&errors), [(3, "the id stands in an earlier row")]);
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(text in "(email|id|,|\\n|\"|\\{|\\}|:|a@b|\\PC){0,60}") {
            for format in [None, Some(Format::Csv), Some(Format::JsonLines)] {
                let _ = rows(&text, format, NOW, &mut String::new);
            }
        }
    }
}
