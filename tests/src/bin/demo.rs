//! The demo: `make demo`.

use std::process::ExitCode;

use clap::Parser as _;
use tests::demo::{self, Arguments};
use tests::interruption;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match interruption::or(demo::run(&arguments)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
