//! Records that own their bytes, and a directory for their files.

use cache_core::snapshot::{read, write, Bytes, Control, Error, Head, Read, Record, Records};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

pub const HEAD: Head = Head {
    saved_at: 1_795_500_000_000,
    entries: 3,
};

/// A directory that ends with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
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

    pub fn file(&self) -> PathBuf {
        self.0.join("cache.snapshot")
    }

    pub fn names(&self) -> Vec<String> {
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
pub struct Owned {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub form: u8,
    pub visits: u8,
    pub weight: Option<u32>,
    pub times: [Option<u64>; 6],
    pub tags: Vec<Vec<u8>>,
    pub depends_on: Vec<Vec<u8>>,
}

impl Owned {
    pub fn lend(&self) -> Record<'_> {
        Record {
            key: Bytes(&self.key),
            value: Bytes(&self.value),
            form: self.form,
            visits: self.visits,
            weight: self.weight,
            ttl: self.times[0],
            expires_in: self.times[1],
            idle: self.times[2],
            idles_in: self.times[3],
            stale_for: self.times[4],
            stale_if_error: self.times[5],
            tags: self.tags.iter().map(|tag| Bytes(tag)).collect(),
            depends_on: self.depends_on.iter().map(|key| Bytes(key)).collect(),
        }
    }

    pub fn of(record: &Record) -> Self {
        Owned {
            key: record.key.0.to_vec(),
            value: record.value.0.to_vec(),
            form: record.form,
            visits: record.visits,
            weight: record.weight,
            times: [
                record.ttl,
                record.expires_in,
                record.idle,
                record.idles_in,
                record.stale_for,
                record.stale_if_error,
            ],
            tags: record.tags.iter().map(|tag| tag.0.to_vec()).collect(),
            depends_on: record.depends_on.iter().map(|key| key.0.to_vec()).collect(),
        }
    }
}

pub fn numbered(count: u32) -> Vec<Owned> {
    let number = |n: u32| Owned {
        key: n.to_be_bytes().to_vec(),
        value: vec![n as u8; n as usize % 40],
        form: (n % 3) as u8,
        visits: (n % 4) as u8,
        weight: n.is_multiple_of(5).then_some(n),
        times: [
            n.is_multiple_of(2).then(|| u64::from(n) << 30),
            None,
            Some(0),
            None,
            Some(7),
            None,
        ],
        tags: (0..n % 3).map(|tag| tag.to_be_bytes().to_vec()).collect(),
        depends_on: Vec::new(),
    };
    (0..count).map(number).collect()
}

pub fn save(path: &Path, records: &[Owned], batch: usize, threads: usize) -> u64 {
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
pub fn load(path: &Path, threads: usize) -> (Result<Read, Error>, Vec<Owned>) {
    let mut found = Vec::new();
    let result = read(
        path,
        &Control::new(threads),
        |_, chunk| chunk.map(|record| Owned::of(&record)).collect::<Vec<_>>(),
        |made| found.extend(made),
    );
    (result, found)
}

pub fn assert_whole(path: &Path, expected: &[Owned], threads: usize) {
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
