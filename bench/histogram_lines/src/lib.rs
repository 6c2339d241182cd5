//! What recording costs where many cores do it, counted instead of timed, in the manner of
//! `cache_lines`: histogram_core's and sync_core's sources are included as they are, with atomics
//! that tell `lines` what they touch and threads that are played in turn by one.
//!
//! Not counted: plain memory, which nobody writes while others record.

#![allow(dead_code)] // of what is included, what is not called here

// What is included names sync_core, which is here too.
extern crate self as sync_core;

#[path = "../../../native/histogram_core/src/decaying.rs"]
mod decaying;
#[path = "../../../native/histogram_core/src/encoding.rs"]
mod encoding;
#[path = "../../../native/sync_core/src/handles.rs"]
mod handles;
#[path = "../../../native/histogram_core/src/histogram.rs"]
mod histogram;
#[path = "../../../native/histogram_core/src/layout.rs"]
mod layout;
#[path = "../../../native/histogram_core/src/merge.rs"]
mod merge;
#[path = "../../../native/histogram_core/src/meter.rs"]
mod meter;
#[path = "../../../native/sync_core/src/parts.rs"]
mod parts;
#[path = "../../../native/histogram_core/src/quantiles.rs"]
mod quantiles;
mod sections;
#[path = "../../../native/histogram_core/src/shard.rs"]
mod shard;
#[path = "../../../native/histogram_core/src/snapshot.rs"]
mod snapshot;
mod sync;
#[path = "../../../native/histogram_core/src/windows.rs"]
mod windows;

use crossbeam_utils::CachePadded;
use erlmcp_bench_lines::{self as lines, Counts};
use handles::Handles;
use histogram::Histogram;
use layout::{Layout, DEFAULT_BITS, DEFAULT_PRECISION};
use meter::Meter;
use std::hint::black_box;
use sync::{AtomicU64, Ordering};

/// What the threads record into together.
pub trait Target {
    fn record(&self, thread: usize, value: u64);
    /// Reads everything, as one that shows it does.
    fn read(&self);
}

/// As the NIFs reach it: a section, the handle, the thread's own part.
struct Handled<T: 'static> {
    table: &'static Handles<T>,
    handle: u64,
}

impl<T: Send + Sync + 'static> Handled<T> {
    fn new(value: T) -> Self {
        let table: &Handles<T> = Box::leak(Box::new(Handles::new(0)));
        let handle = table.insert(|_| value).expect("there is room");
        Handled { table, handle }
    }

    fn with(&self, body: impl FnOnce(&T, usize)) {
        let section = sections::enter();
        let value = self.table.get(self.handle, &section).expect("it is there");
        body(value, section.thread());
    }
}

impl Target for Handled<Histogram> {
    fn record(&self, _: usize, value: u64) {
        self.with(|histogram, thread| histogram.record(thread, value));
    }

    fn read(&self) {
        self.with(|histogram, _| {
            black_box(histogram.cumulative());
        });
    }
}

impl Target for Handled<Meter> {
    fn record(&self, _: usize, _: u64) {
        self.with(|meter, thread| meter.mark(thread, 1));
    }

    fn read(&self) {
        self.with(|meter, _| {
            black_box(meter.total());
        });
    }
}

/// The buckets and the sum, once for all threads.
struct OneHistogram {
    layout: Layout,
    sum: CachePadded<AtomicU64>,
    buckets: Box<[AtomicU64]>,
}

impl Target for OneHistogram {
    fn record(&self, _: usize, value: u64) {
        self.buckets[self.layout.index(value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn read(&self) {
        let counts = self.buckets.iter().map(|cell| cell.load(Ordering::Relaxed));
        black_box(counts.sum::<u64>() + self.sum.load(Ordering::Relaxed));
    }
}

/// A counter in so many parts, chosen by the thread's number.
struct Sharded(Box<[CachePadded<AtomicU64>]>);

impl Target for Sharded {
    fn record(&self, thread: usize, value: u64) {
        self.0[thread % self.0.len()].fetch_add(value, Ordering::Relaxed);
    }

    fn read(&self) {
        let counts = self.0.iter().map(|cell| cell.load(Ordering::Relaxed));
        black_box(counts.sum::<u64>());
    }
}

pub struct Kind {
    pub name: &'static str,
    /// Nanoseconds that it takes one thread alone in the VM, near enough.
    pub alone_ns: f64,
    /// For so many threads.
    pub make: fn(usize) -> Box<dyn Target>,
}

fn layout() -> Layout {
    Layout::new(DEFAULT_PRECISION, DEFAULT_BITS).expect("the default is one")
}

fn sharded(parts: usize) -> Box<dyn Target> {
    Box::new(Sharded(
        (0..parts).map(|_| CachePadded::default()).collect(),
    ))
}

pub const KINDS: [Kind; 5] = [
    Kind {
        name: "histogram",
        alone_ns: 25.0,
        make: |threads| Box::new(Handled::new(Histogram::new(layout(), threads))),
    },
    Kind {
        name: "rate",
        alone_ns: 20.0,
        make: |threads| Box::new(Handled::new(Meter::new(threads))),
    },
    Kind {
        name: "one histogram of atomics",
        alone_ns: 25.0,
        make: |_| {
            Box::new(OneHistogram {
                layout: layout(),
                sum: CachePadded::default(),
                buckets: (0..layout().len()).map(|_| AtomicU64::new(0)).collect(),
            })
        },
    },
    Kind {
        name: "one atomic",
        alone_ns: 12.0,
        make: |_| sharded(1),
    },
    Kind {
        name: "16 atomics",
        alone_ns: 12.0,
        make: |_| sharded(16),
    },
];

/// From a fixed seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// Nanoseconds around 1 ms, log-normal: of twelve uniform ones the sum is nearly normal.
    fn latency(&mut self) -> u64 {
        let sum: f64 = (0..12)
            .map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64)
            .sum();
        (1e6 * (0.8 * (sum - 6.0)).exp()) as u64
    }
}

/// Latencies recorded by threads in random order, counted once every thread has met most lines.
/// Every `read_every` records one of the threads reads everything; never where it is 0.
pub fn count(target: &dyn Target, threads: usize, records: usize, read_every: usize) -> Counts {
    let mut random = Random(1);
    let mut run = |records: usize| {
        for record in 0..records {
            let thread = random.below(threads as u64) as usize;
            sections::switch_to(thread);
            target.record(thread, random.latency());
            if read_every > 0 && record % read_every == 0 {
                target.read();
            }
        }
    };
    run(records * threads.div_ceil(8));
    lines::start();
    run(records);
    lines::stop()
}
