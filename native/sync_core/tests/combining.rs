//! A panic in what is done under the lock, and another in what was deferred meanwhile, are panics
//! like others: the lock is free, and what else was deferred is done.

use std::panic::{catch_unwind, AssertUnwindSafe};
use sync_core::combining::{Combine, Combining};

#[derive(Default)]
struct Sum {
    sum: u64,
    effects: Vec<u64>,
}

impl Combine for Sum {
    type Deferred = u64;
    type Effect = u64;

    fn apply(&mut self, number: u64) {
        assert_ne!(number, 13);
        self.sum += number;
        self.effects.push(number);
    }

    fn effects(&mut self) -> &mut Vec<u64> {
        &mut self.effects
    }
}

#[test]
fn panics_do_not_meet() {
    let lock = Combining::new(Sum::default());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        lock.try_with(|_| {
            for number in [1, 13, 2, 13, 13, 3] {
                assert!(lock.defer(number).is_empty());
            }
            panic!("the first");
        })
    }));
    assert!(outcome.is_err());
    assert_eq!(lock.try_with(|value| value.sum), Some((6, vec![1, 2, 3])));
    assert!(catch_unwind(AssertUnwindSafe(|| lock.defer(13))).is_err());
    assert_eq!(lock.defer(4), [4]);
    // What was to be done before the panic is not forgotten.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        lock.try_with(|value| {
            value.effects.push(7);
            lock.defer(13);
            lock.defer(8)
        })
    }));
    assert!(outcome.is_err());
    assert_eq!(lock.defer(9), [7, 8, 9]);
}
