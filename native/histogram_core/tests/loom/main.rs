//! A part of a histogram that several threads record into, under loom, which runs every interleaving
//! (up to a number of preemptions) and lets loads see what the memory model lets them see. The
//! sources are included as they are; what they take from `crate::sync` is loom's here.

#![allow(dead_code)] // what the models do not call

#[path = "../../src/layout.rs"]
mod layout;
#[path = "../../src/shard.rs"]
mod shard;
#[path = "../../../sync_core/tests/loom/sync.rs"]
mod sync;

use layout::Layout;
use loom::sync::Arc;
use shard::{Shard, Totals};
use sync::Ordering;

fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        sync::prepare(96); // a shard has 60 pages
        model();
    });
}

fn new() -> Arc<Shard> {
    Arc::new(Shard::new(Layout::new(5, 64).unwrap()))
}

fn totals(shard: &Shard) -> Totals {
    let mut totals = Totals::NONE;
    shard.add_totals(&mut totals);
    totals
}

/// How many values there are in a bucket, as far as is seen.
fn count(shard: &Shard, value: u64) -> u64 {
    let index = Layout::new(5, 64).unwrap().index(value);
    shard
        .page(index / 32)
        .map_or(0, |cells| cells[index % 32].load(Ordering::Relaxed))
}

#[test]
fn of_pages_made_at_once_one_is_kept() {
    explore(3, || {
        let shard = new();
        let thread = {
            let shard = Arc::clone(&shard);
            loom::thread::spawn(move || shard.record(3, 1, true))
        };
        shard.record(4, 1, true);
        assert!(count(&shard, 3) <= 1);
        thread.join().unwrap();
        assert_eq!((count(&shard, 3), count(&shard, 4)), (1, 1));
        let totals = totals(&shard);
        assert_eq!((totals.sum, totals.min, totals.max), (7, 3, 4));
    });
}

/// Values whose sums pass 2^64.
const LARGE: u64 = u64::MAX - 1;

#[test]
fn the_sum_of_one_thread_carries() {
    explore(3, || {
        let shard = new();
        let writer = {
            let shard = Arc::clone(&shard);
            loom::thread::spawn(move || {
                shard.record(LARGE, 1, false);
                shard.record(LARGE, 1, false);
            })
        };
        let (first, second) = (totals(&shard).sum, totals(&shard).sum);
        assert!(first <= second, "the sum went down");
        let is_possible = |sum| (0..=2).any(|n| sum == n * u128::from(LARGE));
        assert!(is_possible(first) && is_possible(second), "no such sum");
        writer.join().unwrap();
        assert_eq!(totals(&shard).sum, 2 * u128::from(LARGE));
    });
}

/// Both let the sum pass.
#[test]
fn the_sum_of_two_threads_carries() {
    explore(3, || {
        let shard = new();
        shard.record(LARGE, 1, true);
        let writer = {
            let shard = Arc::clone(&shard);
            loom::thread::spawn(move || shard.record(LARGE, 1, true))
        };
        let large = u128::from(LARGE);
        let first = totals(&shard).sum;
        assert!([large, 2 * large].contains(&first), "no such sum");
        shard.record(LARGE, 1, true);
        let second = totals(&shard).sum;
        assert!([2 * large, 3 * large].contains(&second), "no such sum");
        writer.join().unwrap();
        assert_eq!(totals(&shard).sum, 3 * large);
    });
}
