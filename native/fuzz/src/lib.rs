//! What must hold for every input of `json_core`, and of what reads the binary forms of
//! `histogram_core`, as functions that panic where it does not.
//! The fuzz targets call them with what libFuzzer invents, `tests/seeds.rs` with what is kept.

mod decode;
mod encode;
mod oracle;
mod rpc;
mod snapshot;
mod split;
mod tape;

pub use decode::decode;
pub use encode::{encode, Script};
pub use rpc::rpc;
pub use snapshot::snapshot;
pub use split::split;
