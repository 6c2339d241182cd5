//! HdrHistogram's formats against its own crate: what we write it reads, what it writes we read.

use flate2::write::ZlibEncoder;
use flate2::Compression;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use hdrhistogram::Histogram as Hdr;
use histogram_core::hdr::{is_tag, log_header, read_log_line, HdrError};
use histogram_core::histogram::Histogram;
use histogram_core::layout::{Layout, PRECISIONS};
use histogram_core::snapshot::Snapshot;
use proptest::prelude::*;
use std::io::Write;
use std::time::Duration;

fn snapshot(precision: u8, bits: u8, values: &[u64]) -> Snapshot {
    let histogram = Histogram::new(Layout::new(precision, bits).unwrap(), 1);
    histogram.record_all(0, values.iter().copied());
    histogram.cumulative()
}

fn value() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift)
}

fn values() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(value(), 1..60)
}

fn written(hdr: &Hdr<u64>, deflated: bool) -> Vec<u8> {
    let mut bytes = vec![];
    if deflated {
        V2DeflateSerializer::new()
            .serialize(hdr, &mut bytes)
            .unwrap();
    } else {
        V2Serializer::new().serialize(hdr, &mut bytes).unwrap();
    }
    bytes
}

proptest! {
    #[test]
    fn the_crate_reads_ours(precision in PRECISIONS, bits in 3..=64u8, values in values(), deflated: bool) {
        let snapshot = snapshot(precision, bits, &values);
        let bytes = snapshot.to_hdr(deflated);
        let hdr: Hdr<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        prop_assert_eq!(hdr.len(), values.len() as u64);
        let distribution = snapshot.distribution();
        for quantile in [0.0, 0.25, 0.5, 0.9, 1.0] {
            let ours = distribution.nearest(quantile).unwrap();
            let theirs = hdr.value_at_quantile(quantile);
            prop_assert!(hdr.equivalent(ours, theirs), "{quantile} {ours} {theirs}");
        }
        // Back in the same buckets, as far as it knew them.
        let back = Snapshot::from_hdr(&bytes).unwrap();
        prop_assert_eq!(back.count(), values.len() as u64);
        if snapshot.overflow == 0 {
            let nothing = Snapshot::empty(Layout::new(precision, 1).unwrap());
            let same = back.merge(&nothing);
            prop_assert_eq!((same.first, same.counts), (snapshot.first, snapshot.counts));
        }
    }

    #[test]
    fn we_read_the_crates(
        digits in 0..=5u8, low in 1..5000u64, values in prop::collection::vec(value(), 1..40), deflated: bool
    ) {
        let values: Vec<u64> = values.into_iter().map(|value| value >> 16).collect();
        let high = values.iter().max().unwrap().max(&(2 * low)) + 1;
        let mut hdr = Hdr::<u64>::new_with_bounds(low, high, digits).unwrap();
        for value in &values {
            hdr.record_n(*value, 3).unwrap();
        }
        let back = Snapshot::from_hdr(&written(&hdr, deflated)).unwrap();
        prop_assert_eq!(back.count(), 3 * values.len() as u64);
        let (mut sorted, distribution) = (values.clone(), back.distribution());
        sorted.sort_unstable();
        for (at, value) in sorted.into_iter().enumerate() {
            let told = distribution.nearest((3 * at + 2) as f64 / back.count() as f64).unwrap();
            let theirs = hdr.equivalent_range(value) as f64 / 2.0;
            let ours = value as f64 / f64::from(2u32 << back.layout.precision());
            prop_assert!(told.abs_diff(value) as f64 <= theirs + ours + 1.0, "{value} {told}");
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, values in values()) {
        let _ = Snapshot::from_hdr(&bytes);
        let mut counts = vec![0x1C, 0x84, 0x93, 0x13];
        counts.extend((bytes.len() as u32).to_be_bytes());
        counts.extend(&snapshot(7, 42, &values).to_hdr(false)[8..40]);
        counts.extend(&bytes);
        if let Ok(read) = Snapshot::from_hdr(&counts) {
            prop_assert_eq!(Snapshot::decode(&read.encode()), Ok(read));
        }
        let mut damaged = snapshot(7, 42, &values).to_hdr(true);
        let at = at.index(damaged.len());
        damaged[at] ^= 0x11;
        let _ = Snapshot::from_hdr(&damaged);
    }
}

#[test]
fn nothing_and_everything_go_there_and_back() {
    let nothing = Snapshot::from_hdr(&snapshot(7, 42, &[]).to_hdr(false)).unwrap();
    assert_eq!(
        (nothing.count(), nothing.min, nothing.max),
        (0, u64::MAX, 0)
    );
    let ends = snapshot(10, 64, &[0, u64::MAX]);
    let back = Snapshot::from_hdr(&ends.to_hdr(true)).unwrap();
    assert_eq!((back.count(), back.min, back.max), (2, 0, u64::MAX));
    // Values above the range are told as the greatest.
    let above = snapshot(5, 10, &[1, 5000, 6000]);
    let back = Snapshot::from_hdr(&above.to_hdr(true)).unwrap();
    assert_eq!(
        (back.count(), back.overflow, back.buckets(&[5900.0])),
        (3, 0, vec![1])
    );
    let mut huge = snapshot(7, 42, &[100]);
    huge.counts[0] = u64::MAX;
    assert_eq!(
        Snapshot::from_hdr(&huge.to_hdr(false)).unwrap().count(),
        i64::MAX as u64
    );
}

#[test]
fn what_is_not_hdr_is_told_why() {
    let values = [1, 100, 5000];
    let plain = snapshot(7, 42, &values).to_hdr(false);
    let deflated = snapshot(7, 42, &values).to_hdr(true);
    let read = |bytes: &[u8]| Snapshot::from_hdr(bytes).map(|snapshot| snapshot.count());
    assert_eq!((read(&plain), read(&deflated)), (Ok(3), Ok(3)));
    assert_eq!(read(b""), Err(HdrError::Truncated));
    assert_eq!(read(b"\x1C\x84\x93\x08________"), Err(HdrError::NotHdr));
    for bytes in [&plain, &deflated] {
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Err(HdrError::Truncated));
        }
        assert_eq!(
            read(&[bytes.as_slice(), &[0]].concat()),
            Err(HdrError::Trailing)
        );
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = plain.clone();
        bytes[at] = byte;
        read(&bytes)
    };
    for (at, byte) in [(11, 1), (12, 1), (15, 6), (23, 0), (32, 0x7F)] {
        assert_eq!(with(at, byte), Err(HdrError::Parameters), "{at}");
    }
    // A range up to 4 has no bucket for 5000; the lowest is at 2^62, where 2 digits have no room.
    let range = |low: u64, high: u64| {
        let mut bytes = plain.clone();
        bytes[16..24].copy_from_slice(&low.to_be_bytes());
        bytes[24..32].copy_from_slice(&high.to_be_bytes());
        read(&bytes)
    };
    assert_eq!(range(1, 4), Err(HdrError::Range));
    assert_eq!(range(1, 5000), Ok(3));
    assert_eq!(range(5000, 9999), Err(HdrError::Parameters));
    assert_eq!(range(1 << 62, u64::MAX), Err(HdrError::Range));
    // More counts claimed than there are: nothing is reserved for them.
    let mut claimed = plain.clone();
    claimed[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(read(&claimed), Err(HdrError::Truncated));

    let deflate = |bytes: &[u8]| {
        let mut encoder = ZlibEncoder::new(vec![], Compression::best());
        encoder.write_all(bytes).unwrap();
        let body = encoder.finish().unwrap();
        let mut all = vec![0x1C, 0x84, 0x93, 0x14];
        all.extend((body.len() as u32).to_be_bytes());
        all.extend(body);
        all
    };
    assert_eq!(read(&deflate(&plain)), Ok(3));
    assert_eq!(read(&deflate(&deflated)), Err(HdrError::NotHdr));
    let mut damaged = deflated.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(read(&damaged), Err(HdrError::Deflate));
    let mut more = deflate(&plain);
    more.push(0);
    more[7] += 1;
    assert_eq!(read(&more), Err(HdrError::Trailing));
    let bomb = deflate(&vec![0; 100 << 20]);
    assert!(bomb.len() < 200_000);
    assert_eq!(read(&bomb), Err(HdrError::TooLarge));
}

