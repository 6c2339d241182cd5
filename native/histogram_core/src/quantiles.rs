//! What is asked of a snapshot's distribution: quantiles, mean, standard deviation.
//!
//! The buckets are gone through once for the sums of their pages (a page holds the buckets of a
//! power of two); a quantile then looks at the pages and at the buckets of one of them.

use crate::snapshot::Snapshot;

/// How a quantile is read from the buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The middle of the bucket of the value whose rank, counted from 1, is `ceil(q * count)`:
    /// off that value by no more than `2^-(precision + 1)` of it.
    NearestRank,
    /// As if a bucket's values lay at equal distances from its lowest value to its highest:
    /// off that value by no more than `2^-precision` of it.
    Linear,
}

/// A quantile that is not from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidQuantile;

/// A page for each power of two: 64 less the least precision, and the first.
const PAGES: usize = 60;

/// A snapshot with the sums of its pages.
pub struct Distribution<'a> {
    pub(crate) snapshot: &'a Snapshot,
    first_page: usize,
    pages: usize,
    sums: [u64; PAGES],
    count: u64,
}

/// Where the value of a rank is.
enum Place {
    /// In a bucket of this many values, this many of the histogram's being below.
    Bucket {
        index: usize,
        below: u64,
        count: u64,
    },
    Overflow,
}

/// What is known of all values. There are some.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    pub mean: f64,
    /// Of the population, the values being taken for the middles of their buckets, and those above the
    /// layout's largest for the greatest.
    pub stddev: f64,
}

/// The quantiles of a summary.
pub const SUMMARY: [f64; 7] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999];

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub count: u64,
    /// `None` where there are no values.
    pub values: Option<Values>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values {
    pub moments: Moments,
    /// Those of [`SUMMARY`], by [`Method::NearestRank`].
    pub quantiles: [u64; SUMMARY.len()],
}

impl Snapshot {
    /// What it holds, as far as it does not stand in the snapshot itself.
    pub fn summary(&self) -> Summary {
        self.distribution().summary()
    }

    /// The quantiles in the order asked; `None` where there are no values.
    pub fn quantiles(
        &self,
        quantiles: &[f64],
        method: Method,
    ) -> Result<Option<Vec<f64>>, InvalidQuantile> {
        if !quantiles.iter().all(|&quantile| is_valid(quantile)) {
            return Err(InvalidQuantile);
        }
        let distribution = self.distribution();
        Ok(quantiles
            .iter()
            .map(|&quantile| match method {
                Method::NearestRank => distribution.nearest(quantile).map(|value| value as f64),
                Method::Linear => distribution.linear(quantile),
            })
            .collect())
    }

    pub fn distribution(&self) -> Distribution<'_> {
        let mut sums = [0; PAGES];
        let mut pages = 0;
        let mut count = self.overflow;
        for (_, buckets) in self.pages() {
            let sum = sum(buckets);
            sums[pages] = sum;
            pages += 1;
            count = count.saturating_add(sum);
        }
        Distribution {
            snapshot: self,
            first_page: self.first >> self.layout.precision(),
            pages,
            sums,
            count,
        }
    }

    /// The counts page by page, each with the number of its first bucket.
    fn pages(&self) -> impl Iterator<Item = (usize, &[u64])> {
        let page_len = 1 << self.layout.precision();
        let mut index = self.first;
        let mut rest = &self.counts[..];
        std::iter::from_fn(move || {
            let len = (page_len - index % page_len).min(rest.len());
            let (page, after) = rest.split_at(len);
            let first = index;
            index += len;
            rest = after;
            (len > 0).then_some((first, page))
        })
    }
}

pub fn is_valid(quantile: f64) -> bool {
    (0.0..=1.0).contains(&quantile)
}

/// Adds up, to at most the greatest integer.
fn sum(counts: &[u64]) -> u64 {
    // Without a branch for each, so that several are added at once.
    let all = counts.iter().fold(0, |all, &count| all | count);
    if all >> 53 == 0 {
        counts.iter().sum()
    } else {
        counts
            .iter()
            .fold(0, |sum, &count| sum.saturating_add(count))
    }
}

