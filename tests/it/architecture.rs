//! What the crates of the workspace may know of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each crate, and every crate of the workspace that it may see, directly or through others.
const MAY_SEE: [(&str, &[&str]); 9] = [
    ("money", &[]),
    ("ledger", &["money"]),
    ("wallet", &["ledger", "money"]),
    ("reconciliation", &["embedded-postgres", "ledger", "money", "wallet"]),
    ("payment-service", &["embedded-postgres", "ledger", "money", "reconciliation", "wallet"]),
    ("psp-sandbox", &[]),
    ("embedded-postgres", &[]),
    (
        "tests",
        &[
            "embedded-postgres",
            "ledger",
            "money",
            "payment-service",
            "psp-sandbox",
            "reconciliation",
            "wallet",
        ],
    ),
    ("fuzz", &["embedded-postgres", "ledger", "money", "payment-service", "reconciliation", "wallet"]),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn packages(metadata: &Value) -> Vec<&Value> {
    metadata["packages"].as_array().expect("packages").iter().collect()
}

/// Which crates of the workspace each of them imports. What only the tests of a crate import counts as well, but for
/// the sandboxes that they talk to.
fn imports(metadata: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let packages = packages(metadata);
    let members: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let imports = |package: &&Value| {
        let dependencies = package["dependencies"].as_array().expect("dependencies").clone();
        let name = package["name"].as_str().expect("a name");
        let ours = dependencies.iter().filter(|dependency| {
            let is_a_double = dependency["kind"] == "dev" && dependency["name"] == "psp-sandbox";
            !is_a_double && members.contains(dependency["name"].as_str().expect("a name"))
        });
        let ours = ours.filter_map(|dependency| members.get(dependency["name"].as_str()?).copied());
        (members.get(name).copied().unwrap_or_default(), ours.collect())
    };
    packages.iter().map(imports).collect()
}

#[test]
fn imports_point_one_way() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = MAY_SEE.into_iter().collect();
    let imports = imports(&metadata);
    assert_eq!(
        imports.keys().collect::<Vec<_>>(),
        allowed.keys().collect::<Vec<_>>(),
        "a crate that is not in the table has no place yet"
    );
    for (name, imported) in imports {
        for import in imported {
            assert!(allowed[name].contains(&import), "{name} must not import {import}");
        }
    }
}

#[test]
fn whatever_a_crate_sees_through_another_it_may_see_itself() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_SEE.into_iter().collect();
    for (name, seen) in &allowed {
        for through in *seen {
            for indirect in allowed[through] {
                assert!(seen.contains(indirect), "{name} sees {indirect} through {through}");
            }
        }
    }
}

#[test]
fn only_the_service_and_what_drives_it_name_the_network() {
    let metadata = metadata();
    let free = ["fuzz", "payment-service", "psp-sandbox", "tests"];
    for package in
        packages(&metadata).into_iter().filter(|package| !free.iter().any(|name| package["name"] == *name))
    {
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            for forbidden in ["axum", "hmac", "rdkafka", "reqwest"] {
                assert!(dependency["name"] != forbidden, "{} must not import {forbidden}", package["name"]);
            }
        }
    }
}

/// A handler is dropped in the middle when its client hangs up, and a `begin` that is dropped in the middle leaves its
/// connection inside of a transaction.
#[test]
fn no_handler_begins_a_transaction() {
    let handlers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../payment-service/src/http");
    for file in handlers.read_dir().expect("a folder").flatten().map(|entry| entry.path()) {
        let Ok(source) = std::fs::read_to_string(&file) else { continue };
        for begins in [".begin(", ".begin_with("] {
            assert!(!source.contains(begins), "{} begins a transaction", file.display());
        }
    }
}

/// Every file of the workspace that is ours.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

