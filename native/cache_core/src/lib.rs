//! A concurrent bounded cache: reads take no lock, writes lock one shard, and the bound is
//! strict. Nothing here knows of the BEAM: keys are bytes, values what the caller chooses, the
//! time is passed in.

mod cache;
mod deadlines;
mod entry;
pub mod events;
pub mod flight;
pub mod glob;
pub mod index;
mod load;
pub mod policy;
mod reads;
mod shard;
mod sketch;
mod slab;
pub mod snapshot;
pub mod stats;
mod sync;
mod tags;
pub mod threads;

pub use cache::{Action, Bound, Cache, Config, Cursor, Outcome, Put};
pub use entry::{
    Cause, Entry, Extra, Host, Key, Same, Value, MAX_INLINE_BYTES, MAX_KEY_BYTES, NEVER, OVERHEAD,
};
pub use shard::OnRemoved;
pub use sync::Busy;
pub use tags::{Counted, Tags};
