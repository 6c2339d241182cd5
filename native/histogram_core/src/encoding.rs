//! The binary form of a snapshot: compact, versioned, the same on all machines.
//!
//! `"EMHS"`, version, precision, bits, flags (bit 0: corrected), a byte each; then numbers, seven bits
//! a byte, the lowest first, the top bit of all bytes but the last set, as few bytes as can be
//! (LEB128): the span, the overflow, the sum, the first bucket's number, how many buckets; where
//! there are values, how far the least is above the lowest value of the lowest bucket, and the
//! greatest above that of the highest (a bucket being here all above the layout's largest, too); then
//! the counts, and for a run of empty buckets 0 and their number less one. The first and the last bucket are not
//! empty. A snapshot has one binary form only.

use crate::layout::Layout;
use crate::snapshot::Snapshot;

const MAGIC: [u8; 4] = *b"EMHS";
const VERSION: u8 = 1;
const CORRECTED: u8 = 1;

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They do not begin as one does.
    NotASnapshot,
    /// A version that is not known here: written by a newer release.
    Version,
    /// A precision, a range or flags that are not known.
    Layout,
    /// They end too early.
    Truncated,
    /// They go on after the end.
    Trailing,
    /// A number of more bytes than it needs, or of more bits than it may have.
    Number,
    /// A bucket, the least or the greatest value are where they cannot be.
    Range,
    /// Empty buckets that are not told as one run, or at an end.
    Runs,
}

/// What stands before the counts.
pub(crate) struct Header {
    /// Without its counts.
    pub snapshot: Snapshot,
    pub len: usize,
}

impl Snapshot {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48 + 2 * self.counts.len());
        bytes.extend(MAGIC);
        let flags = u8::from(self.corrected) * CORRECTED;
        bytes.extend([VERSION, self.layout.precision(), self.layout.bits(), flags]);
        let first = if self.counts.is_empty() {
            0
        } else {
            self.first
        };
        put(&mut bytes, self.span);
        put(&mut bytes, self.overflow);
        put_long(&mut bytes, self.sum);
        put(&mut bytes, first as u64);
        put(&mut bytes, self.counts.len() as u64);
        if let Some([lowest, highest]) = self.ends() {
            put(&mut bytes, self.min.saturating_sub(lowest.0));
            put(&mut bytes, self.max.saturating_sub(highest.0));
        }
        put_counts(&mut bytes, &self.counts);
        bytes
    }

    /// Never takes more memory than the buckets of the layout that the bytes name.
    pub fn decode(bytes: &[u8]) -> Result<Snapshot, DecodeError> {
        let mut reader = Reader(bytes);
        let Header { mut snapshot, len } = reader.header()?;
        snapshot.counts = vec![0; len];
        reader.counts(&mut snapshot.counts, |count, read| *count = read)?;
        Ok(snapshot)
    }

    /// The bounds of the lowest and the highest bucket with values; the values above the layout's
    /// largest count as a bucket.
    pub(crate) fn ends(&self) -> Option<[(u64, u64); 2]> {
        ends(self.layout, self.first, self.counts.len(), self.overflow)
    }
}

