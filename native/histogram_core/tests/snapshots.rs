//! Snapshots against what they were made of: merging, subtracting, the binary form, quantiles.

use histogram_core::encoding::DecodeError;
use histogram_core::histogram::Histogram;
use histogram_core::layout::{Layout, PRECISIONS};
use histogram_core::merge::Sum;
use histogram_core::quantiles::{InvalidQuantile, Method};
use histogram_core::snapshot::Snapshot;
use proptest::prelude::*;

fn layout(precision: u8, bits: u8) -> Layout {
    Layout::new(precision, bits).unwrap()
}

fn snapshot(layout: Layout, values: &[u64]) -> Snapshot {
    let histogram = Histogram::new(layout, 1);
    histogram.record_all(0, values.iter().copied());
    histogram.cumulative()
}

/// Of every magnitude alike.
fn value() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift)
}

fn values() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![
        prop::collection::vec(value(), 0..80),
        // Close together, so that buckets are shared.
        prop::collection::vec(1000..1200u64, 0..80),
    ]
}

fn layouts() -> impl Strategy<Value = Layout> {
    let bits = prop_oneof![Just(1), Just(9), Just(10), Just(42), Just(64), 1..=64u8];
    (PRECISIONS, bits).prop_map(|(precision, bits)| layout(precision, bits))
}

/// Runs of counts of alike size, so that each way of reading and writing them is taken.
fn counts() -> impl Strategy<Value = Vec<u64>> {
    let run = (0..64u32, prop::collection::vec(any::<u64>(), 1..20));
    let run = run.prop_map(|(shift, counts)| {
        let shrunk = |count| if shift == 0 { 0 } else { count >> shift };
        counts.into_iter().map(shrunk).collect::<Vec<u64>>()
    });
    prop::collection::vec(run, 0..12).prop_map(|runs| runs.concat())
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let span = prop_oneof![Just(0), value()];
    let recorded = (layouts(), values()).prop_map(|(layout, values)| snapshot(layout, &values));
    let counted = (PRECISIONS, 0..1000usize, counts(), any::<(u64, u64)>()).prop_map(
        |(precision, first, counts, (sum, min))| {
            let mut snapshot = Snapshot {
                first,
                counts,
                sum: u128::from(sum),
                min,
                ..Snapshot::empty(layout(precision, 64))
            };
            snapshot.trim();
            snapshot
        },
    );
    let any_of = prop_oneof![recorded, counted];
    (any_of, any::<bool>(), span).prop_map(|(snapshot, corrected, span)| Snapshot {
        corrected,
        span,
        ..snapshot
    })
}

fn sum_of_encoded(snapshots: &[Snapshot]) -> Option<Snapshot> {
    let mut sum = Sum::default();
    for snapshot in snapshots {
        sum.add(&snapshot.encode()).unwrap();
    }
    sum.finish()
}

