//! What Erlang sees: terms in, terms out. The work is done in the sibling crates.

#[macro_use]
mod boundary;

mod atoms;
mod cache;
mod call_time;
mod histogram;
mod json;
mod keeper;
mod memory;
mod metrics;
mod rpc;
mod schema;

rustler::init!("erlmcp_native_nif", load = boundary::load);
