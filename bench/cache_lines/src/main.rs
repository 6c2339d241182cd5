//! What the cache's operations cost where many cores use it, counted instead of timed: how many
//! atomic writes each makes, how many of them take a line of memory from another core, and how
//! far that lets the rate rise with the threads.
//!
//! cache_core's sources are included as they are; its atomics and locks are those of `sync` here,
//! which tell `lines` what they touch, and its threads are those of `threads`, played in turn by
//! one. Not counted: plain memory, which is written under a shard's lock only and moves with it,
//! waiting for a lock, and crossbeam's pin, which writes a line of the thread's own and reads one
//! that changes with the epoch.

#![allow(dead_code)] // of what is included, what is not called here

#[path = "../../../native/cache_core/src/cache.rs"]
mod cache;
#[path = "../../../native/cache_core/src/deadlines.rs"]
mod deadlines;
#[path = "../../../native/cache_core/src/entry.rs"]
mod entry;
#[path = "../../../native/cache_core/src/index.rs"]
mod index;
#[path = "../../../native/cache_core/src/load.rs"]
mod load;
#[path = "../../../native/cache_core/src/policy/mod.rs"]
mod policy;
#[path = "../../../native/cache_core/src/reads.rs"]
mod reads;
#[path = "../../../native/cache_core/src/shard.rs"]
mod shard;
#[path = "../../../native/cache_core/src/sketch.rs"]
mod sketch;
#[path = "../../../native/cache_core/src/slab.rs"]
mod slab;
#[path = "../../../native/cache_core/src/stats.rs"]
mod stats;
mod sync;
#[path = "../../../native/cache_core/src/tags.rs"]
mod tags;
mod threads;

use cache::{Action, Bound, Cache, Config, Put};
use entry::{Host, Key, Value, NEVER};
use erlmcp_bench_lines::{self as lines, rate_over_one, Counts, LINE, TRANSFER_NS};
use policy::Kind;

const CAPACITY: u64 = 65_536;
const HOT_KEYS: usize = 1_000;
const OPERATIONS: usize = 100_000;
const THREADS: [usize; 5] = [1, 8, 16, 32, 64];

/// Values that stand for nothing elsewhere.
struct Plain;

impl Host for Plain {
    unsafe fn release(_form: u8, _word: u64) {}
}

/// What the threads do, and the nanoseconds that it takes one alone in the VM, near enough.
struct Work {
    name: &'static str,
    alone_ns: f64,
    operation: fn(&dyn Target, &mut Random),
}

const WORKS: [Work; 4] = [
    Work {
        name: "hit, Zipf 1.0 of 1,000 keys",
        alone_ns: 60.0,
        operation: |target, random| target.get(random.zipf()),
    },
    Work {
        name: "replace, the same keys",
        alone_ns: 300.0,
        operation: |target, random| target.put(random.zipf()),
    },
    Work {
        name: "put of new keys, full cache",
        alone_ns: 500.0,
        operation: |target, random| target.put(random.fresh()),
    },
    Work {
        name: "nine hits to a put of a new key",
        alone_ns: 0.9 * 60.0 + 0.1 * 500.0,
        operation: |target, random| {
            if random.below(10) > 0 {
                target.get(random.zipf());
            } else {
                target.put(random.fresh());
            }
        },
    },
];

/// What is measured.
trait Target {
    fn get(&self, key: u64);
    fn put(&self, key: u64);
}

impl Target for Cache<Plain> {
    fn get(&self, key: u64) {
        let bytes = key.to_le_bytes();
        let pin = threads::pin();
        Cache::get(self, &named(&bytes), || 0, &pin);
    }

    fn put(&self, key: u64) {
        let bytes = key.to_le_bytes();
        let pin = threads::pin();
        let put = Put {
            value: Value::new(0, key, b"", 0),
            weight: 1,
            ttl: 0,
            expires: NEVER,
            extra: None,
        };
        let decide = |_: Option<&entry::Entry<Plain>>| (Action::Put(put), ());
        self.write(&named(&bytes), 0, &pin, &mut |_, _| {}, decide)
            .expect("operations take turns");
        assert!(self.used() <= CAPACITY, "the bound");
    }
}

/// What many do instead: an exact LRU under one lock.
struct OneLock(sync::Mutex<lru::LruCache<u64, u64>>);

impl Target for OneLock {
    fn get(&self, key: u64) {
        self.0.lock().get(&key);
    }

    fn put(&self, key: u64) {
        self.0.lock().put(key, key);
    }
}

fn named(bytes: &[u8; 8]) -> Key<'_> {
    Key {
        hash: mixed(u64::from_le_bytes(*bytes)),
        form: 0,
        bytes,
        same: None,
    }
}

