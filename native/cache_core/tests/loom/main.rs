//! The hand-made concurrent parts under loom, which runs every interleaving (up to a number of
//! preemptions) and lets loads see what the memory model lets them see. The parts are included
//! as they are; what they take from `crate::sync` is loom's here.

#![allow(dead_code)] // what the models do not call

#[path = "../../src/events.rs"]
mod events;
#[path = "../../src/flight.rs"]
mod flight;
#[path = "../../src/index.rs"]
mod index;
#[path = "../../src/load.rs"]
mod load;
#[path = "../../src/reads.rs"]
mod reads;
mod sync;

mod bound;
mod flights;
mod rings;
mod table;
mod wakeups;

/// Runs `model` in every interleaving of at most so many preemptions.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// Tries until the lock is had.
fn again<T, B>(mut attempt: impl FnMut() -> Result<T, B>) -> T {
    loop {
        match attempt() {
            Ok(answer) => return answer,
            Err(_) => loom::thread::yield_now(),
        }
    }
}
