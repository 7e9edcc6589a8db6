//! Floors: what Postgres by itself does on this machine, measured with PostgreSQL's own pgbench.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use embedded_postgres::EmbeddedPostgres;

use super::cpu;
use crate::Error;

/// The script of a payment written by hand, and what it needs to be there. They are part of the program, so that it runs
/// from anywhere; a reader finds them in `tests/bench`.
const BY_HAND: &str = include_str!("../../bench/payment_by_hand.sql");
const BY_HAND_SETUP: &str = include_str!("../../bench/payment_by_hand_setup.sql");

/// The names that both of them use.
const NAMES: [(&str, &str); 4] = [
    ("merchant", "01900000-0000-7000-8000-000000000001"),
    ("psp_account", "01900000-0000-7000-8000-000000000002"),
    ("receivable", "01900000-0000-7000-8000-000000000003"),
    ("platform_fees", "01900000-0000-7000-8000-000000000004"),
];

/// What pgbench is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// pgbench's own transaction.
    TpcbLike,
    /// A payment's two transactions.
    ByHand,
}

/// What came of one run.
#[derive(Debug, Clone, Copy)]
pub struct FloorRun {
    /// Clients at once.
    pub clients: usize,
    /// Transactions of the script.
    pub count: u64,
    /// How long it took.
    pub span: Duration,
    /// What Postgres spent, all of its processes.
    pub postgres: Duration,
    /// What pgbench spent.
    pub load: Duration,
    /// The mean time of a transaction of the script.
    pub mean: Duration,
}

/// A server and a database in it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The server.
    pub server: &'a EmbeddedPostgres,
    /// The database's name.
    pub database: &'a str,
    /// Where scripts are put.
    pub folder: &'a Path,
}

impl Place<'_> {
    fn url(&self) -> String {
        self.server.superuser_url(self.database)
    }

    fn program(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.server.program(name);
        if path.is_file() { Ok(path) } else { Err(Error::NotInstalled(path)) }
    }

    /// Runs SQL with psql.
    ///
    /// # Errors
    /// When it is missing or a statement fails.
    pub fn sql(&self, text: &str) -> Result<(), Error> {
        let mut psql = Command::new(self.program("psql")?);
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url()]);
        psql.args(NAMES.iter().flat_map(|(name, value)| ["-v".to_owned(), format!("{name}={value}")]));
        let script = self.folder.join("script.sql");
        std::fs::write(&script, text).map_err(Error::io("write a script"))?;
        finished("psql", psql.arg("-f").arg(script)).map(drop)
    }

    /// Makes what a floor needs, in an empty database for pgbench's own, in a migrated one for the payment's.
    ///
    /// # Errors
    /// When a program is missing or fails.
    pub fn prepare(&self, floor: Floor, scale: usize) -> Result<(), Error> {
        match floor {
            Floor::ByHand => self.sql(BY_HAND_SETUP),
            Floor::TpcbLike => {
                let mut pgbench = Command::new(self.program("pgbench")?);
                pgbench.args(["-i", "-I", "dtGvp", "-q", "-s", &scale.to_string()]).arg(self.url());
                finished("pgbench", &mut pgbench).map(drop)
            }
        }
    }

    /// Begins a measurement like every other: statistics known, nothing left to be written back.
    ///
    /// # Errors
    /// When a program is missing or fails.
    pub fn settle(&self) -> Result<(), Error> {
        self.sql("vacuum analyze; checkpoint;")
    }

    /// Runs `floor` with so many clients for so long.
    ///
    /// # Errors
    /// When pgbench is missing, fails, or one of its transactions does.
    pub fn run(&self, floor: Floor, clients: usize, seconds: u64) -> Result<FloorRun, Error> {
        let mut pgbench = Command::new(self.program("pgbench")?);
        pgbench.args(["-n", "-M", "prepared", "-T", &seconds.to_string()]);
        pgbench.args(["-c", &clients.to_string(), "-j", &clients.min(2).to_string()]);
        match floor {
            Floor::TpcbLike => drop(pgbench.args(["-b", "tpcb-like"])),
            Floor::ByHand => {
                let script = self.folder.join("payment_by_hand.sql");
                std::fs::write(&script, BY_HAND).map_err(Error::io("write a script"))?;
                pgbench.arg("-f").arg(script);
                for (name, value) in by_hand_variables() {
                    pgbench.arg("-D").arg(format!("{name}={value}"));
                }
            }
        }
        pgbench.arg(self.url());
        let postmaster = self.server.server().id();
        let before = (cpu::of_tree(postmaster), cpu::of_ended_children());
        let output = finished("pgbench", &mut pgbench)?;
        let after = (cpu::of_tree(postmaster), cpu::of_ended_children());
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = number(&said, "number of failed transactions: ").unwrap_or_default();
        match number(&said, "number of transactions actually processed: ") {
            Some(count) if count > 0 && failed == 0 => Ok(FloorRun {
                clients,
                count,
                span: Duration::from_secs(seconds),
                postgres: after.0.saturating_sub(before.0),
                load: after.1.saturating_sub(before.1),
                mean: Duration::from_micros(seconds * 1_000_000 * clients as u64 / count),
            }),
            _ => Err(Error::Unexpected(format!("pgbench did not do what it should:\n{said}"))),
        }
    }
}

