//! Native histograms: the work is in `histogram_core`, here are its terms.

pub mod handle;
mod hdr;
mod keeper;
mod rate;
mod record;
mod snapshot;
mod windows;
