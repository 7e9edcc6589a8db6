//! What lies in a data folder, and who owns it.
//!
//! ```text
//! owner.lock   locked by the owner while it lives; holds its process id
//! data/        the cluster, of the server's account alone
//! socket/      the server's socket, of the server's account alone
//! socket.path  instead of socket/, when that path would be too long: where the socket's folder is
//! server.log   what the server says
//! ```

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::connection::PORT;
use crate::{Error, account::Account};

/// The longest path of a socket that every client takes: the system's limit is 108 bytes on Linux and 104 elsewhere,
/// with a zero at the end.
const LONGEST_SOCKET_PATH: usize = 103;

/// How large the log may grow before a start sets it aside as `server.log.1`.
const LARGEST_LOG_BYTES: u64 = 16 * 1024 * 1024;

/// How much of the log's end an error shows.
const TAIL_BYTES: u64 = 4096;

/// Being the owner of a folder.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would not do: a process that another thread is just starting has it open, too, for a moment.
        // Where it fails, the file is closed all the same.
        let _ = self.0.unlock();
    }
}

/// A data folder, by absolute path.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Names a folder that need not exist.
    pub(crate) fn at(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        match path.to_str() {
            Some(_) => Ok(Self(path)),
            None => Err(Error::NotUtf8 { path }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Where a cluster is made before it takes its place, so that one half made is never mistaken for one.
    pub(crate) fn unfinished_data(&self) -> PathBuf {
        self.0.join("data.new")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("owner.lock")
    }

    fn socket_note(&self) -> PathBuf {
        self.0.join("socket.path")
    }

    /// Makes the folder where it is missing, and its owner us, until the lock is dropped.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        self.create()?;
        let path = self.lock_file();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Without it the message only lacks the process id.
                let _ = file.read_to_string(&mut text);
                let pid = text.trim().parse().ok();
                return Err(Error::InUse { folder: self.0.clone(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(Error::io("write", &path))?;
        Ok(Lock(file))
    }

    /// Root's folder is passable, because the account of the server must get to `data` and `socket` within; both
    /// are that account's alone.
    fn create(&self) -> Result<(), Error> {
        let path = &self.0;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
        match DirBuilder::new().mode(mode).create(path) {
            // The umask may have taken bits away.
            Ok(()) => return set_mode(path, mode),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", path)(error)),
        }
        let mut entries = path.read_dir().map_err(Error::io("read", path))?;
        if entries.next().is_none() {
            return set_mode(path, mode);
        }
        if self.lock_file().exists() {
            return Ok(());
        }
        Err(Error::NotOurs { folder: path.clone() })
    }

    /// The version of PostgreSQL that made the cluster, where there is one.
    pub(crate) fn cluster_version(&self) -> Option<u32> {
        std::fs::read_to_string(self.data().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// The log, to append to.
    pub(crate) fn open_log(&self) -> Result<File, Error> {
        let path = self.log();
        if path.metadata().is_ok_and(|found| found.len() > LARGEST_LOG_BYTES) {
            let aside = self.0.join("server.log.1");
            std::fs::rename(&path, &aside).map_err(Error::io("rename", &path))?;
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(Error::io("open", &path))
    }

    /// The end of the log.
    pub(crate) fn log_tail(&self) -> String {
        let read = || {
            let mut file = File::open(self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error: std::io::Error| format!("(cannot be read: {error})"))
    }

    /// Makes the folder for the socket: within, unless its path would be too long for a socket.
    pub(crate) fn prepare_socket_dir(&self, account: &Account) -> Result<PathBuf, Error> {
        self.remove_short_socket_dir();
        let within = self.0.join("socket");
        if fits_a_socket(&within) {
            private_dir(&within, account)?;
            return Ok(within);
        }
        let temporary = Some(std::env::temp_dir())
            .filter(|dir| fits_a_socket(&dir.join("payonce-XXXXXX")))
            .unwrap_or_else(|| PathBuf::from("/tmp"));
        let short = tempfile::Builder::new()
            .prefix("payonce-")
            .permissions(PermissionsExt::from_mode(0o700))
            .tempdir_in(&temporary)
            .map_err(Error::io("create a folder in", &temporary))?
            .keep();
        let note = self.socket_note();
        std::fs::write(&note, short.as_os_str().as_encoded_bytes()).map_err(Error::io("write", &note))?;
        account.own(&short)?;
        account.check_reach(&short)?;
        Ok(short)
    }

    /// The folder of the socket of the server that runs here.
    pub(crate) fn socket_dir(&self) -> PathBuf {
        match std::fs::read_to_string(self.socket_note()) {
            Ok(path) => PathBuf::from(path),
            Err(_) => self.0.join("socket"),
        }
    }

    /// Removes the socket's folder outside of this one, if there is one. Best effort: it is empty by then.
    pub(crate) fn remove_short_socket_dir(&self) {
        let note = self.socket_note();
        let Ok(path) = std::fs::read_to_string(&note) else {
            return;
        };
        for name in [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")] {
            let _ = std::fs::remove_file(Path::new(&path).join(name));
        }
        let _ = std::fs::remove_dir(&path);
        let _ = std::fs::remove_file(note);
    }
}

/// Makes a folder that only the account may enter, or makes an existing one so.
pub(crate) fn private_dir(path: &Path, account: &Account) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::io("create", path)(error));
        }
        _ => {}
    }
    set_mode(path, 0o700)?;
    account.own(path)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
        .map_err(Error::io("set the permissions of", path))
}

/// Whether a socket in the folder has an address that every client takes: short enough, and without a comma,
/// at which libpq would part it.
fn fits_a_socket(folder: &Path) -> bool {
    let bytes = folder.as_os_str().as_encoded_bytes();
    let length = bytes.len() + format!("/.s.PGSQL.{PORT}").len();
    length <= LONGEST_SOCKET_PATH && !bytes.contains(&b',') && !bytes.contains(&b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_elses_files_is_refused_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path()).unwrap();
        std::fs::write(root.path().join("thesis.txt"), "years").unwrap();
        let mode = root.path().metadata().unwrap().permissions();
        assert!(matches!(folder.lock(), Err(Error::NotOurs { .. })));
        assert_eq!(root.path().metadata().unwrap().permissions(), mode);
        assert_eq!(root.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn the_second_owner_is_told_the_first() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(&root.path().join("a/b")).unwrap();
        let first = folder.lock().unwrap();
        let refusal = folder.lock().unwrap_err();
        assert!(matches!(refusal, Error::InUse { pid: Some(pid), .. } if pid == std::process::id()));
        drop(first);
        folder.lock().unwrap();
    }

    #[test]
    fn a_folder_is_free_once_its_owner_is_done_whoever_inherited_the_lock() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path()).unwrap();
        let lock = folder.lock().unwrap();
        // as a process has it that is being started
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        folder.lock().unwrap();
        drop(inherited);
    }

    #[test]
    fn only_short_plain_paths_hold_a_socket() {
        assert!(fits_a_socket(Path::new("/var/lib/payonce/postgres/socket")));
        assert!(!fits_a_socket(Path::new("/a,b")));
        let longest = format!("/{}", "x".repeat(LONGEST_SOCKET_PATH - 1 - "/.s.PGSQL.5432".len()));
        assert!(fits_a_socket(Path::new(&longest)));
        assert!(!fits_a_socket(Path::new(&format!("{longest}x"))));
    }
}
