//! Snapshots as HdrHistogram's V2, which tools for load tests read and write, and as lines of its
//! interval logs.
//!
//! HdrHistogram's buckets are ours, of a precision that its significant digits set: 2 digits make
//! buckets of precision 7, 3 digits of 10. What is written has at least the precision of the
//! snapshot, each bucket's values at its middle, and so comes back in the same buckets. What is
//! read is put into buckets by the middles of those it was in: a value moves by at most half of
//! its bucket there, `2^-(1 + p)` of it where its digits make buckets of precision `p`, and by at
//! most that of ours.
//!
//! V2 has no sum, least and greatest value, values above its range, span or correction: what is
//! read has the sum of the middles, and the ends of the lowest and the highest bucket.

use crate::layout::{Layout, PRECISIONS};
use crate::snapshot::Snapshot;
use base64::prelude::{Engine, BASE64_STANDARD};
use flate2::bufread::ZlibDecoder;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer, V2Serializer};
use hdrhistogram::Histogram;
use std::fmt::Write;
use std::io::Read;

const V2: u32 = 0x1C84_9313;
const V2_DEFLATED: u32 = 0x1C84_9314;
/// The numbers before the counts.
const HEADER: usize = 40;
/// Counts take less than 9 bytes each, and 5 digits over all 64 bits make fewer than 2^23 of them,
/// but those who write it know that most are empty.
const MOST_BYTES: usize = 4 << 20;

/// Why bytes or a text are not a histogram of V2, or not one that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HdrError {
    /// They do not begin as one does.
    NotHdr,
    /// They end too early.
    Truncated,
    /// They are damaged where they are deflated.
    Deflate,
    /// They go on after the end.
    Trailing,
    /// Its range or digits cannot be, or it is one of doubles or was shifted.
    Parameters,
    /// There are counts beyond its range.
    Range,
    /// More than 4 MB once inflated.
    TooLarge,
    /// A line that is not one of an interval log.
    Line,
    /// The text is not base64.
    Base64,
}

/// A line of an interval log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub tag: Option<String>,
    /// Seconds since the epoch, or since the log's start.
    pub start: f64,
    /// Seconds.
    pub length: f64,
    pub snapshot: Snapshot,
}

impl Snapshot {
    /// As V2. Counts beyond 2^63 - 1 are told as that.
    pub fn to_hdr(&self, deflated: bool) -> Vec<u8> {
        let digits = match self.layout.precision() {
            ..=7 => 2,
            _ => 3,
        };
        let highest = self.max.max(2);
        let mut histogram = Histogram::<u64>::new_with_bounds(1, highest, digits)
            .expect("a range from 1 to 2 or more and 2 or 3 digits are valid");
        let middles = (self.first..).zip(&self.counts).map(|(index, &count)| {
            let middle = self.layout.middle(index).clamp(self.min, self.max);
            (middle, count)
        });
        for (value, count) in middles.chain([(self.max, self.overflow)]) {
            let count = count.min(i64::MAX as u64);
            if count > 0 {
                histogram
                    .record_n(value, count)
                    .expect("no value is above the greatest");
            }
        }
        let mut bytes = Vec::new();
        let written = match deflated {
            true => V2DeflateSerializer::new()
                .serialize(&histogram, &mut bytes)
                .is_ok(),
            false => V2Serializer::new()
                .serialize(&histogram, &mut bytes)
                .is_ok(),
        };
        assert!(written, "only a count of 2^63 or more cannot be written");
        bytes
    }

    /// From V2, deflated or not: of the precision that its digits make, from 5 to 10, and the
    /// least range that has its values. Of so much memory as these buckets take, and of 4 MB of what
    /// is inflated, whatever the bytes claim.
    pub fn from_hdr(bytes: &[u8]) -> Result<Snapshot, HdrError> {
        let (cookie, rest) = number(bytes)?;
        match cookie {
            V2 => read(bytes),
            V2_DEFLATED => {
                let (len, rest) = number(rest)?;
                if rest.len() > len as usize {
                    return Err(HdrError::Trailing);
                }
                if rest.len() < len as usize {
                    return Err(HdrError::Truncated);
                }
                read(&inflated(rest)?)
            }
            _ => Err(HdrError::NotHdr),
        }
    }