fn ends(layout: Layout, first: usize, len: usize, overflow: u64) -> Option<[(u64, u64); 2]> {
    let above = (overflow > 0).then(|| (layout.max().saturating_add(1), u64::MAX));
    let bucket = |index| (len > 0).then(|| layout.bounds(index));
    let lowest = bucket(first).or(above)?;
    let highest = above.or_else(|| bucket(first + len - 1))?;
    Some([lowest, highest])
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn put_counts(bytes: &mut Vec<u8>, mut counts: &[u64]) {
    loop {
        // Most are of one byte or of two, like their neighbours.
        if let Some((eight, rest)) = counts.split_first_chunk::<8>() {
            if eight.iter().all(|&count| count.wrapping_sub(1) < 0x7F) {
                bytes.extend(eight.map(|count| count as u8));
                counts = rest;
                continue;
            }
        }
        if let Some((four, rest)) = counts.split_first_chunk::<4>() {
            if four.iter().all(|&count| count.wrapping_sub(0x80) < 0x3F80) {
                let pair = |count: u64| (count << 1) & 0x7F00 | count & 0x7F | 0x80;
                let word = (0..)
                    .zip(four)
                    .fold(0, |word, (at, &count)| word | pair(count) << (16 * at));
                bytes.extend(word.to_le_bytes());
                counts = rest;
                continue;
            }
        }
        let Some((&count, rest)) = counts.split_first() else {
            return;
        };
        put(bytes, count);
        counts = rest;
        if count == 0 {
            let more = rest.iter().position(|&count| count > 0);
            let more = more.unwrap_or(rest.len());
            put(bytes, more as u64);
            counts = &rest[more..];
        }
    }
}

fn put_long(bytes: &mut Vec<u8>, mut number: u128) {
    while number > 0x7F {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Every byte, and every pair of bytes, 1.
const BYTES: u64 = 0x0101_0101_0101_0101;
const PAIRS: u64 = 0x0001_0001_0001_0001;
const TOPS: u64 = 0x80 * BYTES;
const FIRST_TOPS: u64 = 0x80 * PAIRS;
const SECONDS: u64 = 0xFF * PAIRS;
const PAIR_TOPS: u64 = 0x8000 * PAIRS;

/// What has not been read yet.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub fn header(&mut self) -> Result<Header, DecodeError> {
        let Some((magic, rest)) = self.0.split_first_chunk() else {
            let is_begun = MAGIC.starts_with(self.0);
            return Err(match is_begun {
                true => DecodeError::Truncated,
                false => DecodeError::NotASnapshot,
            });
        };
        if *magic != MAGIC {
            return Err(DecodeError::NotASnapshot);
        }
        if rest.first().is_some_and(|&version| version != VERSION) {
            return Err(DecodeError::Version);
        }
        let Some((&[_, precision, bits, flags], rest)) = rest.split_first_chunk() else {
            return Err(DecodeError::Truncated);
        };
        let layout = Layout::new(precision, bits).ok_or(DecodeError::Layout)?;
        if flags & !CORRECTED != 0 {
            return Err(DecodeError::Layout);
        }
        self.0 = rest;
        let mut snapshot = Snapshot::empty(layout);
        snapshot.corrected = flags & CORRECTED != 0;
        snapshot.span = self.number()?;
        snapshot.overflow = self.number()?;
        snapshot.sum = self.long_number()?;
        let first = self.number()?;
        let len = self.number()?;
        let buckets = layout.len() as u64;
        let has_room = first < buckets && len <= buckets - first;
        let has_above = snapshot.overflow == 0 || bits < 64;
        if !has_room || !has_above || (len == 0 && first > 0) {
            return Err(DecodeError::Range);
        }
        snapshot.first = first as usize;
        let len = len as usize;
        if let Some([lowest, highest]) = ends(layout, snapshot.first, len, snapshot.overflow) {
            snapshot.min = self.within(lowest)?;
            snapshot.max = self.within(highest)?;
            if snapshot.min > snapshot.max {
                return Err(DecodeError::Range);
            }
        }
        Ok(Header { snapshot, len })
    }

    /// The counts up to the end of the bytes; those of empty buckets are left out.
    pub fn counts(
        &mut self,
        counts: &mut [u64],
        mut put: impl FnMut(&mut u64, u64),
    ) -> Result<(), DecodeError> {
        let len = counts.len();
        let mut index = 0;
        let mut after_run = true;
        while index < len {
            if let (Some((bytes, rest)), Some(eight)) = (
                self.0.split_first_chunk(),
                counts[index..].first_chunk_mut::<8>(),
            ) {
                // Eight of a byte, or four of two; none of them 0, nor a second byte.
                let word = u64::from_le_bytes(*bytes);
                let read = match word & TOPS {
                    0 if word.wrapping_sub(BYTES) & TOPS == 0 => {
                        for (at, count) in eight.iter_mut().enumerate() {
                            put(count, (word >> (8 * at)) & 0x7F);
                        }
                        8
                    }
                    FIRST_TOPS if ((word >> 8) & SECONDS).wrapping_sub(PAIRS) & PAIR_TOPS == 0 => {
                        for (at, count) in eight[..4].iter_mut().enumerate() {
                            let pair = word >> (16 * at);
                            put(count, (pair >> 1) & 0x3F80 | pair & 0x7F);
                        }
                        4
                    }
                    _ => 0,
                };
                if read > 0 {
                    self.0 = rest;
                    index += read;
                    after_run = false;
                    continue;
                }
            }
            let count = self.number()?;
            if count > 0 {
                put(&mut counts[index], count);
                index += 1;
                after_run = false;
                continue;
            }
            let more = self.number()?;
            // There is a bucket after the run, which is not empty.
            if after_run || more >= (len - index) as u64 - 1 {
                return Err(DecodeError::Runs);
            }
            index += more as usize + 1;
            after_run = true;
        }
        match self.0 {
            [] => Ok(()),
            _ => Err(DecodeError::Trailing),
        }
    }

    fn within(&mut self, (low, high): (u64, u64)) -> Result<u64, DecodeError> {
        let above = self.number()?;
        if above > high - low {
            return Err(DecodeError::Range);
        }
        Ok(low + above)
    }

    #[inline(always)]
    fn number(&mut self) -> Result<u64, DecodeError> {
        match self.0 {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if (1..0x80).contains(high) => {
                self.0 = rest;
                Ok(u64::from(*high) << 7 | u64::from(*low & 0x7F))
            }
            _ => self
                .long_number()?
                .try_into()
                .map_err(|_| DecodeError::Number),
        }
    }

    #[inline(never)]
    fn long_number(&mut self) -> Result<u128, DecodeError> {
        /// Bytes of 128 bits.
        const LONGEST: usize = 19;
        let mut number = 0u128;
        for (at, &byte) in self.0.iter().enumerate() {
            if at >= LONGEST {
                return Err(DecodeError::Number);
            }
            let bits = u128::from(byte & 0x7F);
            let shifted = bits << (7 * at);
            if shifted >> (7 * at) != bits || (byte == 0 && at > 0) {
                return Err(DecodeError::Number);
            }
            number |= shifted;
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Ok(number);
            }
        }
        Err(DecodeError::Truncated)
    }
}
