//! Log-linear histograms: recording by many threads at once, quantiles, merging, formats.

pub mod histogram;
pub mod layout;
mod shard;
pub mod snapshot;
mod sync;