/// The finaliser of SplitMix64.
fn mixed(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// From a fixed seed.
struct Random {
    state: u64,
    fresh: u64,
    /// The sums of the weights 1/k.
    zipf: Vec<f64>,
}

impl Random {
    fn new() -> Self {
        let mut sum = 0.0;
        let weigh = |rank: usize| {
            sum += 1.0 / rank as f64;
            sum
        };
        Random {
            state: 1,
            fresh: 1 << 32,
            zipf: (1..=HOT_KEYS).map(weigh).collect(),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.state)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn zipf(&mut self) -> u64 {
        let at = (self.next() >> 11) as f64 / (1u64 << 53) as f64 * self.zipf[HOT_KEYS - 1];
        self.zipf.partition_point(|sum| *sum <= at) as u64
    }

    fn fresh(&mut self) -> u64 {
        self.fresh += 1;
        self.fresh
    }
}

/// Operations by threads in random order, counted once every thread has met most lines.
fn count(target: &dyn Target, work: &Work, threads: usize, operations: usize) -> Counts {
    let mut random = Random::new();
    threads::switch_to(0);
    (0..CAPACITY).for_each(|_| target.put(random.fresh()));
    (0..HOT_KEYS as u64).for_each(|key| target.put(key));
    let run = |random: &mut Random, operations: usize| {
        for _ in 0..operations {
            threads::switch_to(random.below(threads as u64) as usize);
            (work.operation)(target, random);
        }
    };
    run(&mut random, operations * threads.div_ceil(8));
    lines::start();
    run(&mut random, operations);
    lines::stop()
}

fn report(name: &str, work: &Work, make: &dyn Fn(usize) -> Box<dyn Target>) {
    for threads in THREADS {
        let counts = count(&*make(threads), work, threads, OPERATIONS);
        let per_operation = |count: u64| count as f64 / OPERATIONS as f64;
        println!(
            "{name:<10}{threads:>8}{:>10.3}{:>10.3}{:>10.3}{:>10.4}{:>12.1}",
            per_operation(counts.writes),
            per_operation(counts.shared_writes),
            per_operation(counts.fetches),
            per_operation(counts.hottest),
            rate_over_one(counts, OPERATIONS, work.alone_ns, threads)
        );
    }
}

fn cache(policy: Kind, threads: usize) -> Cache<Plain> {
    let config = Config {
        policy,
        bound: Bound::Entries,
        capacity: CAPACITY,
        max_entry: 0,
        threads,
    };
    Cache::new(config, 0)
}

fn main() {
    println!(
        "per operation: atomic writes, those that take a line of {} bytes from another thread's\n\
         cache, reads that fetch again what another has written, writes of the first kind to the\n\
         one line that has the most; and how many times the rate of one thread there can be at\n\
         most, where a line takes {TRANSFER_NS} ns from core to core.",
        LINE
    );
    for work in &WORKS {
        println!(
            "\n{} ({} ns alone)\n{:<10}{:>8}{:>10}{:>10}{:>10}{:>10}{:>12}",
            work.name,
            work.alone_ns,
            "policy",
            "threads",
            "writes",
            "shared",
            "fetches",
            "hottest",
            "rate <="
        );
        for (name, policy) in [
            ("s3_fifo", Kind::S3Fifo),
            ("lru", Kind::Lru),
            ("lfu", Kind::Lfu),
            ("fifo", Kind::Fifo),
            ("random", Kind::Random),
        ] {
            report(name, work, &|threads| Box::new(cache(policy, threads)));
        }
        report("one lock", work, &|_| {
            let capacity = std::num::NonZeroUsize::new(CAPACITY as usize).expect("not zero");
            Box::new(OneLock(sync::Mutex::new(lru::LruCache::new(capacity))))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the read path promises: a hit writes nothing that another thread uses, once the
    /// entry's few visits are counted.
    #[test]
    fn a_hit_takes_no_line_from_another() {
        for policy in [Kind::S3Fifo, Kind::Fifo, Kind::Random] {
            let counts = count(&cache(policy, 8), &WORKS[0], 8, 100_000);
            assert!(counts.shared_writes <= 20, "{policy:?}: {counts:?}");
        }
    }

    /// `lru` and `lfu` tell the policy of many hits under one lock.
    #[test]
    fn hits_are_applied_in_batches() {
        for policy in [Kind::Lru, Kind::Lfu] {
            let counts = count(&cache(policy, 8), &WORKS[0], 8, 20_000);
            assert!(counts.shared_writes < 20_000, "{policy:?}: {counts:?}");
            assert!(counts.hottest < 20_000 / 16, "{policy:?}: {counts:?}");
        }
    }

    #[test]
    fn one_lock_moves_at_each_operation() {
        let capacity = std::num::NonZeroUsize::new(CAPACITY as usize).unwrap();
        let target = OneLock(sync::Mutex::new(lru::LruCache::new(capacity)));
        let counts = count(&target, &WORKS[0], 8, 20_000);
        assert!(counts.hottest > 16_000, "{counts:?}");
        assert!(rate_over_one(counts, 20_000, 60.0, 8) < 1.5);
    }
}
