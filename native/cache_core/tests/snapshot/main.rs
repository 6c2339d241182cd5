//! Snapshot files: what is written is read, and nothing else is.

mod damage;
mod files;
mod round_trip;
mod support;
mod walk;
