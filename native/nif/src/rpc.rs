//! `erlmcp_native_rpc`.

mod decode;
mod encode;
mod peek;
mod terms;
