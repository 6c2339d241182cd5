//! Recording with correction for coordinated omission, against recording the values one by one.

use histogram_core::histogram::Histogram;
use histogram_core::layout::{Layout, PRECISIONS};
use proptest::prelude::*;

proptest! {
    #[test]
    fn missing_values_are_recorded(
        precision in PRECISIONS, bits in 1..=64u8, shift in 0..60u32, foreseen in 0..2usize,
        recorded in prop::collection::vec((0..5000u64, 0..100u64), 1..10),
    ) {
        let layout = Layout::new(precision, bits).unwrap();
        let corrected = Histogram::new(layout, foreseen);
        let naive = Histogram::new(layout, 1);
        let mut is_corrected = false;
        for (value, interval) in recorded {
            let (value, interval) = (value << shift.min(51), interval << shift.min(51));
            corrected.record_corrected(0, value, interval);
            naive.record(0, value);
            let mut next = value;
            let mut recorded = 1;
            while interval > 0 && next >= 2 * interval {
                next -= interval;
                naive.record(0, next);
                is_corrected = true;
                recorded += 1;
            }
            prop_assert!(corrected.corrected_buckets(value, interval) <= recorded);
        }
        let mut expected = naive.cumulative();
        expected.corrected = is_corrected;
        prop_assert_eq!(corrected.cumulative(), expected);
    }
}

/// Numbers of values near 2^64 are counted at once, and go round rather than panic.
#[test]
fn the_greatest_corrections_are_recorded() {
    for foreseen in [0, 1] {
        for precision in PRECISIONS {
            for bits in [1, 42, 64] {
                let layout = Layout::new(precision, bits).unwrap();
                let histogram = Histogram::new(layout, foreseen);
                histogram.record_corrected(0, u64::MAX, 1);
                let counted = histogram.cumulative();
                assert_eq!(counted.count(), u64::MAX);
                let sum = u128::from(u64::MAX) * (1 << 63);
                assert_eq!((counted.sum, counted.min, counted.max), (sum, 1, u64::MAX));
                assert!(histogram.corrected_buckets(u64::MAX, 1) <= layout.len() as u64 + 1);
                for _ in 0..3 {
                    histogram.record_corrected(0, u64::MAX, 1);
                    histogram.record_corrected(1, u64::MAX - 1, 1);
                    let counted = histogram.cumulative();
                    assert_eq!((counted.min, counted.max), (1, u64::MAX));
                }
            }
        }
    }
}
