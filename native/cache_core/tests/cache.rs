//! The cache as its users see it.

use cache_core::policy::Kind;
use cache_core::stats::Counter;
use cache_core::{
    threads, Action, Bound, Busy, Cache, Cause, Config, Cursor, Entry, Extra, Host, Key, Outcome,
    Put, Value, NEVER, OVERHEAD,
};
use std::sync::atomic::{AtomicI64, Ordering};

/// Values that stand for nothing elsewhere.
struct Plain;

impl Host for Plain {
    unsafe fn release(_form: u8, _word: u64) {}
}

const KINDS: [Kind; 5] = [Kind::Lru, Kind::S3Fifo, Kind::Fifo, Kind::Lfu, Kind::Random];

fn config(policy: Kind, bound: Bound, capacity: u64) -> Config {
    Config {
        policy,
        bound,
        capacity,
        max_entry: 0,
        // Each test has one, and those beyond do not tell the policy what they read.
        threads: 64,
    }
}

fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a with a final mix: enough for tests.
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325, fold);
    (hash ^ hash >> 29)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(31)
}

fn key(bytes: &[u8]) -> Key<'_> {
    Key {
        hash: hash(bytes),
        form: 0,
        bytes,
        same: None,
    }
}

fn put<H: Host>(word: u64) -> Put<'static, H> {
    Put {
        value: Value::new(0, word, b"", 0),
        weight: 1,
        ttl: 0,
        expires: NEVER,
        extra: None,
    }
}

fn store<H: Host>(cache: &Cache<H>, name: &[u8], value: Put<H>, now: u64) -> Outcome {
    let pin = threads::pin();
    let (outcome, ()) = cache
        .write(&key(name), now, &pin, &mut |_, _| {}, |_| {
            (Action::Put(value), ())
        })
        .expect("nobody else is here");
    outcome
}

fn read<H: Host>(cache: &Cache<H>, name: &[u8], now: u64) -> Option<u64> {
    let pin = threads::pin();
    cache.get(&key(name), || now, &pin).map(Entry::word)
}

fn remove<H: Host>(cache: &Cache<H>, name: &[u8]) -> bool {
    let pin = threads::pin();
    let was = |entry: Option<&Entry<H>>| (Action::Remove, entry.is_some());
    cache
        .write(&key(name), 0, &pin, &mut |_, _| {}, was)
        .unwrap()
        .1
}

#[test]
fn gives_back_what_was_put() {
    for kind in KINDS {
        let cache = Cache::<Plain>::new(config(kind, Bound::Entries, 100), 0);
        assert_eq!(read(&cache, b"a", 0), None);
        assert!(matches!(store(&cache, b"a", put(1), 0), Outcome::Stored(_)));
        assert_eq!(read(&cache, b"a", 0), Some(1));
        store(&cache, b"a", put(2), 0);
        assert_eq!(read(&cache, b"a", 0), Some(2));
        assert_eq!(cache.used(), 1);
        assert_eq!(cache.entries(), 1);
        assert!(remove(&cache, b"a"));
        assert!(!remove(&cache, b"a"));
        assert_eq!(read(&cache, b"a", 0), None);
        assert_eq!((cache.used(), cache.entries()), (0, 0));
        assert_eq!(cache.counted(Counter::Hits), 2);
        assert_eq!(cache.counted(Counter::Misses), 2);
    }
}

#[test]
fn holds_its_bound_and_fills_up_to_it() {
    for kind in KINDS {
        for capacity in [1_u64, 2, 3, 100, 20_000] {
            let cache = Cache::<Plain>::new(config(kind, Bound::Entries, capacity), 0);
            for number in 0..capacity * 3 {
                assert!(matches!(
                    store(&cache, &number.to_le_bytes(), put(number), 0),
                    Outcome::Stored(_)
                ));
                assert!(cache.used() <= capacity);
                if number < capacity {
                    assert_eq!(cache.used(), number + 1);
                }
                if number % 3 == 0 {
                    read(&cache, &number.to_le_bytes(), 0);
                }
            }
            assert_eq!(cache.used(), capacity, "{kind:?} {capacity}");
            assert_eq!(cache.entries(), capacity);
            let there = (0..capacity * 3)
                .filter(|number| read(&cache, &number.to_le_bytes(), 0).is_some())
                .count();
            assert_eq!(there as u64, capacity);
        }
    }
}