fn workspace_files() -> (&'static Path, Vec<PathBuf>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut found = Vec::new();
    files(root, &mut found);
    (root, found)
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// All Rust of these files.
fn sources(files: &[PathBuf]) -> String {
    let rust = files.iter().filter(|path| is_rust(path));
    rust.map(std::fs::read_to_string).collect::<Result<_, _>>().expect("sources")
}

#[test]
fn no_folder_is_called_common_or_utils() {
    let (root, files) = workspace_files();
    for path in files {
        let inside = path.strip_prefix(root).expect("a file in it");
        for name in inside.iter().map(|name| name.to_string_lossy()) {
            let stem = name.split('.').next().unwrap_or_default();
            for vague in ["common", "util", "utils", "helpers", "misc"] {
                assert!(stem != vague, "{}: a name that says nothing", path.display());
            }
        }
    }
}

/// Examples in documentation are compiled and run in the sandbox's alone, which others may use: elsewhere there is none that
/// would rot.
#[test]
fn an_example_in_documentation_stands_where_it_is_run() {
    let (root, files) = workspace_files();
    let is_run = |path: &Path| path.starts_with(root.join("psp-sandbox"));
    for path in files.iter().filter(|path| is_rust(path) && !is_run(path)) {
        let source = std::fs::read_to_string(path).expect("source");
        let lines = source.lines().map(str::trim_start);
        let docs = lines.filter_map(|line| line.strip_prefix("//!").or_else(|| line.strip_prefix("///")));
        let fences: Vec<&str> = docs.map(str::trim).filter(|line| line.starts_with("```")).collect();
        assert!(fences.iter().step_by(2).all(|fence| *fence == "```text"), "{}", path.display());
    }
}

/// A patch that no longer applies would take nothing away, and a test that is gone would notice nothing.
#[test]
fn every_guard_that_make_mutants_takes_away_is_there_and_so_is_the_test_that_notices() {
    let (root, files) = workspace_files();
    let check = Command::new(root.join("scripts/mutants")).arg("check").output().expect("the script");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let sources = sources(&files);
    let patches = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "patch"));
    let mut count = 0;
    for path in patches {
        let patch = std::fs::read_to_string(path).expect("a patch");
        for test in patch.lines().filter_map(|line| line.strip_prefix("Fails: ")) {
            let name = test.split(' ').next_back().unwrap_or_default();
            assert!(sources.contains(&format!("fn {name}(")), "{}: no test is called {name}", path.display());
            count += 1;
        }
    }
    assert!(count >= 20, "{count} tests are named");
}

#[test]
fn every_fault_has_its_row_and_every_test_named_there_exists() {
    let (root, files) = workspace_files();
    let table = std::fs::read_to_string(root.join("docs/faults.md")).expect("the table");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| F")).collect();
    let numbered =
        rows.iter().enumerate().all(|(index, row)| row.starts_with(&format!("| F{} |", index + 1)));
    assert!(numbered && rows.len() == 42, "{} rows", rows.len());
    let sources = sources(&files);
    // a name of several words is a test's
    let named = table.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() > 2);
    let mut count = 0;
    for name in named {
        assert!(sources.contains(&format!("fn {name}(")), "no test is called {name}");
        count += 1;
    }
    assert!(count > 60, "{count} tests are named");
}

#[test]
fn every_event_that_is_published_is_described_and_no_other() {
    let (root, files) = workspace_files();
    let told = std::fs::read_to_string(root.join("docs/events.md")).expect("the list");
    let is_type = |word: &&str| word.starts_with("payment.") || word.starts_with("payout.");
    let described: BTreeSet<&str> = told.split('`').skip(1).step_by(2).filter(is_type).collect();
    let speaks = |path: &&PathBuf| {
        let folder =
            ["operation", "payout", "dispute", "outbox"].map(|name| format!("payment-service/src/{name}"));
        is_rust(path) && folder.iter().any(|folder| path.starts_with(root.join(folder)))
    };
    let spoken: Vec<PathBuf> = files.iter().filter(speaks).cloned().collect();
    let spoken = sources(&spoken);
    let published: BTreeSet<&str> =
        spoken.match_indices('"').filter_map(|(at, _)| kind_at(&spoken[at + 1..])).collect();
    assert_eq!(published, described);
}

/// The type of an event that a literal names; what only tells of a column is none.
fn kind_at(rest: &str) -> Option<&str> {
    const COLUMNS: [&str; 8] = [
        "status",
        "currency",
        "capture_method",
        "payment_method",
        "order_id",
        "destination",
        "payout_id",
        "seller_id",
    ];
    let (literal, _) = rest.split_once('"')?;
    let (_, word) = literal.split_once('.').filter(|(of, _)| matches!(*of, "payment" | "payout"))?;
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_word && !COLUMNS.contains(&word)).then_some(literal)
}
