//! Log-linear histograms: recording by many threads at once, quantiles, merging, formats.

mod buckets;
pub mod decaying;
pub mod encoding;
pub mod hdr;
pub mod histogram;
pub mod layout;
pub mod merge;
pub mod meter;
pub mod plot;
pub mod quantiles;
pub mod shard;
pub mod snapshot;
mod sync;
pub mod windows;
