//! `erlmcp_native_rpc`.

mod decode;
mod peek;
mod terms;
