//! What Erlang sees: terms in, terms out. The work is done in the sibling crates.

#[macro_use]
mod boundary;
#[macro_use]
mod tried;

mod atoms;
mod breaker;
mod cache;
mod call_time;
mod clock;
mod histogram;
mod json;
mod keeper;
mod limiter;
mod memory;
mod metrics;
mod owned;
mod owner;
mod pool;
mod registry;
mod rpc;
mod schema;

rustler::init!("erlmcp_native_nif", load = boundary::load);
