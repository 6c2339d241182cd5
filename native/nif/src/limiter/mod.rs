//! Rate limits: the work is in `pool_core`, here are their terms.

mod check;
mod handle;
mod key;
mod permits;
mod together;
