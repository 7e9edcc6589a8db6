//! The Makefile and the script that looks for what a machine lacks, on odd paths and odd machines.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

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
