//! Log-linear histograms: recording by many threads at once, quantiles, merging, formats.

pub mod decaying;
pub mod encoding;
pub mod histogram;
pub mod layout;
pub mod merge;
pub mod meter;
pub mod quantiles;
mod shard;
pub mod snapshot;
mod sync;
pub mod windows;
