//! A live cache in the order of its eviction.

use cache_core::policy::Kind;
use cache_core::snapshot::Walk;
use cache_core::{threads, Action, Bound, Cache, Config, Host, Key, Put, Value, NEVER};
use std::collections::HashSet;

struct Plain;

impl Host for Plain {
    unsafe fn release(_form: u8, _word: u64) {}
}

fn cache(policy: Kind, capacity: u64) -> Cache<Plain> {
    let config = Config {
        policy,
        bound: Bound::Entries,
        capacity,
        max_entry: 0,
        threads: 64,
    };
    Cache::new(config, 0)
}

fn with_key<R>(number: u64, body: impl FnOnce(&Key) -> R) -> R {
    // The finish of SplitMix64.
    let hash = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let hash = (hash ^ hash >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    body(&Key {
        hash: hash ^ hash >> 31,
        form: 0,
        bytes: &number.to_le_bytes(),
        same: None,
    })
}

fn put(cache: &Cache<Plain>, number: u64) {
    let put = Put {
        value: Value::new(0, number, b"", 0),
        weight: 1,
        ttl: 0,
        expires: NEVER,
        extra: None,
    };
    with_key(number, |key| {
        cache
            .write(key, 0, &threads::pin(), &mut |_, _| {}, |_| {
                (Action::Put(put), ())
            })
            .unwrap();
    });
}

fn walked(cache: &Cache<Plain>) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut walk = Walk::new(cache).unwrap();
    while walk
        .step(cache, |entry| {
            seen.push(entry.word());
            entry.word() % 10 != 7 // enough, now and then
        })
        .unwrap()
    {}
    seen
}

#[test]
fn nothing_of_an_empty_cache() {
    assert!(walked(&cache(Kind::Lru, 100)).is_empty());
}

#[test]
fn one_shard_exactly_in_its_order() {
    let cache = cache(Kind::Lru, 1000);
    (0..1000).for_each(|number| put(&cache, number));
    for number in (0..1000).step_by(3) {
        with_key(number, |key| {
            assert!(cache.get(key, || 0, &threads::pin()).is_some());
        });
    }
    let unused = (0..1000).filter(|number| number % 3 != 0);
    let expected: Vec<u64> = unused.chain((0..1000).step_by(3)).collect();
    assert_eq!(walked(&cache), expected);
}

#[test]
fn many_shards_once_each_and_nearly_in_order() {
    const COUNT: u64 = 50_000;
    for policy in [Kind::Lru, Kind::S3Fifo, Kind::Fifo, Kind::Lfu, Kind::Random] {
        let cache = cache(policy, 2 * COUNT);
        assert!(cache.shards() > 4);
        (0..COUNT).for_each(|number| put(&cache, number));
        let seen = walked(&cache);
        assert_eq!(seen.len() as u64, COUNT);
        assert_eq!(seen.iter().collect::<HashSet<_>>().len() as u64, COUNT);
        if matches!(policy, Kind::Lru | Kind::Fifo) {
            for (at, number) in seen.iter().enumerate() {
                let off = number.abs_diff(at as u64);
                assert!(off < COUNT / 10, "{number} comes as the {at}th");
            }
        }
    }
}

#[test]
fn shows_what_stays_while_the_rest_comes_and_goes() {
    const STAY: u64 = 20_000;
    let cache = cache(Kind::Fifo, 100_000);
    (0..2 * STAY).for_each(|number| put(&cache, number));
    let mut seen = HashSet::new();
    let mut walk = Walk::new(&cache).unwrap();
    let mut next = 2 * STAY;
    let mut removed = STAY;
    while walk
        .step(&cache, |entry| {
            assert!(seen.insert(entry.word()));
            true
        })
        .unwrap()
    {
        for _ in 0..50 {
            put(&cache, next);
            next += 1;
            with_key(removed, |key| {
                cache
                    .write(key, 0, &threads::pin(), &mut |_, _| {}, |_| {
                        (Action::Remove, ())
                    })
                    .unwrap();
            });
            removed += 1;
        }
    }
    assert!((0..STAY).all(|number| seen.contains(&number)));
}
