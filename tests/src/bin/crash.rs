//! The crash loop: `make crash`.

use std::process::ExitCode;

use clap::Parser as _;
use tests::crash::{self, Arguments};
use tests::interruption;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match interruption::or(crash::run(&arguments)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crash: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
