//! The hand-made concurrent parts under loom, which runs every interleaving (up to a number of
//! preemptions) and lets loads see what the memory model lets them see. The parts are included
//! as they are; what they take from `crate::sync` is loom's here.

#![allow(dead_code)] // what the models do not call

#[path = "../../src/combining.rs"]
mod combining;
#[path = "../../src/handles.rs"]
mod handles;
#[path = "../../src/kept.rs"]
mod kept;
#[path = "../../src/parts.rs"]
mod parts;
#[path = "../../src/readers.rs"]
mod readers;
mod sections;
mod sync;

mod by_thread;
mod freeing;
mod generations;
mod left_to_others;

/// Runs `model` in every interleaving of at most so many preemptions.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        sync::prepare(64);
        model();
    });
}
