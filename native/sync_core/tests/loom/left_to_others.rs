//! Combining: what is deferred is applied once, by somebody, while nobody else has the lock.

use crate::combining::{Combine, Combining};
use crate::explore;
use loom::sync::Arc;

/// What was done and is not yet among the effects that somebody was given.
#[derive(Default)]
struct Log(Vec<u32>);

impl Combine for Log {
    type Deferred = u32;
    type Effect = u32;

    fn apply(&mut self, deferred: u32) {
        self.0.push(deferred);
    }
    fn effects(&mut self) -> &mut Vec<u32> {
        &mut self.0
    }
}

fn sorted(threads: impl IntoIterator<Item = Vec<u32>>) -> Vec<u32> {
    let mut all: Vec<_> = threads.into_iter().flatten().collect();
    all.sort_unstable();
    all
}

#[test]
fn nothing_deferred_is_left_behind() {
    explore(4, || {
        let lock = Arc::new(Combining::new(Log::default()));
        let deferring = [1, 2].map(|number| {
            let lock = Arc::clone(&lock);
            loom::thread::spawn(move || lock.defer(number))
        });
        let (tried, effects) = match lock.try_with(|log| log.0.push(3)) {
            Some(((), effects)) => (true, effects),
            None => (false, Vec::new()),
        };
        let [one, other] = deferring.map(|thread| thread.join().unwrap());
        let expected = if tried { vec![1, 2, 3] } else { vec![1, 2] };
        assert_eq!(sorted([one, other, effects]), expected);
        assert!(lock.try_with(|log| assert!(log.0.is_empty())).is_some());
    });
}

#[test]
fn a_panic_gives_the_lock_up() {
    explore(1, || {
        let lock = Combining::new(Log::default());
        let body = std::panic::AssertUnwindSafe(|| {
            lock.try_with(|log| {
                log.0.push(1);
                panic!("as it is meant");
            })
        });
        assert!(std::panic::catch_unwind(body).is_err());
        let (_, effects) = lock.try_with(|_| ()).unwrap();
        assert_eq!(effects, [1], "given to the next");
    });
}
