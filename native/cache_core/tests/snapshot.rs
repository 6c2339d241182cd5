//! Snapshot files: what is written is read, and nothing else is.

use cache_core::snapshot::{read, write, Bytes, Control, Error, Head, Read, Record, Records};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

const HEAD: Head = Head {
    saved_at: 1_795_500_000_000,
    entries: 3,
};

/// A directory that ends with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "cache_core_snapshot_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("cache.snapshot")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, PartialEq, Debug, Default)]
struct Owned {
    key: Vec<u8>,
    value: Vec<u8>,
    form: u8,
    visits: u8,
    weight: Option<u32>,
    times: [Option<u64>; 4],
    tags: Vec<Vec<u8>>,
    depends_on: Vec<Vec<u8>>,
}

impl Owned {
    fn lend(&self) -> Record<'_> {
        Record {
            key: Bytes(&self.key),
            value: Bytes(&self.value),
            form: self.form,
            visits: self.visits,
            weight: self.weight,
            expires_in: self.times[0],
            idle: self.times[1],
            stale_for: self.times[2],
            stale_if_error: self.times[3],
            tags: self.tags.iter().map(|tag| Bytes(tag)).collect(),
            depends_on: self.depends_on.iter().map(|key| Bytes(key)).collect(),
        }
    }

    fn of(record: &Record) -> Self {
        Owned {
            key: record.key.0.to_vec(),
            value: record.value.0.to_vec(),
            form: record.form,
            visits: record.visits,
            weight: record.weight,
            times: [
                record.expires_in,
                record.idle,
                record.stale_for,
                record.stale_if_error,
            ],
            tags: record.tags.iter().map(|tag| tag.0.to_vec()).collect(),
            depends_on: record.depends_on.iter().map(|key| key.0.to_vec()).collect(),
        }
    }
}

fn numbered(count: u32) -> Vec<Owned> {
    let number = |n: u32| Owned {
        key: n.to_be_bytes().to_vec(),
        value: vec![n as u8; n as usize % 40],
        form: (n % 3) as u8,
        visits: (n % 4) as u8,
        weight: (n % 5 == 0).then_some(n),
        times: [
            (n % 2 == 0).then(|| u64::from(n) << 30),
            None,
            Some(0),
            None,
        ],
        tags: (0..n % 3).map(|tag| tag.to_be_bytes().to_vec()).collect(),
        depends_on: Vec::new(),
    };
    (0..count).map(number).collect()
}

fn save(path: &Path, records: &[Owned], batch: usize, threads: usize) -> u64 {
    let mut batches = records.chunks(batch);
    let written = write(
        path,
        &HEAD,
        &Control::new(threads),
        || batches.next(),
        |batch: &[Owned], out: &mut Records| batch.iter().for_each(|one| out.push(&one.lend())),
    )
    .unwrap();
    assert_eq!(written.records, records.len() as u64);
    assert_eq!(written.bytes, fs::metadata(path).unwrap().len());
    written.bytes
}

/// What was read, and what was given out before.
fn load(path: &Path, threads: usize) -> (Result<Read, Error>, Vec<Owned>) {
    let mut found = Vec::new();
    let result = read(
        path,
        &Control::new(threads),
        |_, record| Owned::of(&record),
        |one| found.push(one),
    );
    (result, found)
}

fn assert_whole(path: &Path, expected: &[Owned], threads: usize) {
    let (result, found) = load(path, threads);
    let records = expected.len() as u64;
    assert_eq!(
        result.unwrap(),
        Read {
            head: HEAD,
            records
        }
    );
    assert_eq!(found, expected);
}

