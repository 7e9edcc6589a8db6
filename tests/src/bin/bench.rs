//! The benchmark: `make bench`.

use std::process::ExitCode;

use clap::Parser as _;
use tests::bench::{self, Arguments};
use tests::interruption;

/// One thread: the load is a small part of what the machine does.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match interruption::or(bench::run(&arguments)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
