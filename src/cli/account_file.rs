//! Account file: reads a file of accounts and sends it to the node piece by piece.
//!
//! Only the ends of records are looked for here; what they hold is `identity`'s to read. Nothing but one piece is ever
//! in memory, so a file may have millions of rows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use super::output::{byte_bar, json, plain};
use super::{Common, Failure};
use crate::control::protocol::{ImportChunk, ImportFormat, Imported, Refused};
use crate::control::{Request, Response};
use crate::limits;

/// How a file of accounts is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// Comma separated, with a header
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// Who is told what came of it.
pub(super) enum Told<'a> {
    People(&'a mut dyn Write),
    Programs(&'a mut dyn Write),
}

/// Most refused records that people are shown.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Default, Serialize)]
struct Sum {
    added: u64,
    taken: u64,
    refused: Vec<Refused>,
}

pub(super) fn import(common: &Common, file: &Path, format: Option<Format>, told: Told<'_>) -> Result<(), Failure> {
    let mut node = common.connect()?;
    let (input, bytes) = open(file)?;
    let bar = byte_bar("importing", bytes);
    let mut sum = Sum::default();
    for chunk in Records::of(input, format)? {
        let chunk = chunk?;
        let read = chunk.rows.len() as u64;
        let Response::Imported(Imported { added, taken, refused }) = node.ask(&Request::UserImport(chunk))? else {
            return Err(Failure::unexpected());
        };
        sum.added += added;
        sum.taken += taken;
        sum.refused.extend(refused);
        bar.inc(read);
    }
    bar.finish_and_clear();
    tell(&sum, told)?;
    if sum.refused.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(
        "some records were refused\n  hint: correct them and import again; the others are left alone".into(),
    ))
}

fn tell(sum: &Sum, told: Told<'_>) -> Result<(), Failure> {
    let out = match told {
        Told::Programs(out) => return Ok(json(out, sum)?),
        Told::People(out) => out,
    };
    for Refused { line, why } in sum.refused.iter().take(SHOWN_MAX) {
        writeln!(out, "line {line}: {}", plain(why))?;
    }
    if sum.refused.len() > SHOWN_MAX {
        writeln!(out, "… and {} more; --json shows all", sum.refused.len() - SHOWN_MAX)?;
    }
    Ok(writeln!(
        out,
        "added {}, left alone {} whose address or id exists, refused {}",
        sum.added,
        sum.taken,
        sum.refused.len()
    )?)
}

fn open(file: &Path) -> Result<(Box<dyn BufRead>, u64), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), 0));
    }
    let opened = File::open(file).and_then(|f| f.metadata().map(|m| (f, m))).and_then(|(f, m)| match m.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok((f, m.len())),
    });
    let (file, bytes) = opened.map_err(|e| {
        Failure::because(
            format!("cannot read {}", file.display()),
            e,
            "name a CSV or JSON lines file, or - for standard input",
        )
    })?;
    Ok((Box::new(BufReader::new(file)), bytes))
}

/// Pieces of a file, each of whole records.
struct Records<R> {
    input: R,
    format: ImportFormat,
    header: String,
    /// A record that did not fit into the last piece, and the number of its first line.
    held: Option<(String, u64)>,
    /// Lines read so far.
    line: u64,
}

impl<R: BufRead> Records<R> {
    fn of(mut input: R, format: Option<Format>) -> Result<Self, Failure> {
        let failed = |e| Failure::because("cannot read the file", e, "is it a CSV or JSON lines file?");
        let start = input.fill_buf().map_err(failed)?;
        let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let first = start[mark..].iter().find(|b| !b.is_ascii_whitespace());
        let format = match (format, first) {
            (Some(Format::Csv), _) => ImportFormat::Csv,
            (Some(Format::Jsonl), _) | (None, Some(b'{')) => ImportFormat::JsonLines,
            (None, _) => ImportFormat::Csv,
        };
        input.consume(mark);
        let mut records = Self { input, format, header: String::new(), held: None, line: 0 };
        while format == ImportFormat::Csv && records.header.trim().is_empty() {
            match records.record()? {
                Some((header, _)) => records.header = header,
                None => break,
            }
        }
        Ok(records)
    }

    /// The next record with its line end, and the number of its first line. A CSV record goes on while a quote is open.
    fn record(&mut self) -> Result<Option<(String, u64)>, Failure> {
        let (first, mut record, mut open) = (self.line + 1, Vec::new(), false);
        loop {
            let room = (limits::IMPORT_CHUNK_MAX + 1 - record.len()) as u64;
            let got = io::Read::take(&mut self.input, room).read_until(b'\n', &mut record);
            let got = got.map_err(|e| Failure::because("cannot read the file", e, "is it a file?"))?;
            self.line += 1;
            let quotes = record[record.len() - got..].iter().filter(|b| **b == b'"').count();
            open ^= self.format == ImportFormat::Csv && quotes % 2 == 1;
            if record.len() > limits::IMPORT_CHUNK_MAX || (got == 0 && open) {
                let what = if got == 0 { "has no end" } else { "is too long" };
                return Err(wrong_at(first, what, "is a quote left open?"));
            }
            if got == 0 || !open {
                break;
            }
        }
        if record.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8(record).map_err(|_| wrong_at(first, "is not UTF-8", "save the file as UTF-8"))?;
        Ok(Some((text, first)))
    }

