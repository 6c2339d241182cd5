//! What is written is read.

use crate::support::*;
use cache_core::snapshot::{write, Control, Records};
use proptest::prelude::*;
use std::fs;

fn owned() -> impl Strategy<Value = Owned> {
    use proptest::collection::vec;
    let bytes = || vec(any::<u8>(), 0..300);
    (
        (bytes(), bytes(), any::<u8>(), any::<u8>()),
        any::<Option<u32>>(),
        any::<[Option<u64>; 6]>(),
        vec(bytes(), 0..4),
        vec(bytes(), 0..4),
    )
        .prop_map(
            |((key, value, form, visits), weight, times, tags, depends_on)| Owned {
                key,
                value,
                form,
                visits,
                weight,
                times,
                tags,
                depends_on,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_records_come_back_in_their_order(
        records in proptest::collection::vec(owned(), 0..60),
        batch in 1..20usize,
        threads in 1..4usize,
    ) {
        let scratch = Scratch::new();
        save(&scratch.file(), &records, batch, threads);
        assert_whole(&scratch.file(), &records, threads);
    }

    #[test]
    fn no_bytes_are_fatal(start in 0..200usize, noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let scratch = Scratch::new();
        save(&scratch.file(), &numbered(10), 3, 1);
        let mut bytes = fs::read(scratch.file()).unwrap();
        bytes.truncate(start);
        bytes.extend(noise);
        fs::write(scratch.file(), &bytes).unwrap();
        prop_assert!(load(&scratch.file(), 1).0.is_err());
    }
}

#[test]
fn order_holds_over_many_chunks_and_large_records() {
    let scratch = Scratch::new();
    let mut records = numbered(20_000);
    records[7].value = vec![7; 40 << 20]; // more than is held at once otherwise
    records[19_999].key = vec![9; 3 << 20];
    save(&scratch.file(), &records, 37, 3);
    assert_whole(&scratch.file(), &records, 2);
}

#[test]
fn a_batch_without_records_leaves_no_chunk() {
    let scratch = Scratch::new();
    let empty = save(&scratch.file(), &[], 1, 1);
    let mut batches = (0..50).map(|n| n % 7 == 3);
    let records = numbered(1);
    let written = write(
        &scratch.file(),
        &HEAD,
        &Control::new(2),
        || batches.next(),
        |full, out: &mut Records| {
            if full {
                out.push(&records[0].lend());
                assert!(out.size() > 0);
            }
        },
    )
    .unwrap();
    assert_eq!(written.records, 7);
    let (result, found) = load(&scratch.file(), 1);
    assert_eq!(result.unwrap().records, 7);
    assert_eq!(found, vec![records[0].clone(); 7]);
    assert!(written.bytes > empty);
}

/// Bytes of version 1, so that it is not changed by accident.
#[test]
fn the_format_is_the_one_that_was() {
    let scratch = Scratch::new();
    let record = Owned {
        key: b"key".to_vec(),
        value: b"value".to_vec(),
        form: 1,
        visits: 3,
        weight: Some(300),
        times: [Some(70_000), Some(69_999), None, None, Some(1), None],
        tags: vec![b"t".to_vec()],
        depends_on: vec![],
    };
    save(&scratch.file(), std::slice::from_ref(&record), 1, 1);
    let bytes = fs::read(scratch.file()).unwrap();
    #[rustfmt::skip]
    let golden: &[&[u8]] = &[
        b"\x89emcache", &[1, 0, 0, 0], &[247, 127, 25, 77],
        // Head
        &[1, 0, 0, 0], &[0, 0, 0, 0], &[10, 0, 0, 0, 0, 0, 0, 0], &[216, 54, 212, 80], &[17, 17, 188, 205],
        &[253, 0, 195, 35, 12, 162, 1, 0, 0], &[3],
        // Record
        &[2, 0, 0, 0], &[1, 0, 0, 0], &[37, 0, 0, 0, 0, 0, 0, 0], &[214, 189, 10, 81], &[150, 210, 219, 195],
        b"\x03key", b"\x05value", &[1], &[3], &[1, 251, 44, 1],
        &[1, 252, 112, 17, 1, 0], &[1, 252, 111, 17, 1, 0], &[0], &[0], &[1, 1], &[0], b"\x01\x01t", &[0],
        // End
        &[3, 0, 0, 0], &[2, 0, 0, 0], &[7, 0, 0, 0, 0, 0, 0, 0], &[51, 129, 5, 141], &[139, 55, 83, 191],
        &[2], &[1], &[252, 180, 177, 239, 226],
    ];
    let golden = golden.concat();
    assert_eq!(bytes, golden);
    fs::write(scratch.file(), golden).unwrap();
    assert_whole(&scratch.file(), &[record], 1);
}
