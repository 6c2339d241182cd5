//! What many threads share at no cost to the hot path: slots and parts by thread, sections that
//! keep what they see alive, and handles that are integers.

pub mod handles;
pub mod parts;
mod readers;
pub mod sections;
pub mod slots;
mod sync;
