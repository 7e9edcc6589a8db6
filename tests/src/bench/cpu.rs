//! What processes have cost, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// CPU time of a process, user and system.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    own: u64,
    /// Of its children that have ended and were waited for.
    ended_children: u64,
}

struct Stat {
    parent: u32,
    spent: Spent,
}

/// The CPU time of one process alone.
pub fn of_process(pid: u32) -> Duration {
    read(pid).map(|stat| ticks(stat.spent.own)).unwrap_or_default()
}

/// The CPU time of a process and everything under it, what has ended included.
pub fn of_tree(root: u32) -> Duration {
    let mut children: HashMap<u32, Vec<(u32, Spent)>> = HashMap::new();
    for pid in processes() {
        if let Some(stat) = read(pid) {
            children.entry(stat.parent).or_default().push((pid, stat.spent));
        }
    }
    let mut total = 0;
    let mut open: Vec<(u32, Spent)> = read(root).map(|stat| (root, stat.spent)).into_iter().collect();
    while let Some((pid, spent)) = open.pop() {
        total += spent.own + spent.ended_children;
        open.extend(children.remove(&pid).into_iter().flatten());
    }
    ticks(total)
}

/// The CPU time of this process's children that have ended.
pub fn of_ended_children() -> Duration {
    read(std::process::id()).map(|stat| ticks(stat.spent.ended_children)).unwrap_or_default()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// None when it is gone.
fn read(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<Stat> {
    // the name is in parentheses and may hold anything
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        spent: Spent { own: number(11)? + number(12)?, ended_children: number(13)? + number(14)? },
    })
}

fn ticks(count: u64) -> Duration {
    Duration::from_micros(count * 1_000_000 / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_process_s_time_is_found_whatever_it_is_called() {
        let stat = parse("7 (a) b (c) S 3 7 7 0 -1 4194560 9 8 7 6 11 22 33 44 20 0 1 0 100").unwrap();
        assert_eq!((stat.parent, stat.spent.own, stat.spent.ended_children), (3, 33, 77));
    }
}
