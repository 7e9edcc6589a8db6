//! Finding the installed server programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// The oldest version that is supported.
const OLDEST: u32 = 14;

/// A folder that holds `initdb` and `postgres`.
#[derive(Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
    pub(crate) major: u32,
}

impl Binaries {
    /// Looks for a server: `PG_BIN_DIR` alone where it is set, else what `pg_config` says, Debian's folders
    /// from the newest down, and `PATH`. With `major` only that version will do: a cluster is bound to the
    /// version that made it.
    pub(crate) fn find(major: Option<u32>) -> Result<Self, Error> {
        let mut tried = Vec::new();
        for (origin, folder) in candidates() {
            let Some(folder) = folder else {
                tried.push(format!("{origin} (nothing there)"));
                continue;
            };
            match Self::probe(&folder, major) {
                Ok(found) => return Ok(found),
                Err(reason) => tried.push(format!("{origin} {}: {reason}", folder.display())),
            }
        }
        let wanted = match major {
            Some(major) => format!("version {major}, which made the data folder"),
            None => format!("version {OLDEST} or newer"),
        };
        Err(Error::BinariesNotFound { wanted, tried: tried.join("; ") })
    }

    /// The path of one of the server's programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn probe(folder: &Path, wanted: Option<u32>) -> Result<Self, String> {
        for name in ["initdb", "postgres"] {
            if !folder.join(name).is_file() {
                return Err(format!("no {name} in it"));
            }
        }
        let major = version(&folder.join("postgres"))?;
        acceptable(major, wanted)?;
        Ok(Self { folder: folder.to_owned(), major })
    }
}

fn acceptable(major: u32, wanted: Option<u32>) -> Result<(), String> {
    match wanted {
        _ if major < OLDEST => Err(format!("version {major} is older than {OLDEST}")),
        Some(wanted) if wanted != major => Err(format!("is version {major}")),
        _ => Ok(()),
    }
}

/// Every place to look at, in order, with the words that name it; `None` where the place is empty.
fn candidates() -> Vec<(&'static str, Option<PathBuf>)> {
    if let Some(folder) = std::env::var_os("PG_BIN_DIR").filter(|value| !value.is_empty()) {
        // Said explicitly: anything else would be a surprise.
        return vec![("PG_BIN_DIR", Some(folder.into()))];
    }
    let mut found = vec![("pg_config --bindir", pg_config())];
    let debian = debian_folders(Path::new("/usr/lib/postgresql"));
    if debian.is_empty() {
        found.push(("/usr/lib/postgresql/*/bin", None));
    }
    found.extend(debian.into_iter().map(|folder| ("installed", Some(folder))));
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.push(("PATH", std::env::split_paths(&path).find(|dir| dir.join("initdb").is_file())));
    found
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
}

/// The `bin` folders of Debian's layout, newest version first.
fn debian_folders(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = root.read_dir() else {
        return Vec::new();
    };
    let mut versions: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    versions.into_iter().map(|version| root.join(version.to_string()).join("bin")).collect()
}

fn version(postgres: &Path) -> Result<u32, String> {
    let output = Command::new(postgres)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("postgres --version: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| format!("postgres --version says {:?}", text.trim()))
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(text: &str) -> Option<u32> {
    let number = text.split_whitespace().nth(2)?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_prints() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 19beta2"), Some(19));
        assert_eq!(parse_version("postgres: not found"), None);
    }

    #[test]
    fn the_newest_of_debians_versions_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9.6", "14", "9", "16", "lost+found"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let found = debian_folders(root.path());
        let expected: Vec<_> =
            ["16", "14", "9"].iter().map(|name| root.path().join(name).join("bin")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_version_that_cannot_be_used_is_refused_with_its_number() {
        assert_eq!(acceptable(13, None).unwrap_err(), "version 13 is older than 14");
        assert_eq!(acceptable(15, Some(16)).unwrap_err(), "is version 15");
        acceptable(14, None).unwrap();
        acceptable(16, Some(16)).unwrap();
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(Binaries::probe(empty.path(), None).unwrap_err(), "no initdb in it");
    }
}