    /// A line of an interval log, without its end. `start` and `length` are seconds; the greatest
    /// value is told divided by `divisor`. The tag has no commas, blanks or ends of lines.
    pub fn to_log_line(&self, tag: Option<&str>, start: f64, length: f64, divisor: f64) -> String {
        let mut line = String::new();
        if let Some(tag) = tag {
            line.extend(["Tag=", tag, ","]);
        }
        // Readers take no infinity.
        let max = (self.max as f64 / divisor).min(f64::MAX);
        // Writing to a string cannot fail.
        let _ = write!(line, "{start:.3},{length:.3},{max:.3},");
        BASE64_STANDARD.encode_string(self.to_hdr(true), &mut line);
        line
    }
}

/// What an interval log begins with. `start`: seconds since the epoch, which the lines' are counted
/// from.
pub fn log_header(start: Option<f64>) -> String {
    let mut header = "#[Histogram log format version 1.3]\n".to_owned();
    if let Some(start) = start {
        let _ = writeln!(header, "#[StartTime: {start:.3} (seconds since epoch)]");
    }
    header.push_str("\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n");
    header
}

/// Whether a text can be the tag of a line.
pub fn is_tag(text: &str) -> bool {
    !text.is_empty() && !text.contains([',', ' ', '\r', '\n'])
}

/// A line of an interval log; `None` where it is empty, a comment or the legend.
pub fn read_log_line(line: &str) -> Result<Option<Line>, HdrError> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', '"']) {
        return Ok(None);
    }
    let (tag, rest) = match line.strip_prefix("Tag=") {
        Some(rest) => {
            let (tag, rest) = rest.split_once(',').ok_or(HdrError::Line)?;
            (Some(tag.to_owned()), rest)
        }
        None => (None, line),
    };
    let mut parts = rest.split(',');
    let mut seconds = || {
        let text = parts.next()?.trim();
        text.parse::<f64>().ok().filter(|number| number.is_finite())
    };
    let numbers = seconds().zip(seconds()).zip(seconds());
    let ((start, length), _max) = numbers.ok_or(HdrError::Line)?;
    let text = parts.next().ok_or(HdrError::Line)?.trim();
    if parts.next().is_some() {
        return Err(HdrError::Line);
    }
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| HdrError::Base64)?;
    let mut snapshot = Snapshot::from_hdr(&bytes)?;
    snapshot.span = (length * 1000.0) as u64;
    Ok(Some(Line {
        tag,
        start,
        length,
        snapshot,
    }))
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>, HdrError> {
    let mut inflated = Vec::new();
    let mut decoder = ZlibDecoder::new(bytes).take(MOST_BYTES as u64 + 1);
    let read = decoder.read_to_end(&mut inflated);
    read.map_err(|_| HdrError::Deflate)?;
    if inflated.len() > MOST_BYTES {
        return Err(HdrError::TooLarge);
    }
    match decoder.into_inner().into_inner() {
        [] => Ok(inflated),
        _ => Err(HdrError::Trailing),
    }
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), HdrError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(HdrError::Truncated)?;
    Ok((u32::from_be_bytes(*number), rest))
}

fn long(bytes: &[u8]) -> Result<(u64, &[u8]), HdrError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(HdrError::Truncated)?;
    Ok((u64::from_be_bytes(*number), rest))
}

