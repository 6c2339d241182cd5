//! Hit ratios of the policies, on traces when they are there and on Zipf's distribution. They are
//! counts, not timings, so they are asserted. `cargo test -p cache_core --test hit_ratios --
//! --nocapture` prints them.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;

use cache_core::policy::Kind::{self, Fifo, Lfu, Lru, S3Fifo};
use cache_core::policy::{Entries, Policy, MAX_VISITS};
use cache_core::{threads, Action, Bound, Cache, Config, Host, Key, Outcome, Put, Value, NEVER};

const KINDS: [Kind; 5] = [Kind::Fifo, Kind::Random, Kind::Lru, Kind::S3Fifo, Kind::Lfu];

/// One shard of entries that weigh 1.
struct Shard {
    policy: Policy,
    capacity: usize,
    ids: HashMap<u64, u32>,
    entries: Slots,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slots(Vec<(u64, Cell<u8>)>);

impl Entries for Slots {
    fn weight(&self, _id: u32) -> u32 {
        1
    }

    fn hash(&self, id: u32) -> u32 {
        spread(self.0[id as usize].0) as u32
    }

    fn visits(&self, id: u32) -> u8 {
        self.0[id as usize].1.get()
    }

    fn set_visits(&self, id: u32, visits: u8) {
        self.0[id as usize].1.set(visits);
    }
}

fn spread(key: u64) -> u64 {
    let hash = (key ^ key >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (hash ^ hash >> 29)
        .wrapping_mul(0xBF58_476D_1CE4_E5B9)
        .rotate_left(29)
}

impl Shard {
    fn new(kind: Kind, capacity: usize) -> Self {
        Shard {
            policy: Policy::new(kind),
            capacity,
            ids: HashMap::new(),
            entries: Slots::default(),
            free: Vec::new(),
        }
    }

    /// Whether the key was in; it is then.
    fn request(&mut self, key: u64) -> bool {
        if let Some(&id) = self.ids.get(&key) {
            let visits = &self.entries.0[id as usize].1;
            visits.set((visits.get() + 1).min(MAX_VISITS));
            self.policy.access(id, &self.entries);
            return true;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.0.push((0, Cell::new(0)));
            self.entries.0.len() as u32 - 1
        });
        self.entries.0[id as usize] = (key, Cell::new(0));
        self.ids.insert(key, id);
        self.policy.insert(id, &self.entries);
        if self.ids.len() > self.capacity {
            let victim = self.policy.evict(&self.entries).expect("a victim");
            let key = self.entries.0[victim as usize].0;
            assert_eq!(self.ids.remove(&key), Some(victim));
            self.free.push(victim);
        }
        assert!(self.ids.len() <= self.capacity);
        false
    }
}

/// Per cent of hits.
fn ratio(kind: Kind, capacity: usize, requests: impl Iterator<Item = u64>) -> f64 {
    let mut shard = Shard::new(kind, capacity);
    let (mut hits, mut all) = (0u64, 0u64);
    for key in requests {
        hits += u64::from(shard.request(key));
        all += 1;
    }
    100.0 * hits as f64 / all as f64
}

struct Plain;

impl Host for Plain {
    unsafe fn release(_form: u8, _word: u64) {}
}

/// The same through the whole cache: hits are told late, the entries are spread over shards.
fn ratio_of_cache(policy: Kind, capacity: u64, requests: &[u64]) -> f64 {
    let config = Config {
        policy,
        bound: Bound::Entries,
        capacity,
        max_entry: 0,
        threads: 8,
    };
    let cache = Cache::<Plain>::new(config, 0);
    let mut hits = 0u64;
    for &number in requests {
        let bytes = number.to_le_bytes();
        let key = Key {
            hash: spread(number),
            form: 0,
            bytes: &bytes,
            same: None,
        };
        let pin = threads::pin();
        if cache.get(&key, || 0, &pin).is_some() {
            hits += 1;
            continue;
        }
        let put = Put {
            value: Value::new(0, 0, b"", 0),
            weight: 1,
            ttl: 0,
            expires: NEVER,
            extra: None,
        };
        let decide = |_: Option<&_>| (Action::Put(put), ());
        let outcome = cache.write(&key, 0, &pin, &mut |_, _| {}, decide);
        assert!(matches!(outcome, Ok((Outcome::Stored(_), ()))));
        assert!(cache.used() <= capacity);
    }
    100.0 * hits as f64 / requests.len() as f64
}

/// Asserts that the whole cache is near its policies taken alone.
fn expect_of_cache(name: &str, capacity: u64, requests: &[u64], wanted: &[(Kind, f64)]) {
    for &(kind, wanted) in wanted {
        let ratio = ratio_of_cache(kind, capacity, requests);
        println!("{name} at {capacity}, the whole cache: {kind:?} {ratio:.2} %");
        assert!((ratio - wanted).abs() < 0.3, "{kind:?}: not {wanted}");
    }
}

/// Asserts that the policies reach these ratios; `exactly` within a hundredth.
fn expect(
    name: &str,
    capacity: usize,
    requests: &[u64],
    exactly: &[(Kind, f64)],
    least: &[(Kind, f64)],
) {
    for kind in KINDS {
        let ratio = ratio(kind, capacity, requests.iter().copied());
        println!("{name} at {capacity}: {kind:?} {ratio:.2} %");
        for (_, wanted) in exactly.iter().filter(|(of, _)| *of == kind) {
            assert!((ratio - wanted).abs() < 0.01, "{kind:?}: not {wanted}");
        }
        for (_, wanted) in least.iter().filter(|(of, _)| *of == kind) {
            assert!(ratio >= *wanted, "{kind:?}: below {wanted}");
        }
    }
}

/// `start count ignored request` on every line: the blocks from `start` on.
fn trace(name: &str) -> Option<Vec<u64>> {
    let root = std::env::var_os("ERLMCP_SHARED_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(root.join("traces").join(name)) else {
        println!("skipped: no trace {name}");
        return None;
    };
    let mut blocks = Vec::new();
    for line in text.lines() {
        let mut numbers = line
            .split_ascii_whitespace()
            .map(|word| word.parse::<u64>());
        let (Some(Ok(start)), Some(Ok(count))) = (numbers.next(), numbers.next()) else {
            panic!("a line of {name}: {line}");
        };
        blocks.extend(start..start + count);
    }
    Some(blocks)
}

struct Zipf {
    cumulative: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(keys: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=keys)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        Zipf {
            cumulative,
            state: 42,
        }
    }
}

