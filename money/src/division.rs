//! Division of an amount over parts, to the last minor unit.

/// A part that an amount is divided over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What it comes to in the end, in minor units; not negative.
    pub whole: i64,
    /// What it has got so far: 0 to `whole`.
    pub done: i64,
}

/// Divides the next `step` minor units over `parts`, in proportion to what each still lacks of its share of all that is
/// divided so far, by largest remainder (of equal ones the first). Steps of any sizes end exactly at each part's whole, no
/// part ever gets less than nothing or more than its whole. None where the parts have no room for `step`.
///
/// Plain largest remainder of the sum divided so far would not do: from one sum to the next a part's share can shrink.
pub fn divide(step: i64, parts: &[Part]) -> Option<Vec<i64>> {
    let whole: i128 = parts.iter().map(|part| i128::from(part.whole)).sum();
    let done: i128 = parts.iter().map(|part| i128::from(part.done)).sum();
    let total = done + i128::from(step);
    let is_sound = parts.iter().all(|part| (0..=part.whole).contains(&part.done));
    if step < 0 || total > whole || !is_sound {
        return None;
    }
    // shares are compared as multiples of 1/whole; an i64 times an i64 fits
    let lack =
        |part: &Part| (i128::from(part.whole) * total - i128::from(part.done) * whole).max(0).unsigned_abs();
    let lacks: Vec<u128> = parts.iter().map(lack).collect();
    let lacking: u128 = lacks.iter().sum();
    if lacking == 0 {
        return Some(vec![0; parts.len()]);
    }
    Some(largest_remainder(step, &lacks, lacking))
}

/// `step` in proportion to `weights`, which sum to `sum`.
fn largest_remainder(step: i64, weights: &[u128], sum: u128) -> Vec<i64> {
    let exact: Vec<(i64, u128)> = weights.iter().map(|&weight| scaled(step, weight, sum)).collect();
    let mut shares: Vec<i64> = exact.iter().map(|(share, _)| *share).collect();
    let mut left = step - shares.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| exact[b].1.cmp(&exact[a].1).then(a.cmp(&b)));
    for index in order {
        if left == 0 {
            break;
        }
        shares[index] += 1;
        left -= 1;
    }
    shares
}

/// The quotient and remainder of `step * weight / sum`, whose product need not fit: long division, bit by bit of `step`.
/// `weight <= sum`, so the quotient is at most `step`.
fn scaled(step: i64, weight: u128, sum: u128) -> (i64, u128) {
    let (mut quotient, mut remainder) = (0_i64, 0_u128);
    for bit in (0..i64::BITS - 1).rev() {
        quotient *= 2;
        remainder *= 2;
        if (step >> bit) & 1 == 1 {
            remainder += weight;
        }
        while remainder >= sum {
            remainder -= sum;
            quotient += 1;
        }
    }
    (quotient, remainder)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(wholes: &[i64], done: &[i64]) -> Vec<Part> {
        wholes.iter().zip(done).map(|(&whole, &done)| Part { whole, done }).collect()
    }

    #[test]
    fn a_step_goes_to_those_that_lack_most_and_ends_exactly() {
        let check = |step, wholes: &[i64], done: &[i64], expected: Option<&[i64]>| {
            assert_eq!(
                divide(step, &parts(wholes, done)).as_deref(),
                expected,
                "{step} of {wholes:?} after {done:?}"
            );
        };
        check(100, &[60, 40], &[0, 0], Some(&[60, 40]));
        check(50, &[60, 40], &[0, 0], Some(&[30, 20]));
        check(1, &[1, 1, 1], &[0, 0, 0], Some(&[1, 0, 0]));
        check(1, &[1, 1, 1], &[1, 0, 0], Some(&[0, 1, 0]));
        check(1, &[1, 1, 1], &[1, 1, 0], Some(&[0, 0, 1]));
        check(0, &[5], &[2], Some(&[0]));
        check(10, &[50, 50], &[40, 0], Some(&[0, 10]));
        check(61, &[60, 40], &[20, 20], None);
        check(60, &[60, 40], &[20, 20], Some(&[40, 20]));
        check(-1, &[60, 40], &[20, 20], None);
        check(1, &[60], &[61], None);
        check(1, &[], &[], None);
        check(i64::MAX, &[i64::MAX, 1], &[0, 0], Some(&[i64::MAX - 1, 1]));
    }

    proptest! {
        #[test]
        fn steps_of_any_sizes_sum_up_never_go_back_and_end_exactly(
            wholes in prop::collection::vec(1..=1_000_i64, 1..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let total: i64 = wholes.iter().sum();
            let mut ends: Vec<i64> =
                cuts.iter().map(|cut| i64::try_from(cut.index(usize::try_from(total).unwrap() + 1)).unwrap()).collect();
            ends.push(total);
            ends.sort_unstable();
            let mut done = vec![0; wholes.len()];
            let mut before = 0;
            for end in ends {
                let shares = divide(end - before, &parts(&wholes, &done)).unwrap();
                prop_assert_eq!(shares.iter().sum::<i64>(), end - before);
                for ((done, share), whole) in done.iter_mut().zip(&shares).zip(&wholes) {
                    prop_assert!(*share >= 0);
                    *done += share;
                    prop_assert!(*done <= *whole);
                }
                before = end;
            }
            prop_assert_eq!(done, wholes);
        }

        #[test]
        fn what_was_done_unevenly_is_evened_out_within_bounds(
            rows in prop::collection::vec((0..=1_000_i64, any::<prop::sample::Index>()), 1..8),
            step in any::<prop::sample::Index>(),
        ) {
            let parts: Vec<Part> = rows
                .iter()
                .map(|(whole, done)| Part {
                    whole: *whole,
                    done: i64::try_from(done.index(usize::try_from(*whole).unwrap() + 1)).unwrap(),
                })
                .collect();
            let room: i64 = parts.iter().map(|part| part.whole - part.done).sum();
            let step = i64::try_from(step.index(usize::try_from(room).unwrap() + 1)).unwrap();
            let shares = divide(step, &parts).unwrap();
            prop_assert_eq!(shares.iter().sum::<i64>(), step);
            for (share, part) in shares.iter().zip(&parts) {
                prop_assert!(*share >= 0 && part.done + share <= part.whole);
            }
        }
    }
}