proptest! {
    #[test]
    fn merging_is_recording_both(layout in layouts(), a in values(), b in values()) {
        let both: Vec<u64> = a.iter().chain(&b).copied().collect();
        let merged = snapshot(layout, &a).merge(&snapshot(layout, &b));
        prop_assert_eq!(merged, snapshot(layout, &both));
    }

    #[test]
    fn merging_meets_in_the_common_layout(a in layouts(), b in layouts(), x in values(), y in values()) {
        let (one, other) = (snapshot(a, &x), snapshot(b, &y));
        let precision = a.precision().min(b.precision());
        let ranges = [&one, &other].into_iter().filter(|s| s.overflow > 0).map(|s| s.layout.bits());
        let bits = ranges.min().unwrap_or(a.bits().max(b.bits()));
        let both: Vec<u64> = x.iter().chain(&y).copied().collect();
        prop_assert_eq!(one.merge(&other), snapshot(layout(precision, bits), &both));
    }

    #[test]
    fn merging_needs_no_order(a in snapshots(), b in snapshots(), c in snapshots()) {
        prop_assert_eq!(a.merge(&b), b.merge(&a));
        prop_assert_eq!(a.merge(&b).merge(&c), a.merge(&b.merge(&c)));
        let nothing = Snapshot::empty(a.layout);
        prop_assert_eq!(sum_of_encoded(&[]), None);
        prop_assert_eq!(sum_of_encoded(&[a.clone(), b.clone(), c.clone()]), Some(a.merge(&b).merge(&c)));
        prop_assert_eq!(&a.merge(&nothing), &a);
    }

    #[test]
    fn what_came_later_is_the_difference(layout in layouts(), a in values(), b in values()) {
        let histogram = Histogram::new(layout, 1);
        histogram.record_all(0, a.iter().copied());
        let before = histogram.cumulative();
        histogram.record_all(0, b.iter().copied());
        let after = histogram.cumulative();
        let later = after.subtract(&before);
        prop_assert_eq!(Some(later.clone()), after.checked_subtract(&before));
        let exact = snapshot(layout, &b);
        prop_assert_eq!(&later.counts, &exact.counts);
        prop_assert_eq!((later.first, later.overflow, later.sum), (exact.first, exact.overflow, exact.sum));
        // The ends are told at least to their buckets.
        let bucket = |value: u64| (value <= layout.max()).then(|| layout.index(value));
        prop_assert_eq!(bucket(later.min), bucket(exact.min));
        prop_assert_eq!(bucket(later.max), bucket(exact.max));
        prop_assert!(later.min <= later.max || b.is_empty());
        prop_assert_eq!(before.merge(&later), after.clone());
        prop_assert_eq!(before.checked_subtract(&after).is_some(), b.is_empty());
        let less = before.subtract(&after);
        prop_assert_eq!(less.count(), 0);
        prop_assert_eq!((less.min, less.max), (u64::MAX, 0));
    }

    #[test]
    fn the_binary_form_is_the_snapshot(snapshot in snapshots()) {
        let bytes = snapshot.encode();
        prop_assert_eq!(Snapshot::decode(&bytes), Ok(snapshot));
        for end in 0..bytes.len() {
            prop_assert!(Snapshot::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn damage_is_refused_or_another_snapshot(snapshot in snapshots(), at: prop::sample::Index, byte: u8) {
        let mut bytes = snapshot.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // A snapshot has one form, so that damage that is taken tells another snapshot.
        if let Ok(other) = Snapshot::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
            other.count();
            other.summary();
        }
    }

    #[test]
    fn quantiles_are_within_the_error(values in prop::collection::vec(value(), 1..200), q in 0.0..=1.0f64) {
        let mut sorted = values.clone();
        sorted.sort_unstable();
        for precision in PRECISIONS {
            let snapshot = snapshot(layout(precision, 64), &values);
            let bound = f64::from(1u32 << precision).recip();
            for percent in [0.0, q, 0.5, 0.9, 0.99, 1.0] {
                let rank = (percent * sorted.len() as f64 - 1e-9).ceil().max(1.0) as usize;
                let exact = sorted[rank - 1] as f64;
                let nearest = snapshot.quantiles(&[percent], Method::NearestRank).unwrap().unwrap()[0];
                prop_assert!((nearest - exact).abs() <= exact * bound / 2.0, "{precision} {percent}: {nearest}, not {exact}");
                let linear = snapshot.quantiles(&[percent], Method::Linear).unwrap().unwrap()[0];
                prop_assert!((linear - exact).abs() <= exact * bound, "{precision} {percent}: {linear}, not {exact}");
            }
        }
    }

    #[test]
    fn the_summary_is_within_the_error(values in prop::collection::vec(value(), 1..200), precision in PRECISIONS) {
        let snapshot = snapshot(layout(precision, 64), &values);
        let summary = snapshot.summary();
        prop_assert_eq!(summary.count, values.len() as u64);
        prop_assert_eq!(Some(&snapshot.min), values.iter().min());
        prop_assert_eq!(Some(&snapshot.max), values.iter().max());
        let n = values.len() as f64;
        let sum: u128 = values.iter().map(|&value| u128::from(value)).sum();
        let mean = sum as f64 / n;
        let known = summary.values.unwrap();
        prop_assert_eq!(known.moments.mean, mean);
        // Moving each value by at most e moves the deviation by at most e.
        let stddev = (values.iter().map(|&value| (value as f64 - mean).powi(2)).sum::<f64>() / n).sqrt();
        let apart = *values.iter().max().unwrap() as f64 / f64::from(2u32 << precision);
        prop_assert!((known.moments.stddev - stddev).abs() <= apart * (1.0 + 1e-9), "{} {}", known.moments.stddev, stddev);
    }
}

#[test]
fn quantiles_are_answered_in_the_order_asked() {
    let values: Vec<u64> = (1..=100).collect();
    let snapshot = snapshot(layout(7, 42), &values);
    let asked = [0.99, 0.0, 0.5, 1.0, 0.07];
    let answer = |method| snapshot.quantiles(&asked, method);
    assert_eq!(
        answer(Method::NearestRank),
        Ok(Some(vec![99.0, 1.0, 50.0, 100.0, 7.0]))
    );
    assert_eq!(
        answer(Method::Linear),
        Ok(Some(vec![99.0, 1.0, 50.0, 100.0, 7.0]))
    );
    for q in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(
            snapshot.quantiles(&[0.5, q], Method::Linear),
            Err(InvalidQuantile)
        );
    }
    let nothing = Snapshot::empty(layout(7, 42));
    assert_eq!(nothing.quantiles(&asked, Method::NearestRank), Ok(None));
    assert_eq!(nothing.summary().values, None);
}

#[test]
fn values_above_the_range_are_the_greatest() {
    let snapshot = snapshot(layout(5, 10), &[5, 2000, 3000, 4000]);
    assert_eq!(snapshot.overflow, 3);
    let quantiles = snapshot.quantiles(&[0.25, 0.5, 1.0], Method::NearestRank);
    assert_eq!(quantiles, Ok(Some(vec![5.0, 4000.0, 4000.0])));
}

#[test]
fn counts_of_any_size_do_no_harm() {
    let mut huge = snapshot(layout(7, 64), &[1, 100, 1 << 40, u64::MAX]);
    huge.counts
        .iter_mut()
        .filter(|count| **count > 0)
        .for_each(|count| *count = u64::MAX);
    let bytes = huge.encode();
    let huge = Snapshot::decode(&bytes).unwrap();
    assert_eq!(huge.count(), u64::MAX);
    assert_eq!(
        huge.merge(&huge),
        Snapshot {
            sum: 2 * huge.sum,
            ..huge.clone()
        }
    );
    let known = huge.summary().values.unwrap();
    assert!(known.moments.stddev.is_finite());
    assert!(huge.quantiles(&[0.0, 0.5, 1.0], Method::Linear).is_ok());
}

#[test]
fn what_is_no_snapshot_is_told_why() {
    let good = Snapshot {
        corrected: true,
        ..snapshot(layout(7, 42), &[3, 200, 5000])
    }
    .encode();
    let decode = |bytes: &[u8]| Snapshot::decode(bytes).map(|_| ());
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        decode(&bytes)
    };
    assert_eq!(decode(&good), Ok(()));
    assert_eq!(decode(b""), Err(DecodeError::Truncated));
    assert_eq!(decode(b"EM"), Err(DecodeError::Truncated));
    assert_eq!(decode(b"EX"), Err(DecodeError::NotASnapshot));
    assert_eq!(with(0, 131), Err(DecodeError::NotASnapshot));
    assert_eq!(with(4, 2), Err(DecodeError::Version));
    assert_eq!(with(5, 4), Err(DecodeError::Layout));
    assert_eq!(with(5, 11), Err(DecodeError::Layout));
    assert_eq!(with(6, 0), Err(DecodeError::Layout));
    assert_eq!(with(6, 65), Err(DecodeError::Layout));
    assert_eq!(with(7, 2), Err(DecodeError::Layout));
    assert_eq!(
        decode(&[&good[..], &[0]].concat()),
        Err(DecodeError::Trailing)
    );
    assert_eq!(decode(&good[..good.len() - 1]), Err(DecodeError::Truncated));

    // span, overflow, sum, first bucket, buckets, least, greatest, counts
    let body = |numbers: &[u8]| decode(&[&b"EMHS\x01\x05\x0A\x00"[..], numbers].concat());
    assert_eq!(body(&[0, 0, 0, 0, 0]), Ok(()));
    assert_eq!(body(&[0, 0, 5, 5, 1, 0, 0, 1]), Ok(()));
    // 0 in two bytes, 2^64, and a sum of 2^128.
    assert_eq!(body(&[0x80; 40]), Err(DecodeError::Number));
    assert_eq!(body(&[0x80, 0, 0, 0, 0, 0]), Err(DecodeError::Number));
    let long = |digits: usize, last: u8| [vec![0xFF; digits], vec![last]].concat();
    assert_eq!(body(&[&long(9, 1)[..], &[0, 0, 0, 0]].concat()), Ok(()));
    assert_eq!(
        body(&[&long(9, 2)[..], &[0, 0, 0, 0]].concat()),
        Err(DecodeError::Number)
    );
    assert_eq!(body(&[&[0, 0][..], &long(18, 3), &[0, 0]].concat()), Ok(()));
    assert_eq!(
        body(&[&[0, 0][..], &long(18, 4), &[0, 0]].concat()),
        Err(DecodeError::Number)
    );
    assert_eq!(
        body(&[&[0, 0][..], &long(18, 0x83), &[1, 0, 0]].concat()),
        Err(DecodeError::Number)
    );
    // Precision 5 with 10 bits has 192 buckets.
    assert_eq!(body(&[0, 0, 5, 0xBF, 1, 1, 0, 0, 1]), Ok(()));
    assert_eq!(
        body(&[0, 0, 5, 0xC0, 1, 1, 0, 0, 1]),
        Err(DecodeError::Range)
    );
    assert_eq!(
        body(&[0, 0, 5, 0xBF, 1, 2, 0, 0, 1]),
        Err(DecodeError::Range)
    );
    assert_eq!(
        body(&[&[0, 0, 5, 5][..], &long(9, 1)].concat()),
        Err(DecodeError::Range)
    );
    assert_eq!(body(&[0, 0, 0, 1, 0]), Err(DecodeError::Range));
    // A least value outside its bucket; a least above the greatest.
    assert_eq!(body(&[0, 0, 5, 5, 1, 1, 0, 1]), Err(DecodeError::Range));
    assert_eq!(
        body(&[0, 0, 5, 0xBF, 1, 1, 1, 0, 1]),
        Err(DecodeError::Range)
    );
    // Empty buckets at the ends, a run cut in two, and one beyond the last bucket.
    assert_eq!(body(&[0, 0, 5, 5, 3, 0, 0, 1, 0, 0, 1]), Ok(()));
    assert_eq!(
        body(&[0, 0, 5, 5, 3, 0, 0, 0, 0, 1, 1]),
        Err(DecodeError::Runs)
    );
    assert_eq!(
        body(&[0, 0, 5, 5, 3, 0, 0, 1, 0, 1]),
        Err(DecodeError::Runs)
    );
    assert_eq!(
        body(&[0, 0, 5, 5, 4, 0, 0, 1, 0, 0, 0, 0, 1]),
        Err(DecodeError::Runs)
    );
    assert_eq!(
        body(&[0, 0, 5, 5, 3, 0, 0, 1, 0, 9, 1]),
        Err(DecodeError::Runs)
    );
    // Nothing can be above 64 bits.
    let full = |overflow: u8| {
        decode(&[b"EMHS\x01\x05\x40\x00\x00".as_slice(), &[overflow, 0, 0, 0]].concat())
    };
    assert_eq!(full(0), Ok(()));
    assert_eq!(full(1), Err(DecodeError::Range));
}

/// The figure of the issue: a million log-normal latencies with a median of 1 ms.
#[test]
fn a_million_latencies_take_less_than_4_kb() {
    let mut state = 1u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let histogram = Histogram::new(layout(7, 42), 1);
    let latencies = (0..1_000_000).map(|_| {
        let (a, b) = (1.0 - uniform(), uniform());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        (1e6 * normal.exp()) as u64
    });
    histogram.record_all(0, latencies);
    let bytes = histogram.cumulative().encode().len();
    println!("{bytes} bytes");
    assert!(bytes <= 4096, "{bytes}");
}
