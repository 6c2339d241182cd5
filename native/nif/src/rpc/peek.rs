//! `rpc_peek` and `rpc_headers_match`.
