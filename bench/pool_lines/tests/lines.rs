//! What is counted is what is written.

use erlmcp_bench_lines::{self as lines, Counts, LINE};
use erlmcp_bench_pool_lines::arena::Watch;
use erlmcp_bench_pool_lines::{count, Kind, KINDS};
use std::sync::{Mutex, MutexGuard, PoisonError};

const OPERATIONS: usize = 300;

/// The region is one for all.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).expect("a kind")
}

fn counted(name: &str, threads: usize) -> Counts {
    count(&mut *(kind(name).make)(threads), threads, OPERATIONS)
}

#[test]
fn a_line_that_changes_is_written_once() {
    let _alone = alone();
    let (mut words, mut watch) = Watch::of(0, || vec![0u64; 64].into_boxed_slice());
    lines::switch_to(0);
    lines::start();
    watch.tell();
    words[8] = 1;
    watch.tell();
    words[16..].fill(2);
    watch.tell();
    watch.tell();
    let counts = lines::stop();
    let all = 48 * size_of::<u64>() / LINE;
    // Where the words do not begin with a line there is one more.
    assert!(
        (all as u64 + 1..=all as u64 + 2).contains(&counts.writes),
        "{counts:?}"
    );
}

#[test]
fn one_thread_shares_nothing() {
    let _alone = alone();
    for kind in &KINDS {
        let counts = counted(kind.name, 1);
        assert_eq!(counts.shared_writes, 0, "{}: {counts:?}", kind.name);
    }
}

#[test]
fn a_closed_breaker_is_not_written() {
    let _alone = alone();
    let counts = counted("breaker, failures in a row", 8);
    assert_eq!(counts.writes, 0, "{counts:?}");
}

#[test]
fn a_lock_moves_with_its_operation() {
    let _alone = alone();
    for name in ["pool, lifo", "pool, p2c", "limiter, one key"] {
        let counts = counted(name, 8);
        assert!(counts.hottest > OPERATIONS as u64 / 2, "{name}: {counts:?}");
    }
    let counts = counted("limiter, 65,536 keys", 8);
    assert!(counts.hottest < OPERATIONS as u64 / 4, "{counts:?}");
}
