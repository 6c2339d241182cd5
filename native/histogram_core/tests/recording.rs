//! Recording by many threads at once: whatever readers do meanwhile, no value is lost, and none is
//! counted twice.
//!
//! `HISTOGRAM_VALUES` says how many values are recorded; 100 million if it is not set.

use histogram_core::decaying::Decaying;
use histogram_core::histogram::Histogram;
use histogram_core::layout::Layout;
use histogram_core::snapshot::Snapshot;
use histogram_core::windows::{Windows, WINDOWS};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;

const THREADS: usize = 8;

fn values() -> u64 {
    let asked = std::env::var("HISTOGRAM_VALUES");
    asked.map_or(100_000_000, |values| values.parse().expect("a number"))
}

/// Pseudo-random values of all magnitudes that a layout of 42 bits knows, and some above.
struct Values(u64);

impl Values {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) >> (self.0 & 31)
    }
}

/// What each thread is to have recorded, by a histogram of its own.
fn expected(layout: Layout, thread: usize, times: u64) -> Snapshot {
    let histogram = Histogram::new(layout, 1);
    let mut values = Values(thread as u64 + 1);
    for _ in 0..times {
        histogram.record(0, values.next());
    }
    histogram.cumulative()
}

fn counts(snapshot: &Snapshot) -> (usize, &[u64], u64, u128, u64) {
    let Snapshot {
        first,
        counts,
        overflow,
        sum,
        ..
    } = snapshot;
    (*first, counts, *overflow, *sum, snapshot.count())
}

/// `foreseen` threads have a part of their own; the others share one.
fn record_while_others_read(foreseen: usize, all: u64) {
    let layout = Layout::new(7, 42).unwrap();
    let histogram = &Histogram::new(layout, foreseen);
    let each = all / THREADS as u64;
    let is_over = &AtomicBool::new(false);
    let clock = &std::time::Instant::now();
    let now = move || clock.elapsed().as_millis() as u64;
    let empty = Snapshot::empty(layout);
    let windows = &Mutex::new(Windows::new(now(), &empty));
    let (intervals, base) = thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut values = Values(thread as u64 + 1);
                    for _ in 0..each {
                        histogram.record(thread, values.next());
                    }
                })
            })
            .collect();
        // Readers with a cursor of their own each: their intervals, added up.
        let intervals: Vec<_> = (0..2)
            .map(|_| {
                let empty = empty.clone();
                scope.spawn(move || {
                    let mut cursor = empty.clone();
                    let mut sum = empty;
                    let mut is_last = false;
                    while !is_last {
                        is_last = is_over.load(Ordering::Acquire);
                        let counted = histogram.cumulative();
                        let interval = counted.checked_subtract(&cursor);
                        sum = sum.merge(&interval.expect("something was uncounted"));
                        cursor = counted;
                        thread::yield_now();
                    }
                    sum
                })
            })
            .collect();
        // One that resets again and again, and reads in between.
        let resetter = {
            let empty = empty.clone();
            scope.spawn(move || {
                let mut base = empty;
                while !is_over.load(Ordering::Acquire) {
                    let before = histogram.cumulative();
                    assert!(before.checked_subtract(&base).is_some());
                    base = before;
                    thread::yield_now();
                }
                base
            })
        };
        // Windows, told the time and read by different threads.
        scope.spawn(move || {
            while !is_over.load(Ordering::Acquire) {
                windows.lock().unwrap().tick(now(), &histogram.cumulative());
                thread::yield_now();
            }
        });
        scope.spawn(move || {
            while !is_over.load(Ordering::Acquire) {
                let begun = windows.lock().unwrap().begin(now());
                let counted = histogram.cumulative();
                let read = begun.read(&counted);
                // A longer window holds what a shorter one does.
                for pair in read.windows(2) {
                    assert!(pair[0].1.count() <= pair[1].1.count());
                }
                assert!(read[WINDOWS.len() - 1].1.count() <= counted.count());
                thread::yield_now();
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        is_over.store(true, Ordering::Release);
        let intervals: Vec<_> = intervals
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect();
        (intervals, resetter.join().unwrap())
    });
    let parts: Vec<Snapshot> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || expected(layout, thread, each)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let expected = parts
        .iter()
        .fold(Snapshot::empty(layout), |sum, part| sum.merge(part));
    let counted = histogram.cumulative();
    assert_eq!(counted.count(), each * THREADS as u64);
    assert_eq!(counted, expected);
    for interval in &intervals {
        assert_eq!(counts(interval), counts(&expected));
    }
    // All of it is in the day.
    let read = windows.lock().unwrap().begin(now()).read(&counted);
    assert_eq!(counts(&read[WINDOWS.len() - 1].1), counts(&expected));
    // What came before the last reset and what came after are all.
    let since = counted.checked_subtract(&base).unwrap();
    assert_eq!(counts(&since.merge(&base)), counts(&expected));
}

#[test]
fn nothing_is_lost_or_counted_twice() {
    record_while_others_read(THREADS, values());
}

#[test]
fn nothing_is_lost_where_threads_share_a_part() {
    record_while_others_read(2, values() / 10);
}

/// The sum passes 2^64 again and again, in a part of one thread and in a shared one.
#[test]
fn the_sum_carries() {
    let layout = Layout::new(5, 64).unwrap();
    for foreseen in [4, 1, 0] {
        let histogram = &Histogram::new(layout, foreseen);
        let is_over = &AtomicBool::new(false);
        thread::scope(|scope| {
            let writers = [0, 1, 2, 3].map(|thread| {
                scope.spawn(move || {
                    for count in 0..100_000 {
                        histogram.record(thread, u64::MAX - count);
                        histogram.record_times(thread, u64::MAX - 7, 5);
                    }
                })
            });
            scope.spawn(move || {
                let mut before = 0;
                while !is_over.load(Ordering::Acquire) {
                    let sum = histogram.cumulative().sum;
                    assert!(sum >= before, "the sum went down");
                    before = sum;
                }
            });
            for writer in writers {
                writer.join().unwrap();
            }
            is_over.store(true, Ordering::Release);
        });
        let counts = 0..100_000u128;
        let each: u128 = counts
            .map(|count| u128::from(u64::MAX) - count + 5 * u128::from(u64::MAX - 7))
            .sum();
        assert_eq!(histogram.cumulative().sum, 4 * each);
    }
}

/// A decaying view of what is being recorded holds all of it where next to no time passes.
#[test]
fn a_decaying_view_misses_nothing() {
    let layout = Layout::new(7, 42).unwrap();
    let histogram = &Histogram::new(layout, 4);
    let is_over = &AtomicBool::new(false);
    let mut decaying = Decaying::new(u64::MAX, 0, Snapshot::empty(layout));
    thread::scope(|scope| {
        let writers = [0, 1, 2, 3].map(|thread| {
            scope.spawn(move || {
                let mut values = Values(thread as u64 + 1);
                for _ in 0..200_000 {
                    histogram.record(thread, values.next());
                }
            })
        });
        let decaying = &mut decaying;
        scope.spawn(move || {
            let mut is_last = false;
            let mut now = 0;
            while !is_last {
                is_last = is_over.load(Ordering::Acquire);
                now += 1;
                decaying.tick(now, histogram.cumulative());
                thread::yield_now();
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        is_over.store(true, Ordering::Release);
    });
    assert!((decaying.weight() - 800_000.0).abs() < 1.0);
}
