//! Programs of this workspace as child processes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use embedded_postgres::{Supervised, dies_with_its_parent};
use rustix::process::Signal;

use crate::Error;

/// How long a program may take until it says that it is ready.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a program may take to end that was asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(40);
/// How much of a log an error shows.
const TAIL_LINES: usize = 100;

/// The path of a program of this workspace: it lies beside ours.
///
/// # Errors
/// [`Error::NotBuilt`] when it does not.
pub fn program(name: &'static str) -> Result<PathBuf, Error> {
    let ours = std::env::current_exe().map_err(Error::io("find this program's own file"))?;
    let mut folder = ours.parent().unwrap_or(Path::new("/")).to_owned();
    // test binaries lie one deeper
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    if path.is_file() { Ok(path) } else { Err(Error::NotBuilt { name, folder }) }
}

/// How to start a program.
#[derive(Debug, Clone)]
pub struct Launch {
    name: &'static str,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    log: PathBuf,
}

impl Launch {
    /// The program `name`, which says all it has to say to the end of the file `log`.
    pub fn new(name: &'static str, log: impl Into<PathBuf>) -> Self {
        Self { name, arguments: Vec::new(), environment: Vec::new(), log: log.into() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    fn command(&self) -> Result<Command, Error> {
        let path = program(self.name)?;
        let mut command = dies_with_its_parent(&path, "TERM").unwrap_or_else(|| Command::new(&path));
        command.args(&self.arguments);
        // what surrounds a test is not meant for the program under test
        for (name, _) in std::env::vars_os() {
            let configures = name.to_str().is_some_and(configures_a_program);
            if configures {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // a Ctrl-C at the terminal is for us, who end what we started
        command.process_group(0).stdin(Stdio::null());
        Ok(command)
    }

    fn open_log(&self) -> Result<File, Error> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        log.map_err(Error::io(format_args!("open {}", self.log.display())))
    }

    /// Starts the server, and returns when it has said where it listens. Blocks the thread.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready in time.
    pub fn start(&self) -> Result<Running, Error> {
        let (output, input) = std::io::pipe().map_err(Error::io("make a pipe"))?;
        let mut log = self.open_log()?;
        let stderr = log.try_clone().map_err(Error::io("open the log twice"))?;
        let mut command = self.command()?;
        command.stdout(input).stderr(stderr);
        let child = Supervised::spawn(command).map_err(Error::io(format_args!("start {}", self.name)))?;
        let mut running =
            Running { name: self.name, child, log: self.log.clone(), url: String::new(), ended: false };
        let (announce, announced) = mpsc::channel();
        let wanted = format!("{} listening on ", self.name);
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || copy_output(output, &mut log, &wanted, &announce))
            .map_err(Error::io("start a thread"))?;
        let until = Instant::now() + START_PATIENCE;
        running.url = loop {
            match announced.recv_timeout(Duration::from_millis(50)) {
                Ok(url) => break url,
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(running.not_ready("it took too long".to_owned()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = running.child.wait_timeout(Duration::from_secs(5));
                    let how = status.map_or("it closed its output".to_owned(), |status| status.to_string());
                    return Err(running.not_ready(how));
                }
            }
        };
        Ok(running)
    }

    /// Runs the command to its end and returns what it printed. Blocks the thread.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub fn run(&self) -> Result<String, Error> {
        let ended = self.outcome()?;
        if ended.status.success() {
            return Ok(ended.stdout);
        }
        Err(Error::Failed {
            command: self.to_string(),
            status: ended.status.to_string(),
            said: last_lines(&(ended.stdout + &ended.stderr)),
        })
    }

    /// Runs the command to its end and returns how it ended. Blocks the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn outcome(&self) -> Result<Ended, Error> {
        let output = self.command()?.output().map_err(Error::io(format_args!("run {}", self.name)))?;
        self.open_log()?.write_all(&output.stderr).map_err(Error::io("write to the log"))?;
        Ok(Ended {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl std::fmt::Display for Launch {
    /// The command line without values, of which some are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)?;
        let words = self.arguments.iter().filter_map(|argument| argument.to_str());
        words.take_while(|word| !word.starts_with('-')).try_for_each(|word| write!(f, " {word}"))
    }
}

fn configures_a_program(variable: &str) -> bool {
    variable == "DATABASE_URL"
        || ["PAYONCE_", "PSP_SANDBOX_"].iter().any(|prefix| variable.starts_with(prefix))
}

fn copy_output(output: PipeReader, log: &mut File, wanted: &str, announce: &Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(url) = line.strip_prefix(wanted) {
            // somebody who gave up waiting needs it no more
            let _ = announce.send(url.trim().to_owned());
        }
        // the log is for people; a run does not fail for want of it
        let _ = writeln!(log, "{line}");
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// A server that is ready. Stopped when this is dropped.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    child: Supervised,
    log: PathBuf,
    url: String,
    ended: bool,
}

impl Running {
    /// Where it listens, as it said.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.child.exit_status().is_none()
    }

    /// Ends it as a power cut would: `kill -9`. Blocks until the process is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(mut self) -> Result<(), Error> {
        self.ended = true;
        self.child.signal(Signal::KILL).map_err(Error::io(format_args!("kill {}", self.name)))?;
        match self.child.wait_timeout(STOP_PATIENCE) {
            Some(_) => Ok(()),
            None => Err(Error::Unexpected(format!("{} outlived a kill", self.name))),
        }
    }

    /// Stops it where it stands, or lets it go on: SIGSTOP, SIGCONT.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn suspend(&self, suspended: bool) -> Result<(), Error> {
        let signal = if suspended { Signal::STOP } else { Signal::CONT };
        self.child.signal(signal).map_err(Error::io(format_args!("signal {}", self.name)))
    }

    /// Asks it to end: SIGTERM.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn terminate(&self) -> Result<(), Error> {
        self.child.signal(Signal::TERM).map_err(Error::io(format_args!("signal {}", self.name)))
    }

    /// Waits for its end. Blocks the thread.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn wait(mut self) -> Result<ExitStatus, Error> {
        self.ended = true;
        if let Some(status) = self.child.wait_timeout(STOP_PATIENCE) {
            return Ok(status);
        }
        let _ = self.child.signal(Signal::KILL);
        Err(Error::Unexpected(format!("{} did not end within {} s", self.name, STOP_PATIENCE.as_secs())))
    }

    /// Asks it to end and waits until it has. Blocks the thread.
    ///
    /// # Errors
    /// When it does not end in time, or not well.
    pub fn stop(self) -> Result<(), Error> {
        self.terminate()?;
        self.end_well()
    }

    /// Waits for its end, of which somebody has told it, and which is to be a good one.
    ///
    /// # Errors
    /// When it fails, or does not end in time.
    pub fn end_well(self) -> Result<(), Error> {
        let (name, log) = (self.name, self.log.clone());
        let status = self.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Failed { command: name.to_owned(), status: status.to_string(), said: tail(&log) })
    }

    /// The end of what it said.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    fn not_ready(&self, reason: String) -> Error {
        Error::NotReady { name: self.name, reason, log: self.log.clone(), tail: self.tail() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended || !self.is_alive() {
            return;
        }
        // it may be suspended
        let _ = self.child.signal(Signal::CONT);
        // TERM first: a service that is killed leaves its database to end after it
        let _ = self.child.signal(Signal::TERM);
        if self.child.wait_timeout(Duration::from_secs(15)).is_none() {
            let _ = self.child.signal(Signal::KILL);
            self.child.wait_timeout(Duration::from_secs(5));
        }
    }
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    last_lines(&fs::read_to_string(log).unwrap_or_default())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
