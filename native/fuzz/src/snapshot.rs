//! The binary forms of histograms.

use histogram_core::encoding::DecodeError;
use histogram_core::hdr::read_log_line;
use histogram_core::merge::Sum;
use histogram_core::quantiles::Method;
use histogram_core::snapshot::Snapshot;

/// The first byte tells what the others are: a snapshot, HdrHistogram's V2, a line of its interval
/// log, or two snapshots, of which the first is as long as the second byte says.
pub fn snapshot(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    match kind % 4 {
        0 => {
            if let Ok(snapshot) = decoded(bytes) {
                sound(&snapshot);
            }
        }
        1 => {
            if let Ok(snapshot) = Snapshot::from_hdr(bytes) {
                sound(&snapshot);
                there_and_back(&snapshot);
            }
        }
        2 => {
            if let Some(line) = std::str::from_utf8(bytes)
                .ok()
                .and_then(|line| read_log_line(line).ok()?)
            {
                assert!(line.start.is_finite() && line.length.is_finite());
                sound(&line.snapshot);
            }
        }
        _ => {
            let Some((&len, bytes)) = bytes.split_first() else {
                return;
            };
            let (one, other) = bytes.split_at(bytes.len().min(len.into()));
            if let (Ok(a), Ok(b)) = (decoded(one), decoded(other)) {
                merged(&a, &b);
            }
        }
    }
}

/// A snapshot has one form, however it is read.
fn decoded(bytes: &[u8]) -> Result<Snapshot, DecodeError> {
    let decoded = Snapshot::decode(bytes);
    let mut sum = Sum::default();
    assert_eq!(sum.add(bytes).err(), decoded.as_ref().err().copied());
    if let Ok(snapshot) = &decoded {
        assert_eq!(snapshot.encode(), bytes);
        assert_eq!(sum.finish().as_ref(), Some(snapshot));
        // Added to another, it is read in another way.
        let mut sum = Sum::default();
        sum.add(&Snapshot::empty(snapshot.layout).encode())
            .expect("it has just been written");
        assert_eq!(sum.add(bytes), Ok(()));
        assert_eq!(sum.finish().as_ref(), Some(snapshot));
    }
    decoded
}

/// Whatever it holds, it can be asked.
fn sound(snapshot: &Snapshot) {
    assert_eq!(Snapshot::decode(&snapshot.encode()).as_ref(), Ok(snapshot));
    assert!(snapshot.counts.len() <= snapshot.layout.len());
    let count = snapshot.count();
    let asked = [0.0, 0.1, 0.5, 0.9, 0.999, 1.0];
    let summary = snapshot.summary();
    assert_eq!(summary.count, count);
    for method in [Method::NearestRank, Method::Linear] {
        let values = snapshot.quantiles(&asked, method).expect("all are valid");
        let Some(values) = values else {
            assert_eq!((count, summary.values), (0, None));
            continue;
        };
        assert!(values.is_sorted());
        let (min, max) = (snapshot.min as f64, snapshot.max as f64);
        assert!(values.iter().all(|value| (min..=max).contains(value)));
    }
    if let Some(known) = summary.values {
        assert!(known.quantiles.is_sorted());
        assert!(known.moments.mean.is_finite() && known.moments.stddev >= 0.0);
    }
    let counts = snapshot.buckets(&[-1.0, 0.0, 1.0, 1e3, 1e6, 1e9, 1e20]);
    assert!(counts.is_sorted() && counts[0] == 0 && counts[6] == count);
    snapshot.plot(80);
}

fn merged(a: &Snapshot, b: &Snapshot) {
    let both = a.merge(b);
    sound(&both);
    assert_eq!(b.merge(a), both);
    let mut sum = Sum::default();
    for snapshot in [a, b] {
        assert_eq!(sum.add(&snapshot.encode()), Ok(()));
    }
    assert_eq!(sum.finish().as_ref(), Some(&both));
    let left = both.subtract(a);
    sound(&left);
    // Where no count has reached the greatest integer.
    if both.count() < u64::MAX {
        assert_eq!(left.count(), b.count());
    }
    sound(&a.subtract(b));
}

fn there_and_back(snapshot: &Snapshot) {
    let back = Snapshot::from_hdr(&snapshot.to_hdr(false)).expect("it has just been written");
    sound(&back);
    // It cannot tell counts of 2^63 and more.
    if snapshot.count() < 1 << 63 {
        assert_eq!(back.count(), snapshot.count());
    }
}
