//! Files that are not what was written.

use crate::support::*;
use cache_core::snapshot::Error;
use proptest::prelude::*;
use std::fs;
use std::sync::LazyLock;

#[test]
fn every_flipped_byte_is_noticed_before_anything_is_given_out() {
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(30), 11, 1);
    let good = fs::read(scratch.file()).unwrap();
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            fs::write(scratch.file(), &bad).unwrap();
            let (result, found) = load(&scratch.file(), 1);
            match result {
                Err(Error::Foreign) => assert!(at < 8),
                Err(Error::Damaged(offset)) => assert!(offset <= at as u64),
                other => panic!("byte {at} ^ {flip:#x}: {other:?}"),
            }
            assert!(found.is_empty());
        }
    }
}

#[test]
fn every_cut_is_called_one_and_nothing_is_given_out() {
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(30), 11, 1);
    let good = fs::read(scratch.file()).unwrap();
    for length in 0..good.len() {
        fs::write(scratch.file(), &good[..length]).unwrap();
        let (result, found) = load(&scratch.file(), 1);
        assert!(
            matches!(result, Err(Error::Truncated)),
            "{length}: {result:?}"
        );
        assert!(found.is_empty());
    }
}

#[test]
fn what_follows_the_end_is_damage() {
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(3), 2, 1);
    let good = fs::read(scratch.file()).unwrap();
    for more in [&[0][..], &good] {
        let bad = [&good, more].concat();
        fs::write(scratch.file(), bad).unwrap();
        let (result, found) = load(&scratch.file(), 1);
        assert!(matches!(result, Err(Error::Damaged(at)) if at == good.len() as u64));
        assert!(found.is_empty());
    }
}

/// Offsets of the frames, by their lengths.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut frames = Vec::new();
    let mut at = 16;
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap());
        let end = at + 24 + length as usize;
        frames.push(at..end);
        at = end;
    }
    frames
}

/// As a frame would be had it been written there.
fn renumbered(frame: &[u8], sequence: u32) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[4..8].copy_from_slice(&sequence.to_le_bytes());
    let checksum = crc32fast::hash(&frame[..20]);
    frame[20..24].copy_from_slice(&checksum.to_le_bytes());
    frame
}

#[test]
fn frames_in_another_order_of_another_file_or_doubled_are_damage() {
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(40), 10, 1);
    let good = fs::read(scratch.file()).unwrap();
    let at = frames(&good);
    assert_eq!(at.len(), 6); // head, four chunks, end
    let frame = |n: usize| &good[at[n].clone()];
    let with = |order: &[usize], sequences: &[u32]| {
        let mut bytes = good[..16].to_vec();
        for (n, sequence) in order.iter().zip(sequences) {
            bytes.extend(renumbered(frame(*n), *sequence));
        }
        fs::write(scratch.file(), &bytes).unwrap();
        let (result, found) = load(&scratch.file(), 1);
        assert!(result.is_ok() || found.is_empty());
        result
    };
    assert!(with(&[0, 1, 2, 3, 4, 5], &[0, 1, 2, 3, 4, 5]).is_ok());
    let altered: &[(&[usize], &[u32])] = &[
        (&[0, 2, 1, 3, 4, 5], &[0, 2, 1, 3, 4, 5]), // moved
        (&[0, 2, 1, 3, 4, 5], &[0, 1, 2, 3, 4, 5]), // moved and numbered anew
        (&[0, 1, 2, 3, 5], &[0, 1, 2, 3, 4]),       // one missing
        (&[0, 1, 1, 2, 3, 5], &[0, 1, 2, 3, 4, 5]), // one in place of another
        (&[0, 0, 1, 2, 3, 4, 5], &[0, 1, 2, 3, 4, 5, 6]),
        (&[1, 2, 3, 4, 5], &[0, 1, 2, 3, 4]),
        (&[5], &[0]),
    ];
    for (order, sequences) in altered {
        let result = with(order, sequences);
        assert!(
            matches!(result, Err(Error::Damaged(_))),
            "{order:?}: {result:?}"
        );
    }
    let unended = with(&[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]);
    assert!(matches!(unended, Err(Error::Truncated)));
}

