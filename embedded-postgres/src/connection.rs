//! Addresses of a server.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The number in the socket's name. No port is opened.
pub(crate) const PORT: u16 = 5432;

/// The role that initialises the cluster and may do everything in it.
pub(crate) const SUPERUSER: &str = "postgres";

/// How to reach a running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    socket_dir: PathBuf,
}

impl Connection {
    pub(crate) fn new(socket_dir: PathBuf) -> Self {
        Self { socket_dir }
    }

    /// The folder that holds the server's socket: the `host` of libpq.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The address of `database` for the role `user`, understood by sqlx and by libpq (psql, pgbench).
    /// It says `sslmode=disable` because a unix socket is never encrypted and asking costs a round trip.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!(
            "postgres:///{}?host={}&port={PORT}&user={}&sslmode=disable",
            encoded(database, false),
            encoded(&self.socket_dir.to_string_lossy(), true),
            encoded(user, false),
        )
    }

    /// The address of `database` for the superuser.
    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, database)
    }
}

/// Percent-encodes all but letters, digits and `-._~`, and slashes where `keep_slashes`.
fn encoded(text: &str, keep_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slashes && byte == b'/');
        if plain {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_encodes_what_an_address_cannot_hold() {
        let connection = Connection::new("/tmp/a b&c/ü+".into());
        assert_eq!(
            connection.url("al?ice", "my/db"),
            "postgres:///my%2Fdb?host=/tmp/a%20b%26c/%C3%BC%2B&port=5432&user=al%3Fice&sslmode=disable"
        );
        assert_eq!(
            connection.superuser_url("payonce"),
            "postgres:///payonce?host=/tmp/a%20b%26c/%C3%BC%2B&port=5432&user=postgres&sslmode=disable"
        );
    }
}