impl Distribution<'_> {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value of [`Method::NearestRank`]; `None` where there are no values. `quantile` is
    /// from 0 to 1.
    pub fn nearest(&self, quantile: f64) -> Option<u64> {
        let snapshot = self.snapshot;
        match self.find(rank(quantile, self.count)?) {
            Place::Bucket { index, .. } => Some(
                snapshot
                    .layout
                    .middle(index)
                    .clamp(snapshot.min, snapshot.max),
            ),
            Place::Overflow => Some(snapshot.max),
        }
    }

    /// The value of [`Method::Linear`], likewise.
    pub fn linear(&self, quantile: f64) -> Option<f64> {
        let snapshot = self.snapshot;
        let rank = rank(quantile, self.count)?;
        let (min, max) = (snapshot.min as f64, snapshot.max as f64);
        match self.find(rank) {
            Place::Bucket {
                index,
                below,
                count,
            } => {
                let (low, high) = snapshot.layout.bounds(index);
                let share = (quantile * self.count as f64 - below as f64) / count as f64;
                let value = low as f64 + (high - low) as f64 * share.clamp(0.0, 1.0);
                Some(value.clamp(min, max))
            }
            Place::Overflow => Some(max),
        }
    }

    /// The first bucket of the page that a bucket is in, and how many values are in the pages below.
    pub(crate) fn pages_below(&self, index: usize) -> (usize, u64) {
        let page = index >> self.snapshot.layout.precision();
        let below = page.saturating_sub(self.first_page).min(self.pages);
        let sums = &self.sums[..below];
        let sum = sums
            .iter()
            .fold(0u64, |sum, &page| sum.saturating_add(page));
        (page << self.snapshot.layout.precision(), sum)
    }

    pub fn summary(&self) -> Summary {
        Summary {
            count: self.count,
            values: self.moments().map(|moments| Values {
                moments,
                quantiles: SUMMARY.map(|quantile| self.nearest(quantile).unwrap_or(0)),
            }),
        }
    }

    /// The bucket of the value of a rank, counted from 1.
    fn find(&self, rank: u64) -> Place {
        let precision = self.snapshot.layout.precision();
        let mut below = 0u64;
        for (page, &sum) in self.sums[..self.pages].iter().enumerate() {
            if rank > below.saturating_add(sum) {
                below = below.saturating_add(sum);
                continue;
            }
            let first = ((self.first_page + page) << precision).max(self.snapshot.first);
            let start = first - self.snapshot.first;
            for (index, &count) in (first..).zip(&self.snapshot.counts[start..]) {
                if rank <= below.saturating_add(count) {
                    return Place::Bucket {
                        index,
                        below,
                        count,
                    };
                }
                below += count;
            }
        }
        Place::Overflow
    }

    /// `None` where there are no values.
    pub fn moments(&self) -> Option<Moments> {
        if self.count == 0 {
            return None;
        }
        let layout = self.snapshot.layout;
        // Of each page the number of its values, their mean and the sum of the squares of their
        // distances from it; then the same of all (Chan, Golub and LeVeque 1979).
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        let mut add = |more: f64, more_mean: f64, more_squares: f64| {
            let all = count + more;
            let apart: f64 = more_mean - mean;
            mean += apart * (more / all);
            squares += more_squares + apart * apart * count * (more / all);
            count = all;
        };
        for ((first, buckets), &sum) in self.snapshot.pages().zip(&self.sums) {
            if sum > 0 {
                let (low, high) = layout.bounds(first);
                let (mean, squares) = page_moments(buckets, sum);
                let width = (high - low) as f64 + 1.0;
                let middle = low as f64 + (high - low) as f64 / 2.0;
                add(
                    sum as f64,
                    middle + width * (mean - 1.0),
                    width * width * squares,
                );
            }
        }
        if self.snapshot.overflow > 0 {
            let max = self.snapshot.max as f64;
            add(self.snapshot.overflow as f64, max, 0.0);
        }
        Some(Moments {
            mean: self.snapshot.sum as f64 / self.count as f64,
            stddev: (squares / count).sqrt(),
        })
    }
}

/// The mean of the places in a page, counted from 1, and the sum of the squares of the distances
/// from it. `sum` is that of the counts, and not 0.
fn page_moments(buckets: &[u64], sum: u64) -> (f64, f64) {
    // A place is at most 2^10, so that no sum is beyond 64 bits.
    if sum >> 43 == 0 {
        // Sums of sums, since an addition is the cheapest: of a count at a place p, `first` has p
        // times as much, and `second` 1 + ... + p = (p^2 + p) / 2 times.
        let (mut so_far, mut first, mut second) = (0, 0, 0);
        for count in buckets.iter().rev() {
            so_far += count;
            first += so_far;
            second += first;
        }
        let second = 2 * second - first;
        let squares = u128::from(second) * u128::from(sum) - u128::from(first) * u128::from(first);
        let sum = sum as f64;
        (first as f64 / sum, squares as f64 / sum)
    } else {
        let places = || (1u32..).map(f64::from).zip(buckets);
        let sum: f64 = buckets.iter().map(|&count| count as f64).sum();
        let mean = places()
            .map(|(place, &count)| place * count as f64)
            .sum::<f64>()
            / sum;
        let squares = places().map(|(place, &count)| (place - mean).powi(2) * count as f64);
        (mean, squares.sum())
    }
}

/// The rank, counted from 1, of a quantile of so many values; `None` where there are none.
///
/// The quantile is meant as the decimal that it is written as: 0.07 of 100 values is the seventh,
/// though the nearest double is a little more than 0.07.
fn rank(quantile: f64, count: u64) -> Option<u64> {
    let exact = quantile * count as f64;
    let nearest = exact.round();
    let rank = if (exact - nearest).abs() <= exact * f64::EPSILON * 4.0 {
        nearest
    } else {
        exact.ceil()
    };
    (count > 0).then(|| (rank as u64).clamp(1, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_is_that_of_the_decimal() {
        for count in 1..=1000u64 {
            for percent in 0..=100u64 {
                let rank = rank(percent as f64 / 100.0, count).unwrap();
                assert_eq!(
                    rank,
                    (percent * count).div_ceil(100).max(1),
                    "{percent} {count}"
                );
            }
        }
        assert_eq!(rank(0.5, 0), None);
        assert_eq!(rank(1.0, u64::MAX), Some(u64::MAX));
    }
}