/// A file of one chunk with this payload and right checksums, which claims so many records.
fn forged(payload: &[u8], records: u8) -> Vec<u8> {
    static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let scratch = Scratch::new();
        save(&scratch.file(), &numbered(1), 1, 1);
        fs::read(scratch.file()).unwrap()
    });
    let good = &*GOOD;
    let at = frames(good);
    let mut bytes = good[..at[1].start].to_vec();
    let head = &good[at[0].start + 16..at[0].start + 20];
    let checksum = crc32fast::hash(&[head, &crc32fast::hash(payload).to_le_bytes()].concat());
    // bincode: an integer of 32 bits after 252.
    let end = [&[2, records, 252][..], &checksum.to_le_bytes()].concat();
    for (number, payload) in [(1, payload), (2, &end)] {
        let mut frame = good[at[number].start..at[number].start + 24].to_vec();
        frame[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        frame[16..20].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        bytes.extend(renumbered(&frame, number as u32));
        bytes.extend(payload);
    }
    bytes
}

#[test]
fn lengths_inside_a_chunk_reserve_nothing() {
    let scratch = Scratch::new();
    // Varints of eight bytes (253): lengths that no memory holds, for bytes and for a list.
    let huge = [&[253][..], &(u64::MAX >> 1).to_le_bytes()].concat();
    let list = [&[0; 11][..], &huge].concat();
    for payload in [&huge[..], &list, &[0], &[255; 40]] {
        fs::write(scratch.file(), forged(payload, 1)).unwrap();
        let (result, found) = load(&scratch.file(), 1);
        assert!(matches!(result, Err(Error::Damaged(_))), "{result:?}");
        assert!(found.is_empty());
    }
}

#[test]
fn a_frame_longer_than_the_file_reserves_nothing() {
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(3), 3, 1);
    let mut bytes = fs::read(scratch.file()).unwrap();
    let chunk = frames(&bytes)[1].clone();
    bytes[chunk.start + 8..chunk.start + 16].copy_from_slice(&u64::MAX.to_le_bytes());
    let frame = renumbered(&bytes[chunk.clone()], 1);
    bytes[chunk].copy_from_slice(&frame);
    fs::write(scratch.file(), &bytes).unwrap();
    assert!(matches!(load(&scratch.file(), 1).0, Err(Error::Truncated)));
}

#[test]
fn foreign_and_newer_files_are_told_apart() {
    let scratch = Scratch::new();
    fs::write(scratch.file(), b"PK\x03\x04 something else entirely").unwrap();
    assert!(matches!(load(&scratch.file(), 1).0, Err(Error::Foreign)));
    assert!(matches!(load(&scratch.0, 1).0, Err(Error::Foreign))); // a directory

    let mut newer = b"\x89emcache\x02\x00\x00\x00".to_vec();
    newer.extend(crc32fast::hash(&newer).to_le_bytes());
    newer.extend(b"laid out as nobody knows yet");
    fs::write(scratch.file(), newer).unwrap();
    assert!(matches!(load(&scratch.file(), 1).0, Err(Error::Newer(2))));

    fs::remove_file(scratch.file()).unwrap();
    let Err(Error::Io(error)) = load(&scratch.file(), 1).0 else {
        panic!("there is no file");
    };
    assert_eq!(error.raw_os_error(), Some(2)); // ENOENT
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whoever forges checksums gets records or an error, never more.
    #[test]
    fn any_payload_with_a_right_checksum(
        payload in proptest::collection::vec(any::<u8>(), 1..200),
        small in any::<bool>(),
    ) {
        // Of small bytes come records more often.
        let payload: Vec<u8> = payload.iter().map(|byte| if small { byte % 4 } else { *byte }).collect();
        let scratch = Scratch::new();
        for records in 1..=payload.len() as u8 / 13 + 1 {
            fs::write(scratch.file(), forged(&payload, records)).unwrap();
            let (result, found) = load(&scratch.file(), 1);
            match result {
                Ok(read) => {
                    prop_assert_eq!(read.records, u64::from(records));
                    prop_assert_eq!(found.len(), usize::from(records));
                }
                Err(Error::Damaged(_)) => prop_assert!(found.is_empty()),
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_forged_well_is_read(count in 1..9u8) {
        let scratch = Scratch::new();
        let zeros = vec![0; 13 * usize::from(count)]; // records of nothing
        fs::write(scratch.file(), forged(&zeros, count)).unwrap();
        let (result, found) = load(&scratch.file(), 1);
        prop_assert_eq!(result.unwrap().records, u64::from(count));
        prop_assert_eq!(found, vec![Owned::default(); count.into()]);
    }
}