#[test]
fn counts_bytes() {
    let cache = Cache::<Plain>::new(config(Kind::Lru, Bound::Bytes, 10_000), 0);
    let value = |bytes: &'static [u8], outside| Put {
        value: Value::new(0, 0, bytes, outside),
        ..put(0)
    };
    store(&cache, b"key", value(b"value", 7), 0);
    assert_eq!(cache.used() as usize, 3 + 5 + 7 + OVERHEAD);
    assert_eq!(
        store(&cache, b"big", value(b"", 1250), 0),
        Outcome::TooLarge
    );
    for number in 0..100_u32 {
        store(&cache, &number.to_le_bytes(), value(b"", 1000), 0);
        assert!(cache.used() <= 10_000);
    }
    assert_eq!(cache.entries(), 9);
}

#[test]
fn lru_evicts_the_least_recently_used() {
    let cache = Cache::<Plain>::new(config(Kind::Lru, Bound::Entries, 3), 0);
    for name in [b"a", b"b", b"c"] {
        store(&cache, name, put(0), 0);
    }
    read(&cache, b"a", 0);
    store(&cache, b"d", put(0), 0);
    let there = [b"a", b"b", b"c", b"d"].map(|name| read(&cache, name, 0).is_some());
    assert_eq!(there, [true, false, true, true]);
}

#[test]
fn expires() {
    let cache = Cache::<Plain>::new(config(Kind::S3Fifo, Bound::Entries, 1000), 0);
    let mortal = |expires| Put { expires, ..put(7) };
    for number in 0..100_u64 {
        store(&cache, &number.to_le_bytes(), mortal(100 + number), 0);
    }
    assert_eq!(read(&cache, &0_u64.to_le_bytes(), 99), Some(7));
    assert_eq!(read(&cache, &0_u64.to_le_bytes(), 100), None);
    assert_eq!(read(&cache, &1_u64.to_le_bytes(), 100), Some(7));
    let pin = threads::pin();
    let mut causes = Vec::new();
    let mut on_removed = |_: &Entry<Plain>, cause| causes.push(cause);
    assert_eq!(cache.expire(0, 1000, 60, &pin, &mut on_removed), Ok(true));
    assert_eq!(cache.expire(0, 1000, 60, &pin, &mut on_removed), Ok(false));
    assert_eq!(causes, vec![Cause::Expired; 100]);
    assert_eq!((cache.used(), cache.entries()), (0, 0));
}

#[test]
fn idles() {
    let cache = Cache::<Plain>::new(config(Kind::S3Fifo, Bound::Entries, 1000), 0);
    let idle = Put {
        extra: Some(Box::new(Extra {
            idle: 100,
            ..Extra::default()
        })),
        ..put(7)
    };
    store(&cache, b"a", idle, 0);
    for now in [90, 180, 270] {
        assert_eq!(read(&cache, b"a", now), Some(7));
    }
    let pin = threads::pin();
    assert_eq!(cache.expire(0, 300, 60, &pin, &mut |_, _| {}), Ok(false));
    assert_eq!(cache.entries(), 1);
    assert_eq!(read(&cache, b"a", 370), None);
    assert_eq!(cache.expire(0, 400, 60, &pin, &mut |_, _| {}), Ok(false));
    assert_eq!(cache.entries(), 0);
}

#[test]
fn many_overwrites_with_a_time_to_live_take_no_room() {
    let cache = Cache::<Plain>::new(config(Kind::Fifo, Bound::Entries, 1000), 0);
    for number in 0..100_000_u64 {
        let expires = 1_000_000_000 - number;
        store(&cache, b"a", Put { expires, ..put(1) }, 0);
    }
    let memory = cache.memory(&threads::pin());
    assert!(memory < 20_000, "{memory}");
}

