//! What a histogram's own buckets are in the forms.

use crate::{Family, Scale};
use histogram_core::layout::Layout;
use histogram_core::snapshot::Snapshot;

/// The buckets that a family's bounds make.
#[derive(Default)]
pub struct Classic {
    /// The greatest recorded values within the bounds.
    at_most: Vec<Option<u64>>,
    /// How many values are within each bound, as `count` left them.
    pub counts: Vec<u64>,
}

impl Classic {
    pub fn open(&mut self, family: &Family) {
        self.at_most.clear();
        let bounds = family.bounds.iter();
        self.at_most
            .extend(bounds.map(|&bound| family.scale.at_most(bound)));
    }

    /// A bucket counts where its middle does.
    pub fn count(&mut self, snapshot: &Snapshot) {
        self.counts.clear();
        let mut buckets = snapshot.counts.iter().zip(snapshot.first..).peekable();
        let mut sum = 0_u64;
        for at_most in &self.at_most {
            let is_within =
                |index| at_most.is_some_and(|most| snapshot.layout.middle(index) <= most);
            while let Some((count, _)) = buckets.next_if(|&(_, index)| is_within(index)) {
                sum = sum.saturating_add(*count);
            }
            self.counts.push(sum);
        }
    }
}

/// Counts by buckets whose bounds are powers of a base, `2^(2^-scale)`: the one at `index` holds the
/// values above `base^index` and up to `base^(index + 1)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exponential {
    pub scale: i32,
    /// Of the value 0.
    pub zero: u64,
    /// Index and count of those that are not empty, rising.
    pub counts: Vec<(i32, u64)>,
}

/// Brings buckets into exponential ones, where their middles lie. What is above a layout's largest
/// value goes to one place, too, so that no bucket's count ever falls.
#[derive(Default)]
pub struct Exponentials {
    /// The layout and the scale from recorded to exposed values that `indices` is for.
    of: Option<(Layout, Scale)>,
    /// Of the layout's buckets, and of what is above; `None` where that has not been asked for.
    indices: Vec<Option<i32>>,
    out: Exponential,
}

impl Exponentials {
    /// At the finest scale up to `finest`, always the same one here, at which no bucket is narrower than
    /// one of the snapshot's and which `is_small` lets pass.
    pub fn of(
        &mut self,
        family: &Family,
        snapshot: &Snapshot,
        finest: i32,
        is_small: impl Fn(&[(i32, u64)]) -> bool,
    ) -> &Exponential {
        let layout = snapshot.layout;
        let out = &mut self.out;
        out.scale = finest.min(i32::from(layout.precision()) - 1);
        out.zero = 0;
        out.counts.clear();
        if self.of != Some((layout, family.scale)) {
            self.of = Some((layout, family.scale));
            self.indices.clear();
            self.indices.resize(layout.len() + 1, None);
        }
        let above = (layout.len(), snapshot.overflow);
        let buckets = (snapshot.first..).zip(snapshot.counts.iter().copied());
        for (bucket, count) in buckets.chain([above]).filter(|&(_, count)| count > 0) {
            if bucket == 0 {
                out.zero = count;
                continue;
            }
            let index = *self.indices[bucket].get_or_insert_with(|| {
                let value = if bucket < layout.len() {
                    layout.middle(bucket) as f64
                } else {
                    layout.max() as f64 + 1.0
                };
                index(family.scale.expose(value), out.scale)
            });
            add(&mut out.counts, index, count);
        }
        while !is_small(&out.counts) {
            out.scale -= 1;
            let finer = std::mem::take(&mut out.counts);
            for (index, count) in finer {
                add(&mut out.counts, index >> 1, count);
            }
        }
        out
    }
}

/// The bucket of a positive value.
fn index(value: f64, scale: i32) -> i32 {
    (value.log2() * f64::from(scale).exp2()).ceil() as i32 - 1
}

/// Indices come rising.
fn add(counts: &mut Vec<(i32, u64)>, index: i32, count: u64) {
    match counts.last_mut() {
        Some((last, sum)) if *last == index => *sum = sum.saturating_add(count),
        _ => counts.push((index, count)),
    }
}
