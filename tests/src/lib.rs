//! Drives the programs of this workspace from outside, as processes: for the black-box tests (`it`), the demo, the
//! crash loop and the benchmark.
//!
//! What is started here listens on free ports of the loopback, keeps its files in a scratch folder, and ends with the
//! process that started it, however that ends.

pub mod bench;
pub mod bench_recon;
pub mod crash;
pub mod demo;
pub mod error;
pub mod http;
pub mod installation;
pub mod interruption;
pub mod journal;
pub mod kafka;
pub mod orders;
pub mod ports;
pub mod process;
pub mod psp;
pub mod quiet;
pub mod report;
pub mod shop;
pub mod stage;

pub use error::Error;