#[test]
fn the_crate_reads_our_log() {
    let one = snapshot(7, 42, &[1_000_000, 2_000_000]);
    let mut log = log_header(Some(1_750_000_000.25));
    log += &one.to_log_line(None, 0.5, 1.0, 1e6);
    log.push('\n');
    log += &one.to_log_line(Some("GET/x"), 1.5, 0.25, 1e6);
    log.push('\n');
    let entries: Vec<_> = IntervalLogIterator::new(log.as_bytes())
        .map(Result::unwrap)
        .collect();
    assert_eq!(entries.len(), 3);
    assert_eq!(
        entries[0],
        LogEntry::StartTime(Duration::from_millis(1_750_000_000_250))
    );
    let LogEntry::Interval(interval) = &entries[2] else {
        panic!("{entries:?}")
    };
    assert_eq!(interval.tag().unwrap().as_str(), "GET/x");
    assert_eq!(interval.start_timestamp(), Duration::from_millis(1500));
    assert_eq!(interval.duration(), Duration::from_millis(250));
    assert_eq!(interval.max(), 2.0);
    assert!(log_header(None).lines().count() == 2);
}

#[test]
fn we_read_logs() {
    let mut hdr = Hdr::<u64>::new(3).unwrap();
    hdr.record(12345).unwrap();
    let (mut log, mut serializer) = (vec![], V2DeflateSerializer::new());
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("of the crate")
        .begin_log_with(&mut log, &mut serializer)
        .unwrap();
    let (start, length) = (Duration::from_millis(1250), Duration::from_secs(2));
    writer
        .write_histogram(&hdr, start, length, Tag::new("a"))
        .unwrap();
    writer.write_histogram(&hdr, start, length, None).unwrap();
    let log = String::from_utf8(log).unwrap();
    let lines: Vec<_> = log
        .lines()
        .map(|line| read_log_line(line).unwrap())
        .collect();
    assert_eq!(lines[0], None);
    let line = lines[1].clone().unwrap();
    assert_eq!(
        (line.tag.as_deref(), line.start, line.length),
        (Some("a"), 1.25, 2.0)
    );
    assert_eq!((line.snapshot.count(), line.snapshot.span), (1, 2000));
    assert_eq!(lines[2].clone().unwrap().tag, None);
    assert_eq!(
        log_header(Some(1.0))
            .lines()
            .map(read_log_line)
            .collect::<Vec<_>>(),
        [Ok(None), Ok(None), Ok(None)]
    );
    assert_eq!(read_log_line("  \r"), Ok(None));

    let line = snapshot(7, 42, &[5]).to_log_line(Some("a"), 1.0, 2.0, 1.0);
    let back = read_log_line(&format!("{line}\r\n")).unwrap().unwrap();
    assert_eq!(back.snapshot.max, 5);
    let line = snapshot(7, 42, &[5]).to_log_line(None, 1.0, 2.0, f64::MIN_POSITIVE);
    assert!(read_log_line(&line).is_ok_and(|line| line.is_some()));
    let text = line.rsplit_once(',').unwrap().1;
    for wrong in [
        "x",
        "Tag=a",
        "1,2",
        "1,2,3",
        "1,x,3,AAAA",
        "1,inf,3,AAAA",
        &format!("{line},"),
        &format!("1,2,{text}"),
    ] {
        assert_eq!(read_log_line(wrong), Err(HdrError::Line), "{wrong}");
    }
    assert_eq!(read_log_line("1,2,3,A*"), Err(HdrError::Base64));
    assert_eq!(read_log_line("1,2,3,AAAA"), Err(HdrError::Truncated));
    assert!(is_tag("GET/x") && !["", "a b", "a,b", "a\n", "a\r"].into_iter().any(is_tag));
}

/// Runs of empty buckets may lead as far as 64 bits and further.
#[test]
fn endless_runs_end_beyond_the_range() {
    let mut bytes = vec![];
    // Of no digits; three runs of 2^63 buckets, then a count of 1.
    let counts = [&[0xFF; 9][..], &[0xFF; 9], &[0xFF; 9], &[2]].concat();
    bytes.extend(0x1C84_9313u32.to_be_bytes());
    bytes.extend((counts.len() as u32).to_be_bytes());
    bytes.extend([0u32, 0].map(u32::to_be_bytes).concat());
    bytes.extend([4, u64::MAX, 1f64.to_bits()].map(u64::to_be_bytes).concat());
    bytes.extend(counts);
    assert_eq!(Snapshot::from_hdr(&bytes), Err(HdrError::Range));
}
