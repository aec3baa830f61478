//! The program: reads the command line, runs it, says what went wrong.

use std::process::ExitCode;

use sojourn::cli;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
