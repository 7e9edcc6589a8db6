//! Every kept seed, and every input that once was a finding, through the same targets as `make fuzz`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

#[test]
fn nothing_that_was_kept_is_a_finding() {
    for (name, run) in fuzz::TARGETS {
        let mut seeds = 0;
        for entry in fs::read_dir(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}")) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            run(&fs::read(&path).unwrap());
            seeds += 1;
        }
        run(&[]);
        assert!(seeds > 0, "{name} has no seeds");
    }
}

#[test]
fn every_folder_of_seeds_has_a_target() {
    let folders: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
}
