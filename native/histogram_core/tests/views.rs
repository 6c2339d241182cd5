//! Snapshots at fixed bounds and as text.

use histogram_core::histogram::Histogram;
use histogram_core::layout::{Layout, PRECISIONS};
use histogram_core::snapshot::Snapshot;
use proptest::prelude::*;

fn snapshot(precision: u8, bits: u8, values: &[u64]) -> Snapshot {
    let histogram = Histogram::new(Layout::new(precision, bits).unwrap(), 1);
    histogram.record_all(0, values.iter().copied());
    histogram.cumulative()
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        (any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift),
        990..1100u64,
    ]
}

fn values() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(value(), 1..150)
}

proptest! {
    #[test]
    fn counts_up_to_a_bound_are_off_by_one_bucket(
        precision in PRECISIONS, bits in 5..=64u8, values in values(), bound in value(), part in 0.0..1.0f64
    ) {
        let snapshot = snapshot(precision, bits, &values);
        let layout = snapshot.layout;
        let exact = |bound: u64| values.iter().filter(|&&value| value <= bound).count() as u64;
        let told = |bound: f64| snapshot.buckets(&[bound])[0];
        // Doubles are exact to 2^53.
        let bound = bound >> 11;
        let count = told(bound as f64 + part);
        if bound > layout.max() {
            let inside = values.iter().filter(|&&value| value <= layout.max()).count() as u64;
            let expected = if bound >= snapshot.max { values.len() as u64 } else { inside };
            prop_assert_eq!(count, expected);
        } else {
            let (low, high) = layout.bounds(layout.index(bound));
            let below = low.checked_sub(1).map_or(0, exact);
            prop_assert!((below..=exact(high)).contains(&count));
            prop_assert_eq!(told(high as f64), exact(high));
        }
        prop_assert!(told(bound as f64) <= told(bound as f64 + 1.0));
        prop_assert_eq!(told(u64::MAX as f64), values.len() as u64);
        prop_assert_eq!(told(f64::INFINITY), values.len() as u64);
        prop_assert_eq!(told(-1.0), 0);
        let share = snapshot.fraction_below(bound as f64 + part);
        prop_assert_eq!(share, Some(count as f64 / values.len() as f64));
    }

    #[test]
    fn a_plot_keeps_its_width(precision in PRECISIONS, bits in 5..=64u8, values in values(), width in 100..300usize) {
        let snapshot = snapshot(precision, bits, &values);
        let plot = snapshot.plot(width);
        prop_assert!(plot.lines().count() <= 64);
        for line in plot.lines() {
            prop_assert!(line.chars().count() <= width, "{plot}");
        }
        prop_assert!(plot.contains(" p50"));
        let greatest = plot.lines().last().unwrap();
        prop_assert!(greatest.contains('#') && greatest.contains("p99.99"), "{plot}");
    }
}

#[test]
fn powers_of_two_begin_buckets() {
    let values: Vec<u64> = (0..5000).collect();
    let snapshot = snapshot(5, 42, &values);
    for power in 0..13 {
        assert_eq!(
            snapshot.buckets(&[((1u64 << power) - 1) as f64]),
            [1 << power]
        );
    }
    // Evenly within a bucket: it holds 4096 to 4223.
    assert_eq!(snapshot.buckets(&[4127.0, 2.0, 4999.0]), [4128, 3, 5000]);
    assert_eq!(snapshot.buckets(&[]), []);
}

#[test]
fn nothing_has_no_shares() {
    let nothing = snapshot(7, 42, &[]);
    assert_eq!(nothing.buckets(&[0.0, 1e9]), [0, 0]);
    assert_eq!(nothing.fraction_below(5.0), None);
    assert_eq!(nothing.plot(80), "no values\n");
}

#[test]
fn a_plot_shows_where_values_are() {
    let mut values = vec![10; 90];
    values.extend([20; 9]);
    values.push(1000);
    let expected = "\
100 values from 10 to 1000
mean 20.8, standard deviation 98.4
  8 -   15 |##############################|  90.0% p50 p75 p90
 16 -   23 |###                           |   9.0% p95 p99
...
896 - 1023 |#                             |   1.0% p99.9 p99.99
";
    assert_eq!(snapshot(5, 10, &values).plot(63), expected);
}

#[test]
fn a_plot_has_a_line_for_what_is_above() {
    let plot = snapshot(5, 10, &[1, 2, 5000]).plot(60);
    assert!(
        plot.ends_with("1024 - 5000 |##########|  33.3% p75 p90 p95 p99 p99.9 p99.99\n"),
        "{plot}"
    );
    let plot = snapshot(5, 10, &[5000]).plot(60);
    assert_eq!(plot.lines().count(), 3);
}
