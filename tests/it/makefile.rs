//! The Makefile and the script that looks for what a machine lacks, on odd paths and odd machines.

use std::collections::HashSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// A command that a `make` around this test does not tell what to do, and that is ended where it goes on for ever.
fn command(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", program]);
    for name in ["CI", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        command.env_remove(name);
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn make_lists_its_targets_wherever_it_lies_and_wherever_it_is_called_from() {
    let scratch = tempfile::tempdir().unwrap();
    let (link, odd) = (scratch.path().join("link"), scratch.path().join("it's  a b/c d"));
    symlink(workspace(), &link).unwrap();
    std::fs::create_dir_all(&odd).unwrap();
    std::fs::copy(workspace().join("Makefile"), odd.join("Makefile")).unwrap();
    let elsewhere = scratch.path().join("elsewhere");
    // of a target's name, which is no reason to think that there is nothing to do
    std::fs::create_dir_all(elsewhere.join("help")).unwrap();
    for folder in [workspace(), &link, &odd] {
        let within = command("make").env("PWD", folder).current_dir(folder).output().unwrap();
        let file = folder.join("Makefile");
        let called =
            command("make").current_dir(&elsewhere).arg("-f").arg(&file).arg("help").output().unwrap();
        for output in [within, called] {
            let said = said(&output);
            assert!(output.status.success() && said.contains("make demo "), "{}: {said}", folder.display());
        }
    }
    let relative =
        command("make").current_dir(scratch.path()).args(["-f", "it's  a b/c d/Makefile"]).output();
    assert!(said(&relative.unwrap()).contains("make demo "));
}

#[test]
fn where_the_path_has_spaces_the_build_is_elsewhere_because_librdkafka_s_own_cannot_have_them() {
    let scratch = tempfile::tempdir().unwrap();
    let (odd, home) = (scratch.path().join("a b/c d"), scratch.path().join("home"));
    std::fs::create_dir_all(odd.join("scripts")).unwrap();
    for name in ["Makefile", "scripts/prerequisites"] {
        std::fs::copy(workspace().join(name), odd.join(name)).unwrap();
    }
    let make = || {
        let mut make = command("make");
        make.arg("prerequisites")
            .current_dir(&odd)
            .env_remove("CARGO_TARGET_DIR")
            .env("XDG_CACHE_HOME", &home);
        make
    };
    let output = make().output().unwrap();
    let elsewhere = format!("building in {}/payonce/target-", home.display());
    assert!(output.status.success() && said(&output).contains(&elsewhere), "{}", said(&output));
    let output = make().env("CARGO_TARGET_DIR", "tar get").output().unwrap();
    let refused = "a b/c d/tar get: set CARGO_TARGET_DIR to another";
    assert!(!output.status.success() && said(&output).contains(refused), "{}", said(&output));
}

/// A folder of all programs of this machine but some, for a search path.
struct Programs(tempfile::TempDir);

impl Programs {
    fn without(missing: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut seen: HashSet<_> = missing.iter().map(Into::into).collect();
        let path = std::env::var_os("PATH").unwrap();
        let folders = std::env::split_paths(&path).filter_map(|folder| folder.read_dir().ok());
        for entry in folders.flatten().flatten() {
            if seen.insert(entry.file_name()) {
                symlink(entry.path(), folder.path().join(entry.file_name())).unwrap();
            }
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, script: &str) {
        std::fs::write(self.path(name), format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// So that a test does not depend on whether this machine has them.
    fn has_other_clients(&self) {
        for name in ["npm", "python3"] {
            // a link to the real one must not be written through
            let _ = std::fs::remove_file(self.path(name));
            self.write(name, "exit 0");
        }
    }

    fn prerequisites(&self) -> Command {
        let mut command = command("scripts/prerequisites");
        command.arg("test").current_dir(workspace()).env("PATH", self.0.path());
        command
    }
}

#[test]
fn a_node_that_is_too_old_is_named_and_is_fatal_only_where_all_has_to_be_there() {
    let programs = Programs::without(&["apt-get", "node"]);
    programs.write("node", "echo v12.22.9");
    programs.has_other_clients();
    for (ci, passes) in [("", true), ("true", false)] {
        let output = programs.prerequisites().env("CI", ci).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.success(), passes, "{said}");
        assert!(said.contains("needs Node 18 or newer; this is v12.22.9"), "{said}");
    }
}

#[test]
fn of_two_runs_at_once_one_installs_and_the_other_waits_for_it() {
    if !Path::new("/var/lib/dpkg").is_dir() {
        return; // no apt-get to speak of
    }
    let programs = Programs::without(&["apt-get", "node", "sudo"]);
    programs.has_other_clients();
    // as a user with sudo, or as root without
    programs.write("sudo", "shift; exec \"$@\"");
    let script = "echo begin >>\"$0.log\"; sleep 0.5; echo end >>\"$0.log\"
        [[ $* != *nodejs* ]] || { printf '#!/bin/sh\\necho v20.1.0\\n' >\"${0%/*}/node\"; chmod +x \"${0%/*}/node\"; }";
    programs.write("apt-get", script);
    let run = || programs.prerequisites().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let outputs = [run(), run()].map(|child| child.wait_with_output().unwrap());
    let log = std::fs::read_to_string(programs.path("apt-get.log")).unwrap();
    let both = outputs.each_ref().map(said);
    assert!(outputs.iter().all(|output| output.status.success()), "{both:?}");
    assert_eq!(log, "begin\nend\n".repeat(2), "an update and an installation: {both:?}");
}
