//! JSON: bytes to events and back. Knows nothing of the BEAM.
//!
//! The [`Parser`] turns a text into calls of a [`Sink`], so that whoever wants terms builds terms
//! and no tree stands between.

mod error;
mod levels;
mod number;
mod parse;
pub mod rpc;
mod scan;
mod split;
mod string;
mod word;
pub mod write;

pub use error::{line_and_column, Error, Reason, Stop};
pub use parse::{Limits, Parser, Sink, Text};
pub use split::{Extent, Framing, Splitter};
pub use word::{Interner, Word};
