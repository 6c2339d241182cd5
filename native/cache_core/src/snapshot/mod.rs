//! Snapshots: a cache's entries in a file.
//!
//! ```text
//! file    = "\x89emcache" version:u32 crc32:u32 frame*      (all integers little endian)
//! frame   = kind:u32 sequence:u32 length:u64 crc32-of-payload:u32 crc32-of-these-20-bytes:u32 payload
//! payload = Head (kind 1, the first frame) | Record+ (kind 2) | End (kind 3, the last)
//! ```
//! The first 16 bytes stay as they are in every version, so that an older reader can tell a newer
//! file from a damaged one. Payloads are what [`codec`] makes of the structures below. `End` counts
//! frames and records and sums the checksums, so a frame that is missing, doubled or of another
//! file is noticed. A file is verified to its end before a record of it is given out.

mod codec;
mod frame;
mod pool;
mod reader;
mod walk;
mod writer;

pub use codec::Bytes;
pub use reader::{read, Chunk, Read};
pub use walk::Walk;
pub use writer::{write, Records, Written};

use serde::{Deserialize, Serialize};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// The version that is written; those up to it are read.
pub const VERSION: u32 = 1;

/// What is known of the whole.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// When it was begun, in milliseconds of the wall clock since 1970: times to live go on from
    /// there.
    pub saved_at: u64,
    /// Entries that the cache had then, roughly.
    pub entries: u64,
}

/// An entry. Times are milliseconds, those to come counted from [`Head::saved_at`].
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct Record<'a> {
    #[serde(borrow)]
    pub key: Bytes<'a>,
    #[serde(borrow)]
    pub value: Bytes<'a>,
    /// How key and value are to be read; means nothing here.
    pub form: u8,
    /// How often it was used lately, as far as the policy counts.
    pub visits: u8,
    /// The weight that was given with it.
    pub weight: Option<u32>,
    /// The time to live that it was put with, and what was left of it.
    pub ttl: Option<u64>,
    pub expires_in: Option<u64>,
    /// The time to idle, and what was left of it.
    pub idle: Option<u64>,
    pub idles_in: Option<u64>,
    pub stale_for: Option<u64>,
    pub stale_if_error: Option<u64>,
    #[serde(borrow)]
    pub tags: Vec<Bytes<'a>>,
    #[serde(borrow)]
    pub depends_on: Vec<Bytes<'a>>,
}

#[derive(Serialize, Deserialize)]
struct End {
    frames: u32,
    records: u64,
    /// Of the checksums of the payloads before, each as four bytes.
    checksum: u32,
}

#[derive(Debug)]
pub enum Error {
    /// Does not begin as a snapshot does.
    Foreign,
    /// Of a version to come.
    Newer(u32),
    /// Ends too early.
    Truncated,
    /// Not what was written; noticed in what begins at this offset.
    Damaged(u64),
    /// Another writer is at work on this file.
    Busy,
    Cancelled,
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}

/// How a call runs, and its end from outside.
pub struct Control {
    threads: usize,
    cancelled: AtomicBool,
}

impl Control {
    /// With this many threads to encode or decode, besides the caller's; at least one.
    pub fn new(threads: usize) -> Self {
        Control {
            threads: threads.max(1),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Soon ends the call with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    /// Chunks at work at once.
    fn width(&self) -> usize {
        self.threads * 2
    }
}
