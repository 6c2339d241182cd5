//! `erlmcp_native_json`.

pub mod build;
pub mod decode;
pub mod encode;
mod shapes;
mod strings;
pub mod vocabulary;
