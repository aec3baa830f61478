//! Table: how results are printed, the same for every bench.

use std::process::Command;

/// Rows of text under a head, each column as wide as its widest cell; the first column to the left, others right.
pub struct Table(Vec<Vec<String>>);

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|cell| (*cell).to_owned()).collect()])
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }

    pub fn print(&self) {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.0.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for (number, row) in self.0.iter().enumerate() {
            let cell = |(at, cell): (usize, &String)| match at {
                0 => format!("{cell:<width$}", width = widths[0]),
                _ => format!("{cell:>width$}", width = widths[at]),
            };
            println!("  {}", row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end());
            if number == 0 {
                println!("  {}", "-".repeat(widths.iter().sum::<usize>() + 2 * (columns - 1)));
            }
        }
        println!();
    }
}

/// Says what is measured, of which commit, on what.
pub fn title(question: &str) {
    let git = |args: &[&str]| {
        let run = Command::new("git").args(args).output().ok().filter(|out| out.status.success());
        run.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|out| !out.is_empty());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("\n{question}\ncommit {commit}{}, {cores} cores\n", if changed { " and changes" } else { "" });
}

/// One line that says whether an aim is met; `at_least` or `at_most` says which way it goes.
pub fn aim(what: &str, measured: f64, bound: Bound) {
    let (met, wanted) = match bound {
        Bound::AtLeast(least) => (measured >= least, format!("at least {least}")),
        Bound::AtMost(most) => (measured <= most, format!("at most {most}")),
    };
    println!("  {} {what}: {measured:.2}, aim {wanted}", if met { "met   " } else { "MISSED" });
}

/// Which way an aim goes.
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A count with separators between thousands.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
