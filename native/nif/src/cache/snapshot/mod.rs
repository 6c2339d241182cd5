//! Caches in files: save and load, each call on a thread of its own that answers by message.

mod answer;
mod job;
mod load;
mod save;

pub use job::load;
