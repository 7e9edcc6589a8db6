//! Child processes that are waited for from their first moment and end with their parent.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// A command for `program` that the kernel sends `signal` (a name such as `INT`) when the thread that
/// spawned it ends, however it ends. `None` where the system's `setpriv` cannot do that.
///
/// The thread counts, not the process: spawn it with [`Supervised::spawn`], whose thread lives as long as the child.
pub fn dies_with_its_parent(program: impl AsRef<OsStr>, signal: &str) -> Option<Command> {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    let supported = *SUPPORTED.get_or_init(|| {
        let mut probe = Command::new("setpriv");
        probe.args(["--pdeathsig", "INT", "true"]);
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    if !supported {
        return None;
    }
    // Had we died before setpriv asked the kernel, nobody would ever tell: so the child then looks whose child it is.
    let orphan_ends = r#"[ "$PPID" = "$1" ] || exit 125; shift; exec "$@""#;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "sh", "-c", orphan_ends, "sh"]);
    command.arg(std::process::id().to_string()).arg(program);
    Some(command)
}

/// A child process with a thread of its own that spawned it and waits for it.
///
/// Its exit is noticed when it happens, and a signal never reaches another process that got its id: it is
/// sent under the lock under which the child is reaped. Dropping this neither stops nor abandons the child: the thread
/// goes on waiting.
#[derive(Debug)]
pub struct Supervised {
    pid: Pid,
    exit: Arc<Exit>,
    waiter: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Exit {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl Supervised {
    /// Spawns the command.
    ///
    /// # Errors
    /// What the system says when the thread or the process cannot be made.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        let exit = Arc::new(Exit::default());
        let (started, start) = mpsc::channel();
        let theirs = Arc::clone(&exit);
        let waiter = std::thread::Builder::new().name("child".to_owned()).spawn(move || {
            match command.spawn() {
                Ok(child) => wait_for(child, &started, &theirs),
                // The receiver waits for exactly one message.
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        let pid = start.recv().map_err(io::Error::other)??;
        Ok(Self { pid, exit, waiter: Some(waiter) })
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// How the child ended, if it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal, unless the child has ended already.
    ///
    /// # Errors
    /// What the system says when it refuses.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let status = self.exit.status.lock().unwrap_or_else(PoisonError::into_inner);
        match *status {
            Some(_) => Ok(()),
            None => Ok(rustix::process::kill_process(self.pid, signal)?),
        }
    }

    /// Waits for the child's end, at most so long.
    pub fn wait_timeout(&self, patience: Duration) -> Option<ExitStatus> {
        let status = self.exit.status.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.exit.changed.wait_timeout_while(status, patience, |status| status.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for the child's end.
    ///
    /// # Errors
    /// When the thread that waits for it failed.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        if let Some(waiter) = self.waiter.take() {
            waiter.join().map_err(|_| io::Error::other("the waiting thread panicked"))?;
        }
        self.exit_status().ok_or_else(|| io::Error::other("the child's exit status is not known"))
    }
}

fn wait_for(mut child: Child, started: &Sender<io::Result<Pid>>, exit: &Exit) {
    let pid = Pid::from_child(&child);
    // The receiver waits for exactly one message.
    let _ = started.send(Ok(pid));
    // Wait without reaping, so that the id stays taken until the lock is held.
    while let Err(rustix::io::Errno::INTR) =
        rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {}
    let mut status = exit.status.lock().unwrap_or_else(PoisonError::into_inner);
    // An end that cannot be learnt (the parent may have been started with its children's ends ignored) counts as failed.
    *status = Some(child.wait().unwrap_or_else(|_| ExitStatus::from_raw(255 << 8)));
    exit.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[test]
    fn a_child_reports_how_it_ended() {
        let child = Supervised::spawn(shell("exit 7")).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }

    #[test]
    fn a_signal_ends_a_child_and_is_harmless_afterwards() {
        let child = Supervised::spawn(shell("exec sleep 1000")).unwrap();
        assert_eq!(child.exit_status(), None);
        assert_eq!(child.wait_timeout(Duration::ZERO), None);
        child.signal(Signal::KILL).unwrap();
        let status = child.wait_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(status.signal(), Some(9));
        child.signal(Signal::KILL).unwrap();
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_at_once() {
        let error = Supervised::spawn(Command::new("/no/such/program")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
