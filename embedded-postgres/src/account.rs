//! The account that the server runs as.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// Who runs the server: ourselves, or as root an ordinary account, because Postgres refuses root.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether it is another than ours, so that processes and files must be handed over to it.
    pub(crate) handed_over: bool,
}

impl Account {
    /// Chooses the account: ours; as root the owner of the cluster `data` where there is one already, else
    /// `postgres`, else `nobody` (initdb insists on an account that has a name).
    pub(crate) fn choose(folder: &Path, data: &Path) -> Result<Self, Error> {
        let own = rustix::process::geteuid().as_raw();
        let owner = data.metadata().ok().map(|found| (found.uid(), found.gid()));
        if own != 0 {
            if let Some((owner, _)) = owner.filter(|(uid, _)| *uid != own) {
                return Err(Error::OtherUser { folder: folder.to_owned(), owner });
            }
            let gid = rustix::process::getegid().as_raw();
            return Ok(Self { name: format!("{own}"), uid: own, gid, handed_over: false });
        }
        if let Some((uid, gid)) = owner.filter(|(uid, _)| *uid != 0) {
            let name = id(&["-un", &uid.to_string()]).unwrap_or_else(|| uid.to_string());
            return Ok(Self { name, uid, gid, handed_over: true });
        }
        ["postgres", "nobody"].into_iter().find_map(Self::named).ok_or(Error::NoAccount)
    }

    fn named(name: &str) -> Option<Self> {
        let uid = id(&["-u", name])?.parse().ok()?;
        let gid = id(&["-g", name])?.parse().ok()?;
        Some(Self { name: name.to_owned(), uid, gid, handed_over: true })
    }

    /// Makes `command` run as this account.
    pub(crate) fn run(&self, command: &mut Command) {
        if self.handed_over {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Hands a file or folder over to this account.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        if !self.handed_over {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).map_err(Error::io("hand over", path))
    }

    /// Refuses a folder that this account cannot get to, naming the first folder on the way that stops it.
    pub(crate) fn check_reach(&self, folder: &Path) -> Result<(), Error> {
        if !self.handed_over || self.enters(folder) {
            return Ok(());
        }
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        let barrier = way.into_iter().find(|step| !self.enters(step)).unwrap_or(folder);
        Err(Error::NotReachable {
            folder: folder.to_owned(),
            barrier: barrier.to_owned(),
            account: self.name.clone(),
        })
    }

    /// Asks the system by trying: permissions may also come from lists that the mode does not show.
    fn enters(&self, folder: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cd -- \"$1\"", "sh"]).arg(folder).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.run(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

/// What the program `id` answers: it knows every source of accounts that the system is set up with.
fn id(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id").args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Where `application` keeps its database when nobody says otherwise: `/var/lib/APPLICATION/postgres` as root,
/// where the server's account can get to it, else under the user's data folder (`XDG_DATA_HOME`, or
/// `~/.local/share`). Without a home: a hidden folder in the current one.
pub fn default_folder(application: &str) -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if rustix::process::geteuid().is_root() {
        return Path::new("/var/lib").join(application).join("postgres");
    }
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join(application).join("postgres"))
        .unwrap_or_else(|| PathBuf::from(format!(".{application}")).join("postgres"))
}
