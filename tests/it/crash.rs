//! The crash loop itself, in short.

use tests::process::Launch;
use tokio::task::block_in_place;

const SHORT: [&str; 8] = [
    "--payments=160",
    "--kills=6",
    "--zombies=3",
    "--crashes=1",
    "--full-disks=1",
    "--cuts=1",
    "--clients=16",
    "--seed=7",
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_stalls_or_is_cut_off_nothing_is_lost_and_nothing_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let crash = Launch::new("crash", folder.path().join("crash.log")).args(SHORT);
    let ended = block_in_place(|| crash.outcome()).unwrap();
    assert!(ended.status.success(), "{}\n{}\n{}", ended.status, ended.stdout, ended.stderr);
    for (line, found) in [
        ("kills of a service", "6"),
        ("zombies", "3"),
        ("crashes of Postgres", "1"),
        ("full disks", "1"),
        ("cuts of all connections", "1"),
        ("double charges", "0"),
        ("over-captures and over-refunds", "0"),
        ("disputes that are otherwise at the PSP", "0"),
        ("payouts that are otherwise at the PSP", "0"),
        ("lost acknowledgements", "0"),
        ("operations in unknown", "0"),
        ("events missing in Kafka", "0"),
        ("trial balance", "0"),
    ] {
        let shown = ended.stdout.lines().find(|text| text.trim_start().starts_with(line));
        let words: Vec<&str> = shown.unwrap_or_default().split_whitespace().rev().take(2).collect();
        assert_eq!(words, ["ok", found], "{line}:\n{}", ended.stdout);
    }
}
