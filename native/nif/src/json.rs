//! `erlmcp_native_json`.
