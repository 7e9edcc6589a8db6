use proptest::prelude::*;
use time::macros::date;

use super::*;

const DAY: Date = date!(2026 - 01 - 05);

fn entry(left: i64, day: i64, texts: &[&str]) -> OpenEntry {
    let texts = texts.iter().map(|&text| text.to_owned()).collect();
    OpenEntry { left, booked_on: DAY + Duration::days(day), texts }
}

fn payout(left: i64, day: i64, names: &[&str]) -> OpenPayout {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    OpenPayout { account: 0, left, arrives_on: DAY + Duration::days(day), names }
}

/// Which entry is which payout, how much of it, and by which rule.
fn ties(entries: &[OpenEntry], payouts: &[OpenPayout]) -> Vec<(usize, usize, i64, Rule)> {
    let ties = tie(entries, payouts, Window::default());
    ties.into_iter().map(|tie| (tie.entry, tie.payout, tie.allocated, tie.rule)).collect()
}

#[test]
fn a_name_ties_however_the_bank_writes_it() {
    let payouts = [payout(500, 0, &["po_1AbCdEfGh"]), payout(500, 0, &["17", "TX1234567XT"])];
    for text in ["po_1AbCdEfGh", "STRIPE PO 1ABCDEFGH 2026", "ref:po-1abcdefgh/eref+x"] {
        assert_eq!(ties(&[entry(500, 300, &[text])], &payouts), [(0, 0, 500, Rule::Reference)], "{text}");
    }
    assert_eq!(
        ties(&[entry(500, 0, &["x", "ADYEN TX1234567XT 17"])], &payouts),
        [(0, 1, 500, Rule::Reference)]
    );
    // a part of a word is no name
    assert_eq!(ties(&[entry(900, 0, &["po_1AbCdEfGhI"])], &payouts), []);
}

#[test]
fn an_entry_of_another_amount_than_the_payout_it_names_is_a_part() {
    let payouts = [payout(500, 0, &["po_12345678"])];
    let of = |left, day| entry(left, day, &["po_12345678"]);
    assert_eq!(ties(&[of(300, 0)], &payouts), [(0, 0, 300, Rule::Reference)]);
    let both = [of(300, 0), of(200, 1)];
    assert_eq!(ties(&both, &payouts), [(0, 0, 300, Rule::Reference), (1, 0, 200, Rule::Reference)]);
    let more = [of(300, 0), of(900, 1)];
    assert_eq!(ties(&more, &payouts), [(0, 0, 300, Rule::Reference), (1, 0, 200, Rule::Reference)]);
    // what the PSP takes is no part of what it sends
    assert_eq!(ties(&[entry(-500, 0, &["po_12345678"])], &payouts), []);
}

#[test]
fn an_entry_that_names_several_payouts_is_all_of_them_to_the_cent() {
    let payouts = [payout(500, 0, &["po_11111111"]), payout(-20, 0, &["po_22222222"])];
    let texts = ["po_11111111 and po_22222222"];
    assert_eq!(ties(&[entry(481, 0, &texts)], &payouts), []);
    let all = ties(&[entry(480, 0, &texts)], &payouts);
    assert_eq!(all, [(0, 0, 480, Rule::Reference)], "what is taken of another payout is not sent");
    let payouts = [payout(500, 0, &["po_11111111"]), payout(20, 0, &["po_22222222"])];
    let all = ties(&[entry(520, 0, &texts)], &payouts);
    assert_eq!(all, [(0, 0, 500, Rule::Reference), (0, 1, 20, Rule::Reference)]);
}

