//! Writing: beside the old file, and in its place once all of it is on the disk.

use super::frame::{FrameWriter, Kind, Payload};
use super::{codec, pool, Control, End, Error, Head, Record};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the records of one chunk go.
#[derive(Default)]
pub struct Records {
    bytes: Vec<u8>,
    count: u64,
}

impl Records {
    pub fn push(&mut self, record: &Record) {
        let start = self.bytes.len();
        if codec::encode(record, &mut self.bytes) {
            self.count += 1;
        } else {
            self.bytes.truncate(start);
        }
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    pub records: u64,
    /// The size of the file.
    pub bytes: u64,
}

struct Chunk {
    payload: Payload,
    records: u64,
}

/// Writes what `next` gives until it gives no more, each batch as a chunk that `encode` fills on
/// a thread of the call's own; the file keeps their order. Some `4 * threads` batches and chunks are
/// in memory at once. Until this returns `Ok` the file at `path` is the one that was there
/// before, whatever happens.
pub fn write<B: Send>(
    path: &Path,
    head: &Head,
    control: &Control,
    mut next: impl FnMut() -> Option<B>,
    encode: impl Fn(B, &mut Records) + Sync,
) -> Result<Written, Error> {
    let file = Replacement::begin(path)?;
    let mut out = FrameWriter::new(&file.file)?;
    out.push(Kind::Head, &Payload::of(head))?;
    let records = pool::with_pool(control, |pool| {
        let mut records = 0;
        let mut ready: Vec<Chunk> = Vec::new();
        let mut gather = || -> Vec<B> {
            std::iter::from_fn(&mut next)
                .take(control.width())
                .collect()
        };
        let mut batches = gather();
        while !(batches.is_empty() && ready.is_empty()) {
            control.check()?;
            let mut slots: Vec<Option<Chunk>> = batches.iter().map(|_| None).collect();
            // While the pool encodes these, the ones before are written and others gathered.
            batches = pool.in_place_scope(|scope| {
                for (batch, slot) in batches.into_iter().zip(&mut slots) {
                    let encode = &encode;
                    scope.spawn(move |_| *slot = chunk(batch, encode));
                }
                for chunk in ready.drain(..) {
                    out.push(Kind::Records, &chunk.payload)?;
                    records += chunk.records;
                }
                Ok::<_, Error>(gather())
            })?;
            ready = slots.into_iter().flatten().collect();
        }
        Ok(records)
    })?;
    control.check()?;
    let end = End {
        frames: out.frames(),
        records,
        checksum: out.checksum(),
    };
    out.push(Kind::End, &Payload::of(&end))?;
    let bytes = out.bytes();
    file.commit()?;
    Ok(Written { records, bytes })
}

/// Nothing, if `encode` pushed no record.
fn chunk<B>(batch: B, encode: impl Fn(B, &mut Records)) -> Option<Chunk> {
    let mut records = Records::default();
    encode(batch, &mut records);
    (records.count > 0).then(|| Chunk {
        records: records.count,
        payload: Payload::new(records.bytes),
    })
}

/// A file to be, under `<path>.tmp` until it is whole. A crash leaves that behind; the next
/// writer takes it over. The lock keeps two writers apart and ends with the process.
struct Replacement {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    done: bool,
}

impl Replacement {
    fn begin(path: &Path) -> Result<Self, Error> {
        let mut temporary = OsString::from(path);
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        // A link is followed at neither place, and nothing but a file is replaced.
        for place in [path, &temporary] {
            if fs::symlink_metadata(place).is_ok_and(|found| !found.is_file()) {
                return Err(Error::Io(ErrorKind::AlreadyExists.into()));
            }
        }
        // Whoever held the lock may have renamed or removed the file just before we got it.
        for _ in 0..100 {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600) // what is cached may be secret
                .open(&temporary)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Error::Busy),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            let ours = file.metadata()?;
            let same = fs::symlink_metadata(&temporary)
                .is_ok_and(|found| found.dev() == ours.dev() && found.ino() == ours.ino());
            if same && ours.is_file() {
                file.set_len(0)?;
                return Ok(Replacement {
                    file,
                    temporary,
                    path: path.to_owned(),
                    done: false,
                });
            }
        }
        Err(Error::Busy)
    }

    fn commit(mut self) -> Result<(), Error> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.done = true;
        // The rename itself must be on the disk too.
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()?;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
