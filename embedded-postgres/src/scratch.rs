//! Folders for servers that are not meant to last.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::{Error, folder::Folder, predecessor};

/// Marks a folder as one of these; the maker's process id follows.
const PREFIX: &str = "payonce-postgres-";

/// A folder for temporary files of a run: gone when this is dropped. What a killed process left is removed by
/// the next one that makes such a folder.
#[derive(Debug)]
pub struct ScratchFolder {
    folder: tempfile::TempDir,
}

impl ScratchFolder {
    /// Makes a folder under the system's one for temporary files, and removes those whose makers are dead.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create() -> Result<Self, Error> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir_in(&parent)
            .map_err(Error::io("create a folder in", &parent))?;
        // The server's account has to pass.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(folder.path(), mode)
            .map_err(Error::io("set the permissions of", folder.path()))?;
        Ok(Self { folder })
    }

    /// Where a server's data goes.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("postgres")
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Best effort: what stays is tried again next time.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = parent.read_dir() else {
        return;
    };
    for entry in entries.flatten() {
        let maker = entry.file_name().to_str().and_then(maker);
        let ours = entry
            .metadata()
            .is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw());
        let abandoned = maker.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists());
        if ours
            && abandoned
            && let Err(error) = remove(&entry.path())
        {
            tracing::warn!(%error, "a folder of a dead process stays");
        }
    }
}

/// The process that made the folder of this name.
fn maker(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// A maker may live where its id is not seen, in a container with the same temporary folder: the lock tells.
fn remove(path: &Path) -> Result<(), Error> {
    let database = Folder::at(&path.join("postgres"))?;
    if database.path().exists() {
        let _lock = database.lock()?;
        predecessor::stop(&database)?;
        database.remove_short_socket_dir();
    }
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_processes_are_removed_and_others_kept() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join(format!("{PREFIX}4194999-abc")); // beyond the largest process id
        let living = parent.path().join(format!("{PREFIX}{}-abc", std::process::id()));
        let other = parent.path().join("payonce-postgres");
        let held = parent.path().join(format!("{PREFIX}4194998-abc"));
        for folder in [&dead, &living, &other, &held] {
            std::fs::create_dir(folder).unwrap();
        }
        let lock = Folder::at(&held.join("postgres")).unwrap().lock().unwrap();
        remove_abandoned(parent.path());
        assert!(!dead.exists());
        assert!(living.exists() && other.exists() && held.exists());
        drop(lock);
        remove_abandoned(parent.path());
        assert!(!held.exists());
    }
}
