//! The benchmark of reconciliation: `make bench-recon`.

use std::process::ExitCode;

use clap::Parser as _;
use tests::bench_recon::{self, Arguments};

fn main() -> ExitCode {
    match bench_recon::run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-recon: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
