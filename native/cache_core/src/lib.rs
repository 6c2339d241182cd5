//! A concurrent bounded cache: reads take no lock, writes lock one shard, and the bound is
//! strict. Nothing here knows of the BEAM: keys are bytes, values what the caller chooses, the
//! time is passed in.

pub mod policy;
mod sketch;
pub mod snapshot;
mod sync;
