//! The server's life as its owner and others see it, with real servers and real owner processes.

#![expect(clippy::unwrap_used, reason = "helpers of tests are outside of what clippy takes for a test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use embedded_postgres::{Durability, EmbeddedPostgres, Error, Options, Session};
use rustix::process::{Pid, Signal};

const WITH_POSTGRES: &str = env!("CARGO_BIN_EXE_with-postgres");

/// A folder that the server's account may pass; removed at the end.
fn scratch() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn throwaway(folder: &Path) -> Options {
    Options::new(folder, Durability::Throwaway)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says so past the test runner's capture.
fn skipped(what: &str, reason: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "skipped: {what}: {reason}").unwrap();
}

fn psql(url: &str, statement: &str) -> String {
    let mut command = Command::new("psql");
    let output = command.args(["-XAtqd", url, "-c", statement]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Looks until it is so.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// The server's id, as it left it itself.
fn server_pid(folder: &Path) -> u32 {
    let text = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn runs(pid: u32) -> bool {
    // A dead process whose parent has not noticed yet does not run.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// `with-postgres` as the owner of the folder, with a command that waits; returns once the server answers.
fn owner(folder: &Path, prepare: impl FnOnce(&mut Command)) -> Child {
    let mut command = Command::new(WITH_POSTGRES);
    command.arg("--folder").arg(folder).args(["--", "/bin/sh", "-c", "echo ready; read -r _"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    prepare(&mut command);
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn kill(mut owner: Child) {
    owner.kill().unwrap();
    owner.wait().unwrap();
}

#[test]
fn what_was_committed_survives_a_restart_and_nothing_listens_on_a_port() {
    let root = scratch();
    let folder = root.path().join("new/postgres");
    let options = Options::new(&folder, Durability::Durable);
    let first = EmbeddedPostgres::start(&options).unwrap();
    first.ensure_database("shop's \"own\"").unwrap();
    let url = first.superuser_url("shop's \"own\"");
    psql(&url, "CREATE TABLE kept AS SELECT 42 AS answer");
    for (setting, value) in [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("TimeZone", "UTC"),
    ] {
        let shown = psql(&url, &format!("SELECT current_setting('{setting}', true)"));
        if !(setting == "lc_collate" && shown.is_empty()) {
            assert_eq!(shown, value, "{setting}");
        }
    }
    let pid = first.server().id();
    first.shutdown().unwrap();
    assert!(!runs(pid));
    assert!(!folder.join("data/postmaster.pid").exists());

    let second = EmbeddedPostgres::start(&options).unwrap();
    second.ensure_database("shop's \"own\"").unwrap();
    assert_eq!(psql(&second.superuser_url("shop's \"own\""), "SELECT answer FROM kept"), "42");
}

#[test]
fn only_the_servers_account_may_enter_the_socket_and_the_data() {
    let root = scratch();
    let folder = root.path().join("postgres");
    let server = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    for private in [server.socket_dir(), &folder.join("data")] {
        assert_eq!(private.metadata().unwrap().mode() & 0o777, 0o700, "{}", private.display());
    }
    assert_ne!(server.socket_dir().metadata().unwrap().uid(), 0);
}

#[test]
fn a_second_owner_is_refused_and_may_join() {
    let root = scratch();
    let options = throwaway(root.path());
    let nobody = EmbeddedPostgres::connect_info(root.path()).unwrap_err();
    assert!(matches!(nobody, Error::NotRunning { .. }), "{nobody}");

    let first = EmbeddedPostgres::start(&options).unwrap();
    let refusal = EmbeddedPostgres::start(&options).unwrap_err();
    let message = refusal.to_string();
    assert!(matches!(refusal, Error::InUse { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(message.contains(root.path().to_str().unwrap()), "{message}");
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");

    let joined = EmbeddedPostgres::connect_info(root.path()).unwrap();
    assert_eq!(&joined, first.connection());
    assert_eq!(psql(&joined.superuser_url("postgres"), "SELECT 1"), "1");
    let session = EmbeddedPostgres::start_or_join(&options).unwrap();
    assert!(matches!(session, Session::Joined(_)));
    drop(session);
    assert_eq!(psql(&first.superuser_url("postgres"), "SELECT 1"), "1");
    first.shutdown().unwrap();
    assert!(matches!(EmbeddedPostgres::start_or_join(&options).unwrap(), Session::Own(_)));
}

#[test]
fn a_killed_owner_takes_its_server_along_cleanly() {
    let root = scratch();
    let folder = root.path().join("postgres");
    let child = owner(&folder, |_| ());
    let url = EmbeddedPostgres::connect_info(&folder).unwrap().superuser_url("payonce");
    psql(&url, "CREATE TABLE kept AS SELECT 42 AS answer");
    let pid = server_pid(&folder);
    kill(child);
    until("the server stopped by itself", || !runs(pid));
    let log = std::fs::read_to_string(folder.join("server.log")).unwrap();
    assert!(log.contains("received fast shutdown request"), "{log}");
    assert!(log.contains("database system is shut down"), "{log}");
    let next = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    assert_eq!(psql(&next.superuser_url("payonce"), "SELECT answer FROM kept"), "42");
}

#[test]
fn a_new_owner_waits_for_the_server_of_a_killed_one() {
    let root = scratch();
    let folder = root.path().join("postgres");
    for _ in 0..3 {
        // No wait in between: the server is still stopping.
        kill(owner(&folder, |_| ()));
    }
    let next = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    assert_eq!(psql(&next.superuser_url("payonce"), "SELECT 1"), "1");
    let log = std::fs::read_to_string(folder.join("server.log")).unwrap();
    assert_eq!(log.matches("received fast shutdown request").count(), 3, "{log}");
    assert!(!log.contains("was not properly shut down"), "{log}");
}

#[test]
fn without_setpriv_a_watcher_stops_the_server_of_a_killed_owner() {
    let root = scratch();
    let folder = root.path().join("postgres");
    let programs = root.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    for name in ["sh", "id"] {
        std::os::unix::fs::symlink(which(name), programs.join(name)).unwrap();
    }
    let server = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    let binaries = server.program("postgres").parent().unwrap().to_owned();
    server.shutdown().unwrap();

    let child = owner(&folder, |command| {
        command.env("PATH", &programs).env("PG_BIN_DIR", &binaries);
    });
    let pid = server_pid(&folder);
    kill(child);
    until("the server stopped by itself", || !runs(pid));
    assert!(!folder.join("data/postmaster.pid").exists());
}

fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()).unwrap()
}

#[test]
fn an_orphaned_server_is_stopped_before_a_new_one_starts() {
    let root = scratch();
    let folder = root.path().join("postgres");
    let server = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    let postgres = server.program("postgres");
    server.shutdown().unwrap();

    let data = folder.join("data").metadata().unwrap();
    let mut command = Command::new(postgres);
    command.arg("-D").arg(folder.join("data")).args(["-c", "listen_addresses=", "-c"]);
    command.arg(format!("unix_socket_directories={}", folder.join("socket").display()));
    command.current_dir("/").env_remove("PGPORT").stdout(Stdio::null()).stderr(Stdio::null());
    if is_root() {
        command.uid(data.uid()).gid(data.gid());
    }
    let mut orphan = command.spawn().unwrap();
    until("it runs", || EmbeddedPostgres::connect_info(&folder).is_ok());

    let next = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    assert!(orphan.wait().unwrap().success(), "it was not stopped in order");
    assert_ne!(next.server().id(), orphan.id());
    assert_eq!(psql(&next.superuser_url("postgres"), "SELECT 1"), "1");
}

#[test]
fn what_a_killed_server_leaves_does_not_keep_a_new_one_from_starting() {
    let root = scratch();
    let folder = root.path().join("postgres");
    let server = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    server.server().signal(Signal::KILL).unwrap();
    assert!(server.server().wait_timeout(Duration::from_secs(60)).is_some());
    drop(server);
    let pid_file = folder.join("data/postmaster.pid");
    assert!(pid_file.exists());
    let server = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    server.shutdown().unwrap();

    // An unrelated process got the old server's id.
    let mut stranger = Command::new("sleep");
    let data = folder.join("data").metadata().unwrap();
    if is_root() {
        stranger.uid(data.uid()).gid(data.gid());
    }
    let mut stranger = stranger.arg("1000").spawn().unwrap();
    let text = format!("{}\n{}\n1700000000\n5432\n\n\n\nready\n", stranger.id(), folder.display());
    std::fs::write(&pid_file, text).unwrap();
    let server = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    assert_eq!(psql(&server.superuser_url("postgres"), "SELECT 1"), "1");
    assert!(stranger.try_wait().unwrap().is_none(), "a stranger was signalled");
    kill(stranger);
}

#[test]
fn a_cluster_half_made_is_made_anew() {
    let root = scratch();
    let folder = root.path().join("postgres");
    let server = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    server.shutdown().unwrap();
    // As if the first start had been killed in the middle of making it.
    std::fs::rename(folder.join("data"), folder.join("data.new")).unwrap();
    std::fs::remove_file(folder.join("data.new/global/pg_control")).unwrap();
    let server = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    assert_eq!(psql(&server.superuser_url("postgres"), "SELECT 1"), "1");
    assert!(!folder.join("data.new").exists());
}

#[test]
fn a_long_or_odd_path_is_no_obstacle() {
    let root = scratch();
    let folder = root.path().join("x".repeat(120)).join("a, 'b\" & c");
    let server = EmbeddedPostgres::start(&throwaway(&folder)).unwrap();
    let socket_dir = server.socket_dir().to_owned();
    assert!(!socket_dir.starts_with(&folder));
    assert_eq!(socket_dir.metadata().unwrap().mode() & 0o777, 0o700);
    server.ensure_database("payonce").unwrap();
    let joined = EmbeddedPostgres::connect_info(&folder).unwrap();
    assert_eq!(psql(&joined.superuser_url("payonce"), "SELECT 1"), "1");
    server.shutdown().unwrap();
    assert!(!socket_dir.exists());
    assert!(!folder.join("socket.path").exists());
}

#[test]
fn a_failed_start_shows_the_end_of_the_servers_log_and_frees_the_folder() {
    let root = scratch();
    let mut options = throwaway(root.path());
    options.settings.push(("shared_buffers".to_owned(), "a lot".to_owned()));
    let message = EmbeddedPostgres::start(&options).unwrap_err().to_string();
    assert!(message.contains("invalid value for parameter \"shared_buffers\""), "{message}");
    options.settings.clear();
    EmbeddedPostgres::start(&options).unwrap().shutdown().unwrap();
}

#[test]
fn settings_are_the_callers_but_never_open_a_port() {
    let root = scratch();
    let mut options = throwaway(root.path());
    for (name, value) in [("work_mem", "7MB"), ("jit", "on"), ("listen_addresses", "*")] {
        options.settings.push((name.to_owned(), value.to_owned()));
    }
    let server = EmbeddedPostgres::start(&options).unwrap();
    let shown = |name| psql(&server.superuser_url("postgres"), &format!("SHOW {name}"));
    assert_eq!([shown("work_mem"), shown("jit"), shown("listen_addresses")], ["7MB", "on", ""]);
}

#[test]
fn a_cluster_of_a_version_that_is_not_installed_is_refused_with_both_versions() {
    let root = scratch();
    let server = EmbeddedPostgres::start(&throwaway(root.path())).unwrap();
    server.shutdown().unwrap();
    std::fs::write(root.path().join("data/PG_VERSION"), "999\n").unwrap();
    let message = EmbeddedPostgres::start(&throwaway(root.path())).unwrap_err().to_string();
    assert!(message.contains("version 999, which made the data folder"), "{message}");
    assert!(message.contains("is version 1"), "{message}");
}

#[test]
fn as_root_a_folder_that_the_servers_account_cannot_enter_is_refused_by_name() {
    if !is_root() {
        return skipped("a folder out of reach", "only root runs the server as another account");
    }
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let folder = root.path().join("sub/postgres");
    let message = EmbeddedPostgres::start(&throwaway(&folder)).unwrap_err().to_string();
    let barrier = format!("who may not enter {}, ", root.path().display());
    assert!(message.contains(&barrier), "{message}");
    assert!(message.contains(folder.to_str().unwrap()), "{message}");
}

/// Most containers give root no `SYS_PTRACE`, without which it may not look into the processes of another account.
#[test]
fn root_that_may_not_look_into_other_accounts_processes_still_finds_servers() {
    let what = "servers of another account";
    if !is_root() {
        return skipped(what, "only root runs the server as another account");
    }
    let reduced = || {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
        command
    };
    if !reduced().arg("true").status().is_ok_and(|status| status.success()) {
        return skipped(what, "setpriv cannot take the capability SYS_PTRACE away here");
    }
    let output = reduced()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_second_owner_is_refused_and_may_join"])
        .args(["an_orphaned_server_is_stopped_before_a_new_one_starts"])
        .args(["a_new_owner_waits_for_the_server_of_a_killed_one"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("3 passed"), "{said}");
}

#[test]
fn an_ordinary_user_starts_a_server_of_its_own() {
    if !is_root() {
        return skipped("a server as an ordinary user", "the other tests run as one already");
    }
    let root = scratch();
    let program = root.path().join("with-postgres");
    // By another process: a program that any fork of ours still holds open for writing cannot be run.
    assert!(Command::new("cp").arg(WITH_POSTGRES).arg(&program).status().unwrap().success());
    let home = root.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    let mut command = Command::new(&program);
    command.uid(65534).gid(65534).current_dir(&home).env("TMPDIR", &home).env("HOME", &home);
    command.args(["--", "sh", "-c", "psql -XAtqd \"$DATABASE_URL\" -c 'SELECT 6 * 7'"]);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{output:?}");
    assert!(output.status.success());
    assert_eq!(home.read_dir().unwrap().count(), 0);
}

#[test]
fn with_postgres_ends_as_its_command_did_and_leaves_nothing() {
    let temporary = scratch();
    let run = |script: &str| {
        let mut command = Command::new(WITH_POSTGRES);
        command.args(["--", "sh", "-c", script]).env("TMPDIR", temporary.path());
        let output = command.output().unwrap();
        assert_eq!(temporary.path().read_dir().unwrap().count(), 0);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let tables = "psql -XAtqd \"$DATABASE_URL\" -c 'SELECT current_database()'";
    assert_eq!(run(tables), (Some(0), "payonce\n".to_owned()));
    assert_eq!(run("exit 9").0, Some(9));
    assert_eq!(run("kill -KILL $$").0, Some(137));
    assert_eq!(run("exec /no/such/program").0, Some(127));
}

#[test]
fn with_postgres_passes_a_signal_on_and_stops_in_order() {
    let root = scratch();
    let folder = root.path().join("postgres");
    let mut child = owner(&folder, |_| ());
    let pid = server_pid(&folder);
    // Waiting closes it, and the command would end by itself.
    let stdin = child.stdin.take();
    rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!runs(pid));
    drop(stdin);
}

#[test]
fn the_next_with_postgres_removes_what_a_killed_one_left() {
    let temporary = scratch();
    let mut command = Command::new(WITH_POSTGRES);
    command.env("TMPDIR", temporary.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.args(["--", "sh", "-c", "echo ready; read -r _"]);
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    kill(child);
    assert_eq!(temporary.path().read_dir().unwrap().count(), 1);
    let mut next = Command::new(WITH_POSTGRES);
    next.args(["--", "true"]).env("TMPDIR", temporary.path());
    assert!(next.status().unwrap().success());
    assert_eq!(temporary.path().read_dir().unwrap().count(), 0);
}