    fn chunk(&mut self) -> Result<Option<ImportChunk>, Failure> {
        let (mut rows, mut first_line) = (String::new(), 0);
        loop {
            let next = match self.held.take() {
                Some(held) => Some(held),
                None => self.record()?,
            };
            let Some((record, line)) = next else { break };
            if !rows.is_empty() && rows.len() + record.len() > limits::IMPORT_CHUNK_MAX {
                self.held = Some((record, line));
                break;
            }
            if rows.is_empty() {
                first_line = line;
            }
            rows += &record;
        }
        let chunk = ImportChunk { format: self.format, header: self.header.clone(), rows, first_line };
        Ok((!chunk.rows.is_empty()).then_some(chunk))
    }
}

fn wrong_at(line: u64, what: &str, hint: &str) -> Failure {
    Failure::Other(format!("the record at line {line} {what}\n  hint: {hint}"))
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<ImportChunk, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chunk().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &[u8]) -> Result<Vec<ImportChunk>, String> {
        let chunks: Result<Vec<_>, Failure> = Records::of(text, None).and_then(Iterator::collect);
        chunks.map_err(|e| e.to_string())
    }

    #[test]
    fn a_small_csv_file_is_one_piece_under_its_header() {
        let got = chunks(b"\xef\xbb\xbfid,email\r\n1,a@x.org\r\n2,\"b\nb\"\n3,c").expect("is read");
        let rows = "1,a@x.org\r\n2,\"b\nb\"\n3,c".to_owned();
        let header = "id,email\r\n".to_owned();
        assert_eq!(got, [ImportChunk { format: ImportFormat::Csv, header, rows, first_line: 2 }]);
    }

    #[test]
    fn json_lines_are_told_by_their_first_brace() {
        let got = chunks(b"\n{\"email\":\"a\"}\n{\"email\":\"\\\"\"}\n").expect("is read");
        assert_eq!((got.len(), got[0].format, got[0].first_line), (1, ImportFormat::JsonLines, 1));
        assert_eq!(got[0].header, "");
    }

    #[test]
    fn pieces_hold_whole_records_know_their_lines_and_lose_nothing() {
        let mut file = "id,email,note\n".to_owned();
        for n in 0..20_000 {
            file += &format!("{n},{n}@example.com,\"two\nlines \"\"{n}\"\"\"\n");
        }
        let got = chunks(file.as_bytes()).expect("is read");
        assert!(got.len() > 3 && got.iter().all(|c| c.rows.len() <= limits::IMPORT_CHUNK_MAX));
        let mut line = 2;
        for chunk in &got {
            assert_eq!(chunk.first_line, line);
            assert!(chunk.rows.ends_with("\"\n") && chunk.rows.starts_with(|c: char| c.is_ascii_digit()));
            line += chunk.rows.matches('\n').count() as u64;
        }
        let whole: String = got.iter().map(|c| c.rows.as_str()).collect();
        assert_eq!(format!("id,email,note\n{whole}"), file);
    }

    #[test]
    fn every_piece_fits_into_a_request_line_however_it_is_escaped() {
        let file = "id\n".to_owned() + &"\u{1}".repeat(limits::IMPORT_CHUNK_MAX - 1) + "\n";
        for chunk in chunks(file.as_bytes()).expect("is read") {
            let line = serde_json::to_vec(&Request::UserImport(chunk)).expect("serialises");
            assert!(line.len() <= limits::CONTROL_LINE_MAX, "{}", line.len());
        }
    }

    #[test]
    fn files_without_records_are_nothing_to_do() {
        for empty in [&b""[..], b"\n\n", b"id,email\n"] {
            assert_eq!(chunks(empty).expect("is read"), []);
        }
    }

    #[test]
    fn records_that_are_no_text_or_never_end_are_named_by_line() {
        assert_eq!(
            chunks(b"id\n1\n\xff\n").expect_err("is refused"),
            "the record at line 3 is not UTF-8\n  hint: save the file as UTF-8"
        );
        assert_eq!(
            chunks(b"id\n1\n\"2\n3\n").expect_err("is refused"),
            "the record at line 3 has no end\n  hint: is a quote left open?"
        );
        let long = "id\n\"".to_owned() + &"x\n".repeat(limits::IMPORT_CHUNK_MAX);
        assert_eq!(
            chunks(long.as_bytes()).expect_err("is refused"),
            "the record at line 2 is too long\n  hint: is a quote left open?"
        );
    }
}