fn owned() -> impl Strategy<Value = Owned> {
    use proptest::collection::vec;
    let bytes = || vec(any::<u8>(), 0..300);
    (
        (bytes(), bytes(), any::<u8>(), any::<u8>()),
        any::<Option<u32>>(),
        any::<[Option<u64>; 4]>(),
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

/// A payload with a right checksum that no writer makes.
fn with_records_payload(payload: &[u8]) -> Vec<u8> {
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(1), 1, 1);
    let good = fs::read(scratch.file()).unwrap();
    let at = frames(&good);
    let mut frame = good[at[1].start..at[1].start + 24].to_vec();
    frame[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    frame[16..20].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let mut bytes = good[..at[1].start].to_vec();
    bytes.extend(renumbered(&frame, 1));
    bytes.extend(payload);
    bytes.extend(&good[at[2].clone()]);
    bytes
}

#[test]
fn lengths_inside_a_chunk_reserve_nothing() {
    let scratch = Scratch::new();
    // Varints of eight bytes (253): lengths that no memory holds, for bytes and for a list.
    let huge = [&[253][..], &(u64::MAX >> 1).to_le_bytes()].concat();
    let list = [&[0, 0, 0, 0, 0, 0, 0, 0, 0][..], &huge].concat();
    for payload in [&huge[..], &list, &[0], &[255; 40]] {
        fs::write(scratch.file(), with_records_payload(payload)).unwrap();
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
        times: [Some(70_000), None, Some(1), None],
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
        &[2, 0, 0, 0], &[1, 0, 0, 0], &[30, 0, 0, 0, 0, 0, 0, 0], &[51, 202, 94, 215], &[6, 49, 115, 204],
        b"\x03key", b"\x05value", &[1], &[3], &[1, 251, 44, 1],
        &[1, 252, 112, 17, 1, 0], &[0], &[1, 1], &[0], b"\x01\x01t", &[0],
        // End
        &[3, 0, 0, 0], &[2, 0, 0, 0], &[7, 0, 0, 0, 0, 0, 0, 0], &[64, 75, 67, 198], &[244, 91, 204, 29],
        &[2], &[1], &[252, 46, 192, 252, 136],
    ];
    let golden = golden.concat();
    assert_eq!(bytes, golden);
    fs::write(scratch.file(), golden).unwrap();
    assert_whole(&scratch.file(), &[record], 1);
}

#[test]
fn a_cancelled_save_leaves_the_old_file_and_nothing_else() {
    let scratch = Scratch::new();
    let old = numbered(50);
    save(&scratch.file(), &old, 10, 1);
    let control = Control::new(2);
    let mut given = 0u32;
    let result = write(
        &scratch.file(),
        &HEAD,
        &control,
        || {
            given += 1;
            if given == 100 {
                control.cancel();
            }
            Some(given) // without end
        },
        |n, out: &mut Records| out.push(&numbered(n % 3 + 1)[0].lend()),
    );
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_whole(&scratch.file(), &old, 1);
    assert_eq!(scratch.names(), ["cache.snapshot"]);
}

#[test]
fn a_cancelled_load_stops_early() {
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(10_000), 10, 1);
    let control = Control::new(1);
    let mut found = 0;
    let result = read(
        &scratch.file(),
        &control,
        |_, _| (),
        |()| {
            found += 1;
            if found == 100 {
                control.cancel();
            }
        },
    );
    assert!(matches!(result, Err(Error::Cancelled)));
    assert!(found < 1_000);
}

#[test]
fn a_panic_while_encoding_leaves_the_old_file() {
    let scratch = Scratch::new();
    let old = numbered(5);
    save(&scratch.file(), &old, 10, 1);
    let panicked = std::panic::catch_unwind(|| {
        let mut batches = 0..10;
        write(
            &scratch.file(),
            &HEAD,
            &Control::new(2),
            || batches.next(),
            |n, _: &mut Records| assert!(n != 5, "on purpose"),
        )
    });
    assert!(panicked.is_err());
    assert_whole(&scratch.file(), &old, 1);
    assert_eq!(scratch.names(), ["cache.snapshot"]);
}

#[test]
fn two_writers_of_a_file_do_not_mix() {
    let scratch = Scratch::new();
    let records = numbered(1);
    let mut first = true;
    write(
        &scratch.file(),
        &HEAD,
        &Control::new(1),
        || {
            let other = write(
                &scratch.file(),
                &HEAD,
                &Control::new(1),
                || None,
                |(), _| (),
            );
            assert!(matches!(other, Err(Error::Busy)));
            std::mem::take(&mut first).then_some(())
        },
        |(), out: &mut Records| out.push(&records[0].lend()),
    )
    .unwrap();
    assert_whole(&scratch.file(), &records, 1);
}

#[test]
fn what_cannot_be_written_is_an_error_and_leaves_no_litter() {
    let scratch = Scratch::new();
    let save_to = |path: &Path| write(path, &HEAD, &Control::new(1), || None, |(), _| ());
    assert!(matches!(save_to(&scratch.0), Err(Error::Io(_)))); // a directory
    assert!(matches!(
        save_to(&scratch.0.join("none/cache.snapshot")),
        Err(Error::Io(_))
    ));
    assert!(scratch.names().is_empty());
    // Nothing is written through a link that was left there.
    let other = scratch.0.join("other");
    fs::write(&other, b"precious").unwrap();
    std::os::unix::fs::symlink(&other, scratch.0.join("cache.snapshot.tmp")).unwrap();
    assert!(matches!(save_to(&scratch.file()), Err(Error::Io(_))));
    assert_eq!(fs::read(&other).unwrap(), b"precious");
}

#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(1), 1, 1);
    let mode = fs::metadata(scratch.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Not a test by itself: what [`killed_in_the_middle`] runs in a process of its own.
#[test]
fn writes_for_ever_when_asked_to() {
    let Some(path) = std::env::var_os("SNAPSHOT_TO_BE_KILLED") else {
        return;
    };
    let records = numbered(1_000);
    let _ = write(
        Path::new(&path),
        &HEAD,
        &Control::new(1),
        || Some(()),
        |(), out: &mut Records| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            records.iter().for_each(|record| out.push(&record.lend()));
        },
    );
    panic!("should have been killed");
}

#[test]
fn killed_in_the_middle() {
    let scratch = Scratch::new();
    let temporary = scratch.0.join("cache.snapshot.tmp");
    let old = numbered(100);
    save(&scratch.file(), &old, 10, 1);
    for _ in 0..3 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_for_ever_when_asked_to"])
            .env("SNAPSHOT_TO_BE_KILLED", scratch.file())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // The one before left a file of that size, which this one begins with emptying.
        let begun = |least| fs::metadata(&temporary).is_ok_and(|found| found.len() > least);
        while !begun(100_000) {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_whole(&scratch.file(), &old, 1);
        assert_eq!(scratch.names(), ["cache.snapshot", "cache.snapshot.tmp"]);
        assert!(load(&temporary, 1).0.is_err());
    }
    // What was left is taken over.
    let new = numbered(7);
    save(&scratch.file(), &new, 2, 1);
    assert_whole(&scratch.file(), &new, 1);
    assert_eq!(scratch.names(), ["cache.snapshot"]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_threads_end_with_the_call() {
    let named = || {
        fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("erlmcp_snap_"))
            .count()
    };
    // In a process of its own, since the other tests use such threads at the same time.
    if std::env::var_os("SNAPSHOT_THREADS").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_threads_end_with_the_call"])
            .env("SNAPSHOT_THREADS", "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let scratch = Scratch::new();
    let mut during = 0;
    let mut batches = 0..10;
    write(
        &scratch.file(),
        &HEAD,
        &Control::new(3),
        || {
            during = named();
            batches.next()
        },
        |_, out: &mut Records| numbered(9).iter().for_each(|one| out.push(&one.lend())),
    )
    .unwrap();
    assert_eq!(during, 3);
    assert_eq!(named(), 0);
}