#[test]
fn invalidates_by_tag() {
    let cache = Cache::<Plain>::new(config(Kind::S3Fifo, Bound::Entries, 1000), 0);
    for number in 0..100_u64 {
        let tag = cache.tags().count(1, b"tag", None).unwrap().unwrap();
        let extra = Some(Box::new(Extra {
            tags: [tag].into(),
            ..Extra::default()
        }));
        store(&cache, &number.to_le_bytes(), Put { extra, ..put(1) }, 0);
    }
    store(&cache, b"other", put(1), 0);
    assert_eq!(cache.tags().invalidate(1, b"tag"), Ok(100));
    assert_eq!(read(&cache, &5_u64.to_le_bytes(), 0), None);
    assert_eq!(read(&cache, b"other", 0), Some(1));
    let pin = threads::pin();
    let end = cache.sweep(Cursor::default(), 1000, 0, &pin, &mut |_, _| {}, |_| None);
    assert_eq!(end, Ok(None));
    assert_eq!(cache.counted(Counter::Invalidated), 100);
    assert_eq!(cache.entries(), 1);
}

#[test]
fn walks_each_entry_once() {
    let cache = Cache::<Plain>::new(config(Kind::S3Fifo, Bound::Entries, 50_000), 0);
    for number in 0..30_000_u64 {
        store(&cache, &number.to_le_bytes(), put(number), 0);
    }
    let pin = threads::pin();
    let mut seen = vec![0; 30_000];
    let mut cursor = Some(Cursor::default());
    while let Some(from) = cursor {
        cursor = cache
            .walk(from, 777, &pin, |entry| seen[entry.word() as usize] += 1)
            .unwrap();
    }
    assert!(seen.iter().all(|times| *times == 1));
    let ordered: usize = (0..cache.shards())
        .map(|shard| cache.order(shard, &pin).unwrap().len())
        .sum();
    assert_eq!(ordered, 30_000);
}

#[test]
fn shrinks_in_steps() {
    let cache = Cache::<Plain>::new(config(Kind::S3Fifo, Bound::Entries, 20_000), 0);
    for number in 0..20_000_u64 {
        store(&cache, &number.to_le_bytes(), put(number), 0);
    }
    assert!(!cache.resize(20_000 * 4 + 1));
    assert!(cache.resize(100));
    let pin = threads::pin();
    let mut steps = 1;
    while !cache.shrink(&pin, &mut |_, _| {}) {
        steps += 1;
    }
    assert!(steps > 100);
    assert_eq!(cache.used(), 100);
}

/// The entries of each shard.
fn lengths(cache: &Cache<Plain>) -> Vec<u64> {
    let pin = threads::pin();
    let len = |shard| cache.order(shard, &pin).unwrap().len() as u64;
    (0..cache.shards()).map(len).collect()
}

#[test]
fn shards_keep_and_regain_their_share() {
    const CAPACITY: u64 = 40_000;
    let cache = Cache::<Plain>::new(config(Kind::S3Fifo, Bound::Entries, CAPACITY), 0);
    let fill = |from: u64| {
        for number in from..from + 3 * CAPACITY {
            store(&cache, &number.to_le_bytes(), put(number), 0);
        }
    };
    fill(0);
    let shards = cache.shards() as u64;
    let pin = threads::pin();
    assert!(cache.resize(CAPACITY / 2));
    while !cache.shrink(&pin, &mut |_, _| {}) {}
    let share = CAPACITY / 2 / shards;
    assert!(
        lengths(&cache).iter().all(|&len| len >= share * 9 / 10),
        "{:?}",
        lengths(&cache)
    );

    // One shard loses all it has, and the others grow into the room.
    let in_first = |name: &[u8]| hash(name) >> 32 & (shards - 1) == 0;
    let condemn = |entry: &Entry<Plain>| in_first(entry.key_bytes()).then_some(Cause::Cleared);
    let all = usize::MAX;
    cache
        .sweep(Cursor::default(), all, 0, &pin, &mut |_, _| {}, condemn)
        .unwrap();
    let in_others = |number: &u64| !in_first(&number.to_le_bytes());
    for number in (4 * CAPACITY..6 * CAPACITY).filter(in_others) {
        store(&cache, &number.to_le_bytes(), put(number), 0);
    }
    assert_eq!(cache.used(), CAPACITY / 2);
    assert!(lengths(&cache)[0] < share / 2);
    fill(7 * CAPACITY);
    assert!(
        lengths(&cache)[0] >= share * 8 / 10,
        "{:?}",
        lengths(&cache)
    );
}

