//! The server that an earlier owner of a folder left behind.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::Error;
use crate::folder::Folder;

/// How long a fast shutdown may take: it writes everything back first.
const FAST: Duration = Duration::from_secs(60);

/// How long an immediate shutdown may take.
const IMMEDIATE: Duration = Duration::from_secs(15);

/// What `postmaster.pid` says.
#[derive(Debug)]
pub(crate) struct PidFile {
    pub(crate) pid: u32,
    pub(crate) ready: bool,
}

impl PidFile {
    /// Reads it, where there is a whole one: its first line is the server's id, its eighth its state.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let pid = text.lines().next()?.trim().parse().ok()?;
        let ready = text.lines().nth(7).is_some_and(|state| state.trim() == "ready");
        Some(Self { pid, ready })
    }
}

/// Waits until no process of a server works in the folder any more, asking the server to stop first: it is
/// stopping already if the kernel told it that its owner died. Call with the folder locked.
pub(crate) fn stop(folder: &Folder) -> Result<(), Error> {
    for data in [folder.unfinished_data(), folder.data()] {
        stop_in(&data)?;
        remove_misleading_pid_file(&data);
    }
    Ok(())
}

fn stop_in(data: &Path) -> Result<(), Error> {
    let began = Instant::now();
    let mut asked = None;
    loop {
        let processes = working_in(data);
        let Some(&first) = processes.first() else {
            return Ok(());
        };
        let waited = began.elapsed();
        if waited > FAST + IMMEDIATE {
            return Err(Error::PredecessorStays { folder: data.to_owned(), pid: first });
        }
        let signal = if waited > FAST { Signal::QUIT } else { Signal::INT };
        if asked != Some(signal) {
            asked = Some(signal);
            tracing::info!(
                data = %data.display(), ?processes, ?signal,
                "waiting for the server of an earlier owner to stop"
            );
            ask(data, &processes, signal);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Signals the server alone, as it takes its workers with it; workers without a server are signalled themselves.
fn ask(data: &Path, processes: &[u32], signal: Signal) {
    let server = PidFile::read(data).map(|file| file.pid).filter(|pid| processes.contains(pid));
    let whom = match &server {
        Some(pid) => std::slice::from_ref(pid),
        None => processes,
    };
    for pid in whom {
        let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
        // A refusal or a process just gone shows in the next round.
        let _ = pid.map(|pid| rustix::process::kill_process(pid, signal));
    }
}

/// Postgres copes with the pid file of a server that is gone, unless an unrelated process has its id by now (as
/// after a restart of a container): then it refuses to start, and the file has to go. That no server
/// works here was just seen, and Postgres itself still refuses a cluster whose shared memory is in use.
fn remove_misleading_pid_file(data: &Path) {
    let taken = |file: &PidFile| Path::new("/proc").join(file.pid.to_string()).exists();
    if let Some(file) = PidFile::read(data).filter(taken) {
        tracing::info!(pid = file.pid, "removing the pid file of a server that is gone");
        // If it stays, the server says so in its log.
        let _ = std::fs::remove_file(data.join("postmaster.pid"));
    }
}

/// The processes of Postgres whose working directory is the cluster, as that of every one of its processes is.
pub(crate) fn working_in(data: &Path) -> Vec<u32> {
    let Ok(cluster) = data.metadata() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut hidden = Vec::new();
    for pid in processes_of_postgres() {
        match Path::new("/proc").join(pid.to_string()).join("cwd").metadata() {
            Ok(cwd) if (cwd.dev(), cwd.ino()) == (cluster.dev(), cluster.ino()) => found.push(pid),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => hidden.push(pid),
            // Works elsewhere, or ended just now.
            _ => {}
        }
    }
    found.extend(working_in_as_seen_by_its_owner(data, &cluster, &hidden));
    found
}

fn processes_of_postgres() -> impl Iterator<Item = u32> {
    let entries = Path::new("/proc").read_dir().into_iter().flatten();
    let pids = entries.filter_map(|entry| -> Option<u32> { entry.ok()?.file_name().to_str()?.parse().ok() });
    pids.filter(|pid| {
        let name = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"));
        name.is_ok_and(|name| name.trim_end() == "postgres")
    })
}

/// Root without the capability `SYS_PTRACE`, as in most containers, may not look where processes of others work. The
/// cluster's owner may look where its own do, and as root we may ask as that owner. The pid file alone would not do:
/// after a restart of a container the process of that id may well be another cluster's.
fn working_in_as_seen_by_its_owner(data: &Path, cluster: &Metadata, pids: &[u32]) -> Vec<u32> {
    if pids.is_empty() || !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let look =
        r#"data=$1; shift; for pid; do if [ "/proc/$pid/cwd" -ef "$data" ]; then echo "$pid"; fi; done"#;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", look, "sh"]).arg(data).args(pids.iter().map(u32::to_string));
    command.uid(cluster.uid()).gid(cluster.gid()).current_dir("/").env_clear();
    command.stdin(Stdio::null()).stderr(Stdio::null());
    match command.output() {
        Ok(output) => {
            String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.parse().ok()).collect()
        }
        Err(error) => {
            tracing::warn!(%error, uid = cluster.uid(), "cannot look for servers as the owner of the cluster");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_ready_only_when_its_last_line_says_so() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("postmaster.pid");
        assert!(PidFile::read(data.path()).is_none());
        std::fs::write(&path, "").unwrap();
        assert!(PidFile::read(data.path()).is_none());
        let begun = "77\n/data\n1700000000\n5432\n/socket\n\n  123 4\n";
        for (state, ready) in [("", false), ("starting\n", false), ("ready   \n", true)] {
            std::fs::write(&path, format!("{begun}{state}")).unwrap();
            let file = PidFile::read(data.path()).unwrap();
            assert_eq!((file.pid, file.ready), (77, ready), "{state:?}");
        }
    }

    #[test]
    fn a_pid_file_that_names_a_stranger_is_removed_and_another_kept() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("postmaster.pid");
        std::fs::write(&path, "4194999\n").unwrap(); // beyond the largest process id
        remove_misleading_pid_file(data.path());
        assert!(path.exists());
        std::fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        remove_misleading_pid_file(data.path());
        assert!(!path.exists());
    }
}
