//! What a histogram's own buckets are in the forms.

use crate::{Family, Scale};
use histogram_core::layout::Layout;
use histogram_core::snapshot::Snapshot;

/// The buckets that a family's bounds make.
#[derive(Default)]
pub struct Classic {
    /// The greatest recorded values within the bounds.
    at_most: Vec<Option<u64>>,
    /// How many values are within each bound, as `count` left them.
    pub counts: Vec<u64>,
}

impl Classic {
    pub fn open(&mut self, family: &Family) {
        self.at_most.clear();
        let bounds = family.bounds.iter();
        self.at_most
            .extend(bounds.map(|&bound| family.scale.at_most(bound)));
    }

    /// A bucket counts where its middle does.
    pub fn count(&mut self, snapshot: &Snapshot) {
        self.counts.clear();
        let mut buckets = snapshot.counts.iter().zip(snapshot.first..).peekable();
        let mut sum = 0_u64;
        for at_most in &self.at_most {
            let is_within =
                |index| at_most.is_some_and(|most| snapshot.layout.middle(index) <= most);
            while let Some((count, _)) = buckets.next_if(|&(_, index)| is_within(index)) {
                sum = sum.saturating_add(*count);
            }
            self.counts.push(sum);
        }
    }
}

/// Counts by buckets whose bounds are powers of a base, `2^(2^-scale)`: the one at `index` holds the
/// values above `base^index` and up to `base^(index + 1)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exponential {
    pub scale: i32,
    /// Of the value 0.
    pub zero: u64,
    /// Index and count of those that are not empty, rising.
    pub counts: Vec<(i32, u64)>,
}

/// Brings buckets into exponential ones, where their middles lie. What is above a layout's largest
/// value goes to one place, too, so that no bucket's count ever falls.
#[derive(Default)]
pub struct Exponentials {
    /// The layout and the scale from recorded to exposed values that `indices` is for.
    of: Option<(Layout, Scale)>,
    /// Of the layout's buckets, and of what is above; `None` where that has not been asked for.
    indices: Vec<Option<i32>>,
    out: Exponential,
}

impl Exponentials {
    /// At the finest scale up to `finest`, always the same one here, at which no bucket is narrower than
    /// one of the snapshot's and which `is_small` lets pass.
    pub fn of(
        &mut self,
        family: &Family,
        snapshot: &Snapshot,
        finest: i32,
        is_small: impl Fn(&[(i32, u64)]) -> bool,
    ) -> &Exponential {
        let layout = snapshot.layout;
        let out = &mut self.out;
        out.scale = finest.min(i32::from(layout.precision()) - 1);
        out.zero = 0;
        out.counts.clear();
        if self.of != Some((layout, family.scale)) {
            self.of = Some((layout, family.scale));
            self.indices.clear();
            self.indices.resize(layout.len() + 1, None);
        }
        let above = (layout.len(), snapshot.overflow);
        let buckets = (snapshot.first..).zip(snapshot.counts.iter().copied());
        for (bucket, count) in buckets.chain([above]).filter(|&(_, count)| count > 0) {
            if bucket == 0 {
                out.zero = count;
                continue;
            }
            let index = *self.indices[bucket].get_or_insert_with(|| {
                let value = if bucket < layout.len() {
                    layout.middle(bucket) as f64
                } else {
                    layout.max() as f64 + 1.0
                };
                index(family.scale.expose(value), out.scale)
            });
            add(&mut out.counts, index, count);
        }
        while !is_small(&out.counts) {
            out.scale -= 1;
            let finer = std::mem::take(&mut out.counts);
            for (index, count) in finer {
                add(&mut out.counts, index >> 1, count);
            }
        }
        out
    }
}

/// The bucket of a positive value, or of the nearest number where scaling has left 0 or infinity.
fn index(value: f64, scale: i32) -> i32 {
    let value = value.clamp(f64::MIN_POSITIVE, f64::MAX);
    (value.log2() * f64::from(scale).exp2()).ceil() as i32 - 1
}