/// Reads what is not deflated. The crate's own reader makes room for as many counts as the header
/// claims before it looks for them.
fn read(bytes: &[u8]) -> Result<Snapshot, HdrError> {
    let (cookie, rest) = number(bytes)?;
    if cookie != V2 {
        return Err(HdrError::NotHdr);
    }
    if bytes.len() < HEADER {
        return Err(HdrError::Truncated);
    }
    let (len, rest) = number(rest)?;
    let (shifted, rest) = number(rest)?;
    let (digits, rest) = number(rest)?;
    let (low, rest) = long(rest)?;
    let (high, rest) = long(rest)?;
    let (ratio, counts) = long(rest)?;
    let is_known = shifted == 0 && digits <= 5 && f64::from_bits(ratio) == 1.0;
    if !is_known || low == 0 || high / 2 < low {
        return Err(HdrError::Parameters);
    }
    if counts.len() < len as usize {
        return Err(HdrError::Truncated);
    }
    if counts.len() > len as usize {
        return Err(HdrError::Trailing);
    }
    let buckets = Buckets {
        unit: low.ilog2(),
        precision: (2 * 10u32.pow(digits)).next_power_of_two().ilog2() - 1,
    };
    let precision = buckets.precision as u8;
    let precision = precision.clamp(*PRECISIONS.start(), *PRECISIONS.end());
    let all = Layout::new(precision, 64).expect("of a valid precision");
    // It has all buckets of the power of two that the range ends in.
    let last =
        (buckets.index(high) | ((1 << buckets.precision) - 1)).max((2 << buckets.precision) - 1);
    let mut snapshot = Snapshot::empty(all);
    let mut index = 0u64;
    let mut counts = counts;
    while let Some(number) = zig_zag(&mut counts)? {
        if number < 0 {
            index = index.saturating_add(number.unsigned_abs());
            continue;
        }
        if number > 0 {
            let bounds = (index <= last).then(|| buckets.bounds(index));
            let (low, high) = bounds.flatten().ok_or(HdrError::Range)?;
            let (middle, count) = (low + (high - low) / 2, number as u64);
            if snapshot.counts.is_empty() {
                snapshot.min = low;
            }
            snapshot.max = high;
            let at = all.index(middle);
            snapshot.cover(at, at + 1);
            let sum = &mut snapshot.counts[at - snapshot.first];
            *sum = sum.saturating_add(count);
            let value_sum = u128::from(middle) * u128::from(count);
            snapshot.sum = snapshot.sum.saturating_add(value_sum);
        }
        index = index.saturating_add(1);
    }
    let bits = 64 - snapshot.max.max(1).leading_zeros();
    snapshot.layout = Layout::new(precision, bits as u8).expect("of 1 to 64 bits");
    snapshot.trim();
    Ok(snapshot)
}

/// HdrHistogram's: as ours, of any precision, for values of `2^unit`.
struct Buckets {
    unit: u32,
    precision: u32,
}

impl Buckets {
    fn index(&self, value: u64) -> u64 {
        let value = value >> self.unit;
        let shift = (value | 1 << self.precision).ilog2() - self.precision;
        (u64::from(shift) << self.precision) + (value >> shift)
    }

    /// `None` where it would be above 64 bits.
    fn bounds(&self, index: u64) -> Option<(u64, u64)> {
        let shift = (index >> self.precision).saturating_sub(1);
        if shift + u64::from(self.precision + self.unit) > 63 {
            return None;
        }
        let low = (index - (shift << self.precision)) << shift << self.unit;
        Some((low, low + ((1 << shift << self.unit) - 1)))
    }
}

/// A number of at most 9 bytes, 7 bits in each but the ninth, which has 8; every second one is negative.
fn zig_zag(bytes: &mut &[u8]) -> Result<Option<i64>, HdrError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut number = 0u64;
    for at in 0..9 {
        let (&byte, rest) = bytes.split_first().ok_or(HdrError::Truncated)?;
        *bytes = rest;
        let is_last = byte < 0x80 || at == 8;
        let bits = if at == 8 { byte } else { byte & 0x7F };
        number |= u64::from(bits) << (7 * at);
        if is_last {
            break;
        }
    }
    Ok(Some((number >> 1) as i64 ^ -((number & 1) as i64)))
}