static ALIVE: AtomicI64 = AtomicI64::new(0);

/// Values that are counted.
struct Counting;

impl Host for Counting {
    unsafe fn release(form: u8, _word: u64) {
        if form == 1 {
            ALIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn counted(word: u64) -> Value<'static, Counting> {
    ALIVE.fetch_add(1, Ordering::Relaxed);
    Value::new(1, word, b"", 0)
}

#[test]
fn threads_lose_nothing_and_never_exceed_the_bound() {
    const THREADS: u64 = 4;
    const CAPACITY: u64 = 5_000;
    for kind in KINDS {
        let cache = Cache::<Counting>::new(config(kind, Bound::Entries, CAPACITY), 0);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let cache = &cache;
                scope.spawn(move || {
                    threads::as_own_thread(|| {
                        let mut random = thread + 1;
                        for step in 0..100_000_u64 {
                            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                            let number = (random >> 33) % 10_000;
                            let name = number.to_le_bytes();
                            let pin = threads::pin();
                            if step % 3 == 0 {
                                let value = Put {
                                    value: counted(number),
                                    ..put(0)
                                };
                                let result: Result<_, Busy> =
                                    cache.write(&key(&name), 0, &pin, &mut |_, _| {}, |_| {
                                        (Action::Put(value), ())
                                    });
                                result.expect("a thread of ours waits");
                                assert!(cache.used() <= CAPACITY + THREADS);
                            } else if step % 50 == 1 {
                                let _ = cache.write(&key(&name), 0, &pin, &mut |_, _| {}, |_| {
                                    (Action::<Counting>::Remove, ())
                                });
                            } else if let Some(entry) = cache.get(&key(&name), || 0, &pin) {
                                assert_eq!(entry.word(), number);
                            }
                        }
                    });
                });
            }
        });
        assert!(cache.used() <= CAPACITY);
        let pin = threads::pin();
        let mut there = 0;
        cache
            .walk(Cursor::default(), usize::MAX, &pin, |_| there += 1)
            .unwrap();
        assert_eq!(there, cache.used());
        assert_eq!(there, cache.entries());
    }
}

#[test]
fn refuses_what_no_number_can_weigh() {
    let cache = Cache::<Plain>::new(config(Kind::Fifo, Bound::Bytes, 10_000), 0);
    let value = Put {
        value: Value::new(0, 0, b"value", u64::MAX),
        ..put(0)
    };
    assert_eq!(store(&cache, b"key", value, 0), Outcome::TooLarge);
    assert_eq!(cache.used(), 0);
}

#[test]
fn a_step_is_shorter_where_entries_have_many_tags() {
    let cache = Cache::<Plain>::new(config(Kind::Fifo, Bound::Entries, 100), 0);
    for number in 0..20_u64 {
        let tags = (0..800_u64).map(|tag| cache.tags().count(tag, &tag.to_le_bytes(), None));
        let extra = Extra {
            tags: tags.map(|tag| tag.unwrap().unwrap()).collect(),
            ..Extra::default()
        };
        let value = Put {
            extra: Some(Box::new(extra)),
            ..put(number)
        };
        store(&cache, &number.to_le_bytes(), value, 0);
    }
    let pin = threads::pin();
    let mut at = Some(Cursor::default());
    let mut steps = 0;
    while let Some(from) = at {
        let condemn = |_: &Entry<Plain>| Some(Cause::Cleared);
        at = cache
            .sweep(from, 202, 0, &pin, &mut |_, _| {}, condemn)
            .unwrap();
        steps += 1;
    }
    // Two entries in each.
    assert_eq!((cache.entries(), steps), (0, 10));
}
