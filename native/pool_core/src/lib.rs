//! Who may use what, and when: pools, rate limits, circuit breakers, as state machines that know
//! neither threads nor clocks. Whoever uses one holds it in a lock and tells it the time, in
//! nanoseconds of any one monotonic clock.

pub mod breaker;
pub mod choice;
pub mod codel;
pub mod gradient;
pub mod latency;
pub mod leases;
pub mod limiter;
pub mod owners;
pub mod pool;
pub mod slab;
