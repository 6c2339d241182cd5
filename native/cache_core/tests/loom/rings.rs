//! The ring of a thread's reads: each is applied at most once, in order, as it was written.

use crate::explore;
use crate::reads::{Reads, CAPACITY};
use loom::sync::Arc;
use std::sync::Mutex as StdMutex;

/// One pushes `numbers` after `before` reads, of which the first `drained` were taken out; two
/// drain. Gives what was pushed successfully and what was taken out.
fn run(preemptions: usize, before: u64, drained: u64, numbers: u64) {
    explore(preemptions, move || {
        let reads = Arc::new(Reads::new());
        for number in 1..=before {
            if number == drained + 1 {
                reads.drain(|_| true);
            }
            assert!(reads.push(number).is_some());
        }
        if drained == before {
            reads.drain(|_| true);
        }
        let seen = Arc::new(StdMutex::new(Vec::new()));
        let drain = |reads: &Reads, seen: &StdMutex<Vec<u64>>| {
            reads.drain(|read| {
                seen.lock().unwrap().push(read);
                true
            });
        };
        let drainer = {
            let (reads, seen) = (Arc::clone(&reads), Arc::clone(&seen));
            loom::thread::spawn(move || drain(&reads, &seen))
        };
        let owner = {
            let (reads, seen) = (Arc::clone(&reads), Arc::clone(&seen));
            loom::thread::spawn(move || {
                let mut pushed = Vec::new();
                for number in before + 1..=before + numbers {
                    match reads.push(number) {
                        Some(waiting) => {
                            assert!((1..=CAPACITY).contains(&waiting));
                            pushed.push(number);
                        }
                        None => drain(&reads, &seen),
                    }
                }
                pushed
            })
        };
        drainer.join().unwrap();
        let pushed = owner.join().unwrap();
        drain(&reads, &seen);
        assert!(reads.is_empty());
        let expected: Vec<u64> = (drained + 1..=before).chain(pushed).collect();
        assert_eq!(*seen.lock().unwrap(), expected);
    });
}

#[test]
fn across_the_end_of_the_ring() {
    run(3, CAPACITY as u64 - 1, CAPACITY as u64 - 1, 3);
}

#[test]
fn when_it_is_full() {
    run(2, CAPACITY as u64 + 10, 11, 3);
}
