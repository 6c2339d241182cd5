//! Adding snapshots up, and taking one from another.
//!
//! Snapshots of different layouts meet in the finest that all of them can be told in: the lowest
//! of their precisions, since a bucket lies wholly within one of each lower precision; and the
//! greatest of their ranges, or, where values above a range were counted, the least of the ranges
//! of which that is so, since nobody knows how far above they were. So the sum is exact and the
//! same in whatever order and groups it is taken.

use crate::encoding::{DecodeError, Header, Reader};
use crate::layout::Layout;
use crate::snapshot::Snapshot;
use std::borrow::Cow;

/// A sum of snapshots that are in their binary form.
#[derive(Default)]
pub struct Sum(Option<Snapshot>);

impl Sum {
    /// Adds one. After an error the sum is not to be used.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let Some(sum) = &mut self.0 else {
            self.0 = Some(Snapshot::decode(bytes)?);
            return Ok(());
        };
        let mut reader = Reader(bytes);
        let Header { snapshot, len } = reader.header()?;
        let layout = common(sum, &snapshot);
        sum.bring_to(layout);
        let is_finer = snapshot.layout.precision() > layout.precision();
        if is_finer || snapshot.first + len > layout.len() {
            sum.add(&Snapshot::decode(bytes)?);
            return Ok(());
        }
        if len > 0 {
            sum.cover(snapshot.first, snapshot.first + len);
        }
        let start = snapshot.first - sum.first.min(snapshot.first);
        reader.counts(&mut sum.counts[start..start + len], |count, more| {
            *count = count.saturating_add(more);
        })?;
        sum.add_totals(&snapshot);
        Ok(())
    }

    /// `None` where none was added.
    pub fn finish(self) -> Option<Snapshot> {
        let mut sum = self.0?;
        sum.trim();
        Some(sum)
    }
}

/// The layout in which both can be told.
fn common(a: &Snapshot, b: &Snapshot) -> Layout {
    let precision = a.layout.precision().min(b.layout.precision());
    let (a_bits, b_bits) = (a.layout.bits(), b.layout.bits());
    let bits = match (a.overflow > 0, b.overflow > 0) {
        (true, true) => a_bits.min(b_bits),
        (true, false) => a_bits,
        (false, true) => b_bits,
        (false, false) => a_bits.max(b_bits),
    };
    Layout::new(precision, bits).expect("both are of valid layouts")
}

impl Snapshot {
    /// Both together: exactly what one histogram would have counted that had recorded the values of
    /// both, in the layout in which both can be told.
    pub fn merge(&self, other: &Snapshot) -> Snapshot {
        let mut sum = self.clone();
        sum.add(other);
        sum.trim();
        sum
    }

    /// Adds another; the buckets at both ends may be empty afterwards.
    pub(crate) fn add(&mut self, other: &Snapshot) {
        let layout = common(self, other);
        self.bring_to(layout);
        let other = other.brought_to(layout);
        if !other.counts.is_empty() {
            self.cover(other.first, other.first + other.counts.len());
            let start = other.first - self.first;
            for (count, more) in self.counts[start..].iter_mut().zip(&other.counts) {
                *count = count.saturating_add(*more);
            }
        }
        self.add_totals(&other);
    }

    /// Adds all of another but its buckets.
    fn add_totals(&mut self, other: &Snapshot) {
        self.overflow = self.overflow.saturating_add(other.overflow);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.span = self.span.max(other.span);
        self.corrected |= other.corrected;
    }

    /// What came after `earlier`, a snapshot of the same histogram. Where `earlier` has more
    /// than this, as if both had the same.
    pub fn subtract(&self, earlier: &Snapshot) -> Snapshot {
        self.difference(earlier).0
    }

    /// The same, but `None` where `earlier` has more than this in some bucket, and so cannot be earlier.
    pub fn checked_subtract(&self, earlier: &Snapshot) -> Option<Snapshot> {
        let (difference, is_earlier) = self.difference(earlier);
        is_earlier.then_some(difference)
    }

    fn difference(&self, earlier: &Snapshot) -> (Snapshot, bool) {
        let layout = common(self, earlier);
        let earlier = earlier.brought_to(layout);
        let mut left = self.brought_to(layout).into_owned();
        let end = left.first + left.counts.len();
        let mut is_earlier = left.overflow >= earlier.overflow && left.sum >= earlier.sum;
        for (index, &count) in (earlier.first..).zip(&earlier.counts) {
            if (left.first..end).contains(&index) {
                let more = &mut left.counts[index - left.first];
                is_earlier &= *more >= count;
                *more = more.saturating_sub(count);
            } else {
                is_earlier &= count == 0;
            }
        }
        left.overflow = left.overflow.saturating_sub(earlier.overflow);
        left.sum = left.sum.saturating_sub(earlier.sum);
        left.span = left.span.saturating_sub(earlier.span);
        left.trim();
        (left, is_earlier)
    }

    fn brought_to(&self, layout: Layout) -> Cow<'_, Snapshot> {
        let mut same = Cow::Borrowed(self);
        if self.layout != layout {
            same.to_mut().bring_to(layout);
        }
        same
    }

    /// Tells it in a layout that is no finer.
    pub(crate) fn bring_to(&mut self, layout: Layout) {
        let from = self.layout;
        if from == layout {
            return;
        }
        self.layout = layout;
        if from.precision() == layout.precision() {
            // A bucket has the same number whatever the range.
            let kept = layout.len().saturating_sub(self.first);
            for count in self.counts.drain(kept.min(self.counts.len())..) {
                self.overflow = self.overflow.saturating_add(count);
            }
            return;
        }
        let fine = std::mem::take(&mut self.counts);
        let fine_first = std::mem::take(&mut self.first);
        for (index, count) in (fine_first..).zip(fine) {
            if count == 0 {
                continue;
            }
            let low = from.bounds(index).0;
            if low > layout.max() {
                self.overflow = self.overflow.saturating_add(count);
                continue;
            }
            let index = layout.index(low);
            if self.counts.is_empty() {
                self.first = index;
            }
            self.counts.resize(index - self.first + 1, 0);
            let sum = &mut self.counts[index - self.first];
            *sum = sum.saturating_add(count);
        }
    }

    /// Makes the counts reach from a bucket of this number to before one of that.
    pub(crate) fn cover(&mut self, from: usize, to: usize) {
        if self.counts.is_empty() {
            self.first = from;
        }
        if from < self.first {
            let more = self.first - from;
            self.counts.splice(..0, std::iter::repeat_n(0, more));
            self.first = from;
        }
        if to > self.first + self.counts.len() {
            self.counts.resize(to - self.first, 0);
        }
    }
}
