//! `erlmcp_native_json`.

pub mod build;
pub mod decode;
pub mod encode;
mod get;
mod shapes;
mod split;
mod stack;
mod strings;
pub mod vocabulary;
