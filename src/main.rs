//! The program: reads the command line, runs it, says what went wrong.

use std::process::ExitCode;

use sojourn::cli;

/// Less work for each allocation than the system's, on many threads at once: a write through three nodes makes hundreds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    {
        // the allocator asks for huge pages, of which an idle node would fill a small part; where the system does not
        // let itself be told, it only costs memory
        let _ = rustix::thread::disable_transparent_huge_pages(true);
    }
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
