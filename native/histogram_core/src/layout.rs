//! Which bucket a value falls into.
//!
//! Values below `2^(precision + 1)` have a bucket each. Every octave (power of two) above is cut
//! into `2^precision` buckets of equal width, so that a bucket is at most `2^-precision` of its
//! lowest value wide, and its middle at most `2^-(precision + 1)` off any value in it. A bucket of
//! one precision lies wholly within one of each lower precision.
//!
//! This is the H2 histogram of Yue Yang, "H2 Histogram" (IOP Systems, 2023), and the layout of
//! HdrHistogram (Tene, 2012) with powers of two for its decimal digits.

pub const PRECISIONS: std::ops::RangeInclusive<u8> = 5..=10;
pub const DEFAULT_PRECISION: u8 = 7;
/// 2^42 nanoseconds are 73 minutes.
pub const DEFAULT_BITS: u8 = 42;

/// Values from 0 to `2^bits - 1` in buckets of a precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    precision: u8,
    bits: u8,
}

impl Layout {
    /// `None` unless the precision is one of [`PRECISIONS`] and `bits` 1 to 64.
    pub fn new(precision: u8, bits: u8) -> Option<Self> {
        (PRECISIONS.contains(&precision) && (1..=64).contains(&bits))
            .then_some(Layout { precision, bits })
    }

    pub fn precision(self) -> u8 {
        self.precision
    }

    pub fn bits(self) -> u8 {
        self.bits
    }

    /// The largest value that has a bucket.
    pub fn max(self) -> u64 {
        u64::MAX >> (64 - u32::from(self.bits))
    }

    /// How many buckets there are.
    #[allow(clippy::len_without_is_empty)] // there is one at least
    pub fn len(self) -> usize {
        self.index(self.max()) + 1
    }

    /// The bucket of a value of at most `max`.
    #[inline(always)]
    pub fn index(self, value: u64) -> usize {
        let precision = u32::from(self.precision);
        let shift = (value | 1 << precision).ilog2() - precision;
        ((shift as usize) << precision) + (value >> shift) as usize
    }

    /// The lowest and the highest value of a bucket.
    #[inline(always)]
    pub fn bounds(self, index: usize) -> (u64, u64) {
        let precision = u32::from(self.precision);
        let shift = ((index >> precision) as u32).saturating_sub(1);
        let low = ((index - ((shift as usize) << precision)) as u64) << shift;
        (low, low + ((1 << shift) - 1))
    }

    /// The middle of a bucket: what its values are taken for.
    #[inline(always)]
    pub fn middle(self, index: usize) -> u64 {
        let (low, high) = self.bounds(index);
        low + (high - low) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layouts() -> impl Iterator<Item = Layout> {
        PRECISIONS.flat_map(|precision| {
            [1, 4, 10, 42, 63, 64].map(|bits| Layout::new(precision, bits).unwrap())
        })
    }

    #[test]
    fn buckets_follow_one_another() {
        for layout in layouts() {
            let mut next = 0;
            for index in 0..layout.len() {
                let (low, high) = layout.bounds(index);
                assert_eq!(low, next, "{layout:?} {index}");
                assert!(high >= low);
                assert_eq!((layout.index(low), layout.index(high)), (index, index));
                next = high.wrapping_add(1);
            }
            assert_eq!(next, layout.max().wrapping_add(1), "{layout:?}");
        }
    }

    proptest! {
        #[test]
        fn the_middle_is_within_the_error(value: u64, shift in 0..64u32) {
            let value = value >> shift;
            for precision in PRECISIONS {
                let layout = Layout::new(precision, 64).unwrap();
                let middle = layout.middle(layout.index(value));
                let bound = value as f64 / f64::from(1u32 << (precision + 1));
                prop_assert!(middle.abs_diff(value) as f64 <= bound, "{precision} {value} {middle}");
            }
        }

        #[test]
        fn buckets_nest(value: u64, shift in 0..64u32) {
            let value = value >> shift;
            for precision in 6..=10 {
                let fine = Layout::new(precision, 64).unwrap();
                let coarse = Layout::new(precision - 1, 64).unwrap();
                let (low, high) = fine.bounds(fine.index(value));
                prop_assert_eq!(coarse.index(low), coarse.index(high));
            }
        }
    }
}
