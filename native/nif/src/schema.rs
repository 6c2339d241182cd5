//! `erlmcp_native_schema`.
