//! A pool under its lock, as its clients use it, under shuttle, which runs many interleavings of
//! calls, messages and ends of owners, at random. A wake-up that is lost is a deadlock, which it finds.
//! (What the memory model lets the lock see is explored by `sync_core`'s models under loom.)

#[path = "../../../sync_core/src/combining.rs"]
#[allow(dead_code)]
mod combining;
mod sync;

mod clients;
mod world;

/// Runs `model` in so many interleavings.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    const TIMES: usize = 3_000;
    let model = std::sync::Arc::new(model);
    let again = std::sync::Arc::clone(&model);
    shuttle::check_random(move || model(), TIMES);
    // With few preemptions, at random places.
    shuttle::check_pct(move || again(), TIMES, 4);
}