/// Indices come rising.
fn add(counts: &mut Vec<(i32, u64)>, index: i32, count: u64) {
    match counts.last_mut() {
        Some((last, sum)) if *last == index => *sum = sum.saturating_add(count),
        _ => counts.push((index, count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{family, recorded};
    use crate::Kind;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Vec<u64>> {
        let value = (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift);
        proptest::collection::vec(value, 0..200)
    }

    fn layouts() -> impl Strategy<Value = (u8, u8)> {
        (5..=10_u8, 1..=64_u8)
    }

    fn bounded(bounds: &[f64]) -> Family<'static> {
        let mut family = family("m", Kind::Histogram);
        family.bounds = bounds.to_vec();
        family
    }

    /// Its own buckets one by one.
    fn naive(snapshot: &Snapshot, bound: f64) -> u64 {
        let buckets = (snapshot.first..).zip(&snapshot.counts);
        let within =
            buckets.filter(|&(index, _)| snapshot.layout.middle(index) as f64 <= bound.floor());
        within.map(|(_, &count)| count).sum()
    }

    fn merged(counts: &[(i32, u64)], by: i32) -> Vec<(i32, u64)> {
        let mut coarser = Vec::new();
        for &(index, count) in counts {
            add(&mut coarser, index >> by, count);
        }
        coarser
    }

    #[test]
    fn bounds_that_are_the_values() {
        let snapshot = recorded(7, 42, &[0, 1, 1, 5, 5, 5, 200]);
        let mut classic = Classic::default();
        classic.open(&bounded(&[
            -1.0, 0.0, 0.5, 1.0, 4.9, 5.0, 199.0, 200.0, 1e30,
        ]));
        classic.count(&snapshot);
        assert_eq!(classic.counts, [0, 1, 1, 3, 3, 6, 6, 7, 7]);
    }

    proptest! {
        #[test]
        fn classic_counts_are_those_of_middles(
            values in values(),
            (precision, bits) in layouts(),
            mut bounds in proptest::collection::vec(0.0..2e19_f64, 0..20),
        ) {
            bounds.sort_by(f64::total_cmp);
            let snapshot = recorded(precision, bits, &values);
            let mut classic = Classic::default();
            classic.open(&bounded(&bounds));
            classic.count(&snapshot);
            let expected: Vec<u64> = bounds.iter().map(|&bound| naive(&snapshot, bound)).collect();
            prop_assert_eq!(&classic.counts, &expected);
        }

        /// Prometheus takes a count that falls for a restart.
        #[test]
        fn counts_never_fall(
            values in values(),
            at in 0..200_usize,
            (precision, bits) in layouts(),
            mut bounds in proptest::collection::vec(0.0..2e19_f64, 0..20),
        ) {
            bounds.sort_by(f64::total_cmp);
            let family = bounded(&bounds);
            let earlier = recorded(precision, bits, &values[..at.min(values.len())]);
            let later = recorded(precision, bits, &values);
            let mut classic = Classic::default();
            classic.open(&family);
            classic.count(&earlier);
            let before = classic.counts.clone();
            classic.count(&later);
            prop_assert!(before.iter().zip(&classic.counts).all(|(before, after)| before <= after));

            let mut exponentials = Exponentials::default();
            let is_small = |counts: &[(i32, u64)]| counts.len() <= 20;
            let before = exponentials.of(&family, &earlier, 8, is_small).clone();
            let after = exponentials.of(&family, &later, 8, is_small);
            prop_assert!(before.scale >= after.scale);
            prop_assert!(before.zero <= after.zero);
            for (index, count) in merged(&before.counts, before.scale - after.scale) {
                let found = after.counts.iter().find(|&&(other, _)| other == index);
                prop_assert!(found.is_some_and(|&(_, other)| count <= other));
            }
        }

        #[test]
        fn exponential_buckets_hold_their_values(value in any::<u64>(), shift in 0..64_u32, precision in 5..=10_u8) {
            let value = value >> shift;
            let snapshot = recorded(precision, 64, &[value]);
            let mut family = bounded(&[]);
            family.scale = Scale::new(1e-9).unwrap();
            let mut exponentials = Exponentials::default();
            let exponential = exponentials.of(&family, &snapshot, 20, |_| true);
            prop_assert_eq!(exponential.scale, i32::from(precision) - 1);
            if value == 0 {
                prop_assert_eq!((exponential.zero, exponential.counts.len()), (1, 0));
            } else {
                let [(index, 1)] = exponential.counts[..] else {
                    panic!("{exponential:?}");
                };
                let base = f64::from(-exponential.scale).exp2();
                let (low, high) = ((f64::from(index) * base).exp2(), (f64::from(index + 1) * base).exp2());
                let exposed = value as f64 / 1e9;
                let off = 1.0 + 1.0 / f64::from(1_u32 << precision);
                prop_assert!(low <= exposed * off && exposed <= high * off);
            }
        }
    }

    #[test]
    fn scales_beyond_all_numbers() {
        let snapshot = recorded(7, 64, &[0, 1, u64::MAX]);
        for factor in [5e-324, f64::MAX] {
            let mut family = bounded(&[1.0]);
            family.scale = Scale::new(factor).unwrap();
            let mut exponentials = Exponentials::default();
            let is_small = |counts: &[(i32, u64)]| counts.len() <= 2;
            let exponential = exponentials.of(&family, &snapshot, 8, is_small);
            let counted: u64 = exponential.counts.iter().map(|&(_, count)| count).sum();
            assert_eq!((exponential.zero, counted), (1, 2));
        }
    }

    #[test]
    fn powers_are_the_highest_of_their_buckets() {
        for scale in [0, 3, 8] {
            assert_eq!(index(1.0, scale), -1);
            assert_eq!(index(2.0, scale), (1 << scale) - 1);
            assert_eq!(index(0.5, scale), -(1 << scale) - 1);
        }
    }
}