#[test]
fn an_amount_ties_only_what_can_be_nothing_else() {
    let payouts = [payout(500, 0, &["po_1"]), payout(700, 0, &["po_2"])];
    assert_eq!(ties(&[entry(500, 7, &[])], &payouts), [(0, 0, 500, Rule::Amount)]);
    assert_eq!(ties(&[entry(500, -2, &[])], &payouts), [(0, 0, 500, Rule::Amount)]);
    assert_eq!(ties(&[entry(500, 8, &[])], &payouts), [], "too late");
    assert_eq!(ties(&[entry(500, -3, &[])], &payouts), [], "too early");
    assert_eq!(ties(&[entry(500, 0, &[]), entry(500, 1, &[])], &payouts), [], "either");
    let alike = [payout(500, 0, &["po_1"]), payout(500, 3, &["po_2"])];
    assert_eq!(ties(&[entry(500, 3, &[])], &alike), [], "either");
    // the second entry may be either
    let both = [entry(500, 0, &[]), entry(500, 5, &[])];
    let all = ties(&both, &[payout(500, 0, &["po_1"]), payout(500, 5, &["po_2"])]);
    assert_eq!(all, [], "so the first payout has two that it may be");
    let hinted = ties(&[entry(500, 3, &["BATCH PO 2 SHOP"])], &alike);
    assert_eq!(hinted, [(0, 1, 500, Rule::Amount)], "a short name tells between two that both may be");
}

#[test]
fn what_follows_from_a_tie_is_tied_too() {
    let payouts = [payout(500, 0, &["po_1"]), payout(500, 9, &["po_2"])];
    // only the first can be the first payout; only then is the second entry without a rival
    let entries = [entry(500, 0, &[]), entry(500, 9, &[])];
    assert_eq!(ties(&entries, &payouts), [(0, 0, 500, Rule::Amount), (1, 1, 500, Rule::Amount)]);
}

#[test]
fn the_payouts_of_one_day_may_come_as_one() {
    let mut other = payout(70, 0, &["po_4"]);
    other.account = 1;
    let payouts = [payout(500, 0, &["po_1"]), payout(30, 0, &["po_2"]), payout(5, 1, &["po_3"]), other];
    assert_eq!(ties(&[entry(530, 1, &[])], &payouts), [(0, 0, 500, Rule::Day), (0, 1, 30, Rule::Day)]);
    assert_eq!(ties(&[entry(600, 1, &[])], &payouts), [], "of several accounts");
    assert_eq!(ties(&[entry(530, 1, &[]), entry(530, 2, &[])], &payouts), [], "either");
}

fn day() -> impl Strategy<Value = i64> {
    0..12_i64
}

proptest! {
    /// Few amounts, days and names, so that everything meets.
    #[test]
    fn nothing_is_tied_beyond_what_there_is_and_again_nothing_is_left_to_tie(
        entries in prop::collection::vec((-3..4_i64, day(), 0..6_usize), 0..8),
        payouts in prop::collection::vec((-3..4_i64, day(), 0..6_usize, 0..2_usize), 0..8),
    ) {
        const NAMES: [&str; 6] = ["po_11111111", "po_22222222", "po 1", "po_2", "", "po_33333333 po_11111111"];
        let entries: Vec<OpenEntry> =
            entries.into_iter().map(|(left, day, name)| entry(left * 100, day, &[NAMES[name]])).collect();
        let payouts: Vec<OpenPayout> = payouts.into_iter().map(|(left, day, name, account)| {
            OpenPayout { account, ..payout(left * 100, day, &[NAMES[name]]) }
        }).collect();
        let all = tie(&entries, &payouts, Window::default());
        let (mut open, mut due) = (entries.clone(), payouts.clone());
        for tie in &all {
            prop_assert!(tie.allocated != 0);
            prop_assert_eq!(tie.allocated.signum(), entries[tie.entry].left.signum());
            prop_assert_eq!(tie.allocated.signum(), payouts[tie.payout].left.signum());
            open[tie.entry].left -= tie.allocated;
            due[tie.payout].left -= tie.allocated;
            if tie.rule != Rule::Reference {
                let window = Window::default();
                prop_assert!(window.holds(payouts[tie.payout].arrives_on, entries[tie.entry].booked_on));
            }
        }
        for (open, entry) in open.iter().zip(&entries) {
            prop_assert!(open.left == 0 || open.left.signum() == entry.left.signum());
        }
        for (due, payout) in due.iter().zip(&payouts) {
            prop_assert!(due.left == 0 || due.left.signum() == payout.left.signum());
        }
        let again = tie(&open, &due, Window::default());
        prop_assert_eq!(again, vec![]);
    }
}
