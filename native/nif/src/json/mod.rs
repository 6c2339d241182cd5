//! `erlmcp_native_json`.

pub mod build;
pub mod decode;
mod shapes;
mod strings;
pub mod vocabulary;