/// The constants of the script: what payment-service would write in a payment of the benchmark, of the same lengths.
fn by_hand_variables() -> Vec<(&'static str, String)> {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let ids = r#""payment_id":"01900000-0000-7000-8000-000000000001","order_id":"order-1234567890123456","ordinal":1"#;
    let operation = r#""operation_id":"01900000-0000-8000-8000-000000000001""#;
    let money = r#""amount":12345,"currency":"EUR""#;
    let created = format!("{{{ids},{money},{operation},\"status\":\"processing\"}}");
    let captured = format!(
        "{{{ids},{money},{operation},\"status\":\"captured\",\"captured_amount\":12345,\"reason\":null}}"
    );
    let response = format!(
        "{{{ids},{money},\"status\":\"captured\",\"capture\":\"automatic\",\"payment_method\":\"pm_card_visa\",\
         \"psp_account_id\":\"01900000-0000-7000-8000-000000000002\",\"captured_amount\":12345,\"refunded_amount\":0,\
         \"splits\":[{{\"seller\":\"seller-123\",\"amount\":12345,\"platform_fee\":617}}],\
         \"metadata\":{{\"channel\":\"web\"}},\"created_at\":\"2026-11-22T04:50:00.123456Z\",\
         \"updated_at\":\"2026-11-22T04:50:00.123456Z\"}}"
    );
    let mut variables: Vec<(&'static str, String)> =
        NAMES.iter().map(|&(name, value)| (name, value.to_owned())).collect();
    variables.extend([
        ("n", "0".to_owned()),
        ("epoch", epoch.to_string()),
        ("fingerprint", format!("\\x{}", "0123456789abcdef".repeat(9))),
        ("metadata", r#"{"channel":"web"}"#.to_owned()),
        ("created", created),
        ("captured", captured),
        ("response", response),
    ]);
    variables
}

fn finished(name: &'static str, command: &mut Command) -> Result<Output, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(Error::io(format_args!("run {name}")))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Failed {
        command: name.to_owned(),
        status: output.status.to_string(),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// The whole number after a label.
fn number(text: &str, label: &str) -> Option<u64> {
    let rest = text.split_once(label)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn figures_are_read_from_what_pgbench_says() {
        let said =
            "number of transactions actually processed: 661\nnumber of failed transactions: 0 (0.000%)\n";
        assert_eq!(number(said, "actually processed: "), Some(661));
        assert_eq!(number(said, "failed transactions: "), Some(0));
        assert_eq!(number(said, "tps = "), None);
    }
}