impl Iterator for Zipf {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let draw = (self.state >> 11) as f64 / (1u64 << 53) as f64 * self.cumulative.last()?;
        Some(self.cumulative.partition_point(|&sum| sum < draw) as u64)
    }
}

fn zipf(exponent: f64, requests: usize) -> Vec<u64> {
    Zipf::new(1_000_000, exponent).take(requests).collect()
}

/// First in, first out and least recently used have one right answer each, known from the
/// literature (Megiddo and Modha, 2003, for the second).
#[test]
fn oltp() {
    if let Some(trace) = trace("OLTP.lis") {
        let exactly = [(Fifo, 28.53), (Lru, 32.83)];
        let least = [(S3Fifo, 40.5), (Lfu, 39.5)];
        expect("OLTP", 1_000, &trace, &exactly, &least);
        let whole = [(Fifo, 28.53), (Lru, 32.83), (S3Fifo, 40.9)];
        expect_of_cache("OLTP", 1_000, &trace, &whole);
        let exactly = [(Fifo, 37.44), (Lru, 42.47)];
        let least = [(S3Fifo, 46.5), (Lfu, 45.5)];
        expect("OLTP", 2_000, &trace, &exactly, &least);
        let whole = [(Fifo, 37.44), (Lru, 42.47), (S3Fifo, 47.1)];
        expect_of_cache("OLTP", 2_000, &trace, &whole);
    }
}

#[test]
fn p6() {
    if let Some(trace) = trace("P6.lis") {
        let exactly = [(Fifo, 2.04), (Lru, 2.05)];
        let least = [(S3Fifo, 16.2), (Lfu, 14.5)];
        expect("P6", 20_000, &trace, &exactly, &least);
        let whole = [(Lru, 2.05), (S3Fifo, 16.4)];
        expect_of_cache("P6", 20_000, &trace, &whole);
    }
}

#[test]
fn zipf_10() {
    let requests = zipf(1.0, 5_000_000);
    let least = [(Fifo, 54.0), (Lru, 57.5), (S3Fifo, 65.8), (Lfu, 65.0)];
    expect("Zipf 1.0", 10_000, &requests, &[], &least);
    expect_of_cache(
        "Zipf 1.0",
        10_000,
        &requests,
        &[(Lru, 58.5), (S3Fifo, 66.1)],
    );
    let least = [(Fifo, 72.5), (Lru, 75.0), (S3Fifo, 78.0), (Lfu, 77.5)];
    expect("Zipf 1.0", 100_000, &requests, &[], &least);
}

#[test]
fn zipf_08() {
    let requests = zipf(0.8, 5_000_000);
    let least = [(Fifo, 20.0), (Lru, 22.5), (S3Fifo, 33.0), (Lfu, 32.0)];
    expect("Zipf 0.8", 10_000, &requests, &[], &least);
    let least = [(Fifo, 43.0), (Lru, 47.0), (S3Fifo, 53.5), (Lfu, 53.0)];
    expect("Zipf 0.8", 100_000, &requests, &[], &least);
}
