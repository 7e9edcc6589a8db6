//! The demo itself, on a short day.

use tests::process::Launch;
use tokio::task::block_in_place;

#[tokio::test(flavor = "multi_thread")]
async fn a_short_day_ends_with_books_that_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Launch::new("demo", folder.path().join("demo.log")).args(["--orders", "400", "--seed", "7"]);
    let ended = block_in_place(|| demo.outcome()).unwrap();
    assert!(ended.status.success(), "{}\n{}\n{}", ended.status, ended.stdout, ended.stderr);
    for line in ["double charges", "lost payments", "trial balance"] {
        let found = ended.stdout.lines().find(|text| text.trim_start().starts_with(line));
        let words: Vec<&str> = found.unwrap_or_default().split_whitespace().rev().take(2).collect();
        assert_eq!(words, ["ok", "0"], "{line}:\n{}", ended.stdout);
    }
}
