//! Many threads at once: what they do is counted, so that whatever is lost, freed too soon, freed
//! twice, told twice or too much shows. Some threads are as schedulers are (they never wait for a
//! lock), some may wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicU8, Ordering};

use cache_core::policy::Kind;
use cache_core::threads::{as_own_thread, pin, Pin};
use cache_core::{
    Action, Bound, Busy, Cache, Cause, Config, Cursor, Entry, Extra, Host, Key, Outcome, Put,
    Value, NEVER,
};

const KINDS: [Kind; 5] = [Kind::Lru, Kind::S3Fifo, Kind::Fifo, Kind::Lfu, Kind::Random];

const VALUES: usize = 1 << 22;

/// What became of the values of one test, by their words.
struct Ledger {
    next: AtomicU64,
    states: [AtomicU8; VALUES],
    keys: [AtomicU32; VALUES],
}

const UNUSED: u8 = 0;
const ALIVE: u8 = 1;
/// Told to have left, but perhaps still seen by a reader.
const LEFT: u8 = 2;
const FREED: u8 = 3;

impl Ledger {
    const fn new() -> Self {
        Ledger {
            next: AtomicU64::new(0),
            states: [const { AtomicU8::new(UNUSED) }; VALUES],
            keys: [const { AtomicU32::new(0) }; VALUES],
        }
    }

    fn begin(&self, key: u32) -> u64 {
        let word = self.next.fetch_add(1, Ordering::Relaxed);
        self.keys[word as usize].store(key, Ordering::Relaxed);
        assert_eq!(self.turn(word, ALIVE), UNUSED);
        word
    }

    fn turn(&self, word: u64, state: u8) -> u8 {
        self.states[word as usize].swap(state, Ordering::AcqRel)
    }

    fn state(&self, word: u64) -> u8 {
        self.states[word as usize].load(Ordering::Acquire)
    }

    fn all_freed(&self) -> bool {
        (0..self.next.load(Ordering::Relaxed)).all(|word| self.state(word) == FREED)
    }
}

static SHARED: Ledger = Ledger::new();
static OWN: Ledger = Ledger::new();

struct Shared;
struct Own;

impl Host for Shared {
    unsafe fn release(_form: u8, word: u64) {
        assert!(matches!(SHARED.turn(word, FREED), ALIVE | LEFT));
    }
}

impl Host for Own {
    unsafe fn release(_form: u8, word: u64) {
        assert!(matches!(OWN.turn(word, FREED), ALIVE | LEFT));
    }
}

fn hash(key: u32) -> u64 {
    let hash = (u64::from(key) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (hash ^ hash >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

fn key(bytes: &[u8; 4]) -> Key<'_> {
    Key {
        hash: hash(u32::from_le_bytes(*bytes)),
        form: 0,
        bytes,
        same: None,
    }
}

/// The numbers of a linear congruential generator, as good as a test needs.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) * end) >> 31
    }
}

/// Once nobody is pinned, some rounds free all that was deferred.
fn freed_in_the_end(ledger: &Ledger) -> bool {
    (0..100_000).any(|round| {
        pin().flush();
        round % 100 == 0 && ledger.all_freed()
    })
}

const WORKERS: u64 = 5;
const MOST: u64 = 20;

/// A cache that all workers use, and what they are told of it.
struct World {
    cache: Cache<Shared>,
    /// The weight of what is in, entries on their way included.
    held: AtomicI64,
    entries: AtomicI64,
    now: AtomicU64,
}

impl World {
    fn removed(&self, entry: &Entry<Shared>, _cause: Cause) {
        assert_eq!(SHARED.turn(entry.word(), LEFT), ALIVE, "told twice");
        let weight = i64::from(entry.weight());
        self.held.fetch_sub(weight, Ordering::Relaxed);
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }

    fn check_bound(&self) {
        let most = self.cache.capacity() + WORKERS * MOST;
        let held = self.held.load(Ordering::Relaxed);
        assert!(held <= most as i64, "{held} held");
        assert!(self.cache.used() <= most);
    }

    fn get(&self, number: u32, now: u64) {
        let pin = pin();
        let bytes = number.to_le_bytes();
        if let Some(entry) = self.cache.get(&key(&bytes), || now, &pin) {
            for _ in 0..3 {
                let word = entry.word();
                assert!(matches!(SHARED.state(word), ALIVE | LEFT), "freed too soon");
                let of = SHARED.keys[word as usize].load(Ordering::Relaxed);
                assert_eq!(of, number, "another's value");
                assert_eq!(entry.key_bytes(), bytes);
            }
        }
    }

    fn put(&self, number: u32, now: u64, dice: &mut Dice) -> Result<(), Busy> {
        let pin = pin();
        let bytes = number.to_le_bytes();
        let weight = match self.cache.bound() {
            Bound::Entries => 1,
            _ => dice.below(MOST) + 1,
        };
        let idle = if dice.below(4) == 0 { 20 } else { 0 };
        let tag = (dice.below(8) == 0).then(|| self.cache.tags().count(1, b"tag", None));
        let tags = match tag {
            Some(tag) => tag?.into_iter().collect(),
            None => [].into(),
        };
        let extra = Some(Box::new(Extra {
            idle,
            used_at: now.into(),
            tags,
            ..Extra::default()
        }));
        let put = Put {
            value: Value::new(0, SHARED.begin(number), b"", 0),
            weight,
            ttl: 0,
            expires: if dice.below(3) == 0 { now + 50 } else { NEVER },
            extra: extra.filter(|extra| extra.idle != 0 || !extra.tags.is_empty()),
        };
        let mut on_removed = |entry: &Entry<Shared>, cause| self.removed(entry, cause);
        let (outcome, ()) = self
            .cache
            .write(&key(&bytes), now, &pin, &mut on_removed, |_| {
                self.held.fetch_add(weight as i64, Ordering::Relaxed);
                self.entries.fetch_add(1, Ordering::Relaxed);
                (Action::Put(put), ())
            })?;
        match outcome {
            Outcome::Stored(_) => {}
            Outcome::Over(_) => self.shrink(&pin),
            other => panic!("{other:?}"),
        }
        self.check_bound();
        Ok(())
    }

    fn shrink(&self, pin: &Pin) {
        let mut on_removed = |entry: &Entry<Shared>, cause| self.removed(entry, cause);
        while !self.cache.shrink(pin, &mut on_removed) {
            std::thread::yield_now();
        }
    }

    fn remove(&self, number: u32, now: u64) -> Result<(), Busy> {
        let pin = pin();
        let bytes = number.to_le_bytes();
        let mut on_removed = |entry: &Entry<Shared>, cause| self.removed(entry, cause);
        let decide = |_: Option<&_>| (Action::Remove, ());
        let outcome = self
            .cache
            .write(&key(&bytes), now, &pin, &mut on_removed, decide)?;
        assert_eq!(outcome, (Outcome::Done, ()));
        Ok(())
    }

    fn work(&self, seed: u64, keys: u64, steps: u64) {
        let mut dice = Dice(seed);
        for _ in 0..steps {
            // Half of all is about few keys.
            let keys = if dice.below(2) == 0 { keys / 16 } else { keys };
            let number = dice.below(keys) as u32;
            let now = self.now.load(Ordering::Relaxed);
            // What is busy is simply not done.
            let _ = match dice.below(16) {
                0..=4 => self.put(number, now, &mut dice),
                5 => self.remove(number, now),
                _ => {
                    self.get(number, now);
                    Ok(())
                }
            };
        }
        pin().flush();
    }

    /// What the library's own thread does, and what few callers ask for.
    fn maintain(&self, done: &AtomicBool) {
        let mut dice = Dice(77);
        while !done.load(Ordering::Relaxed) {
            let now = self.now.fetch_add(1, Ordering::Relaxed);
            let pin = pin();
            let mut on_removed = |entry: &Entry<Shared>, cause| self.removed(entry, cause);
            let shard = dice.below(self.cache.shards() as u64) as usize;
            let _ = self.cache.expire(shard, now, 10, &pin, &mut on_removed);
            match dice.below(8) {
                0 => {
                    let _ = self.cache.tags().invalidate(1, b"tag");
                }
                1 => {
                    let from = Cursor::default();
                    let condemn = |entry: &Entry<Shared>| {
                        entry.word().is_multiple_of(64).then_some(Cause::Cleared)
                    };
                    let _ = self
                        .cache
                        .sweep(from, 500, now, &pin, &mut on_removed, condemn);
                }
                2 => {
                    let mut seen = HashMap::new();
                    let show = |entry: &Entry<Shared>| {
                        assert!(matches!(SHARED.state(entry.word()), ALIVE | LEFT));
                        *seen.entry(entry.word()).or_insert(0) += 1;
                    };
                    let _ = self.cache.walk(Cursor::default(), 500, &pin, show);
                    assert!(seen.values().all(|&times| times == 1));
                }
                3 => self.cache.apply_all_reads(&pin),
                _ => {}
            }
            self.check_bound();
        }
    }
}

fn stress(kind: Kind, bound: Bound, capacity: u64, steps: u64) {
    let config = Config {
        policy: kind,
        bound,
        capacity,
        max_entry: 0,
        // Fewer than there are threads: the last share what the others have of their own.
        threads: 4,
    };
    let world = World {
        cache: Cache::new(config, 0),
        held: AtomicI64::new(0),
        entries: AtomicI64::new(0),
        now: AtomicU64::new(0),
    };
    let keys = match bound {
        Bound::Entries => 2 * capacity,
        _ => capacity / 5,
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let world = &world;
                scope.spawn(move || match worker % 2 {
                    0 => world.work(worker, keys, steps),
                    _ => as_own_thread(|| world.work(worker, keys, steps)),
                })
            })
            .collect();
        let maintenance = scope.spawn(|| as_own_thread(|| world.maintain(&done)));
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        for result in results.into_iter().chain([maintenance.join()]) {
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        }
    });
    {
        let pin = pin();
        let (mut count, mut weight) = (0, 0);
        let show = |entry: &Entry<Shared>| {
            assert_eq!(SHARED.state(entry.word()), ALIVE);
            count += 1;
            weight += u64::from(entry.weight());
        };
        let end = world.cache.walk(Cursor::default(), usize::MAX, &pin, show);
        assert_eq!(end, Ok(None));
        assert_eq!(world.entries.load(Ordering::Relaxed), count);
        assert_eq!(world.held.load(Ordering::Relaxed), weight as i64);
        assert_eq!(world.cache.used(), weight);
        assert_eq!(world.cache.entries() as i64, count);
        assert!(weight <= capacity);
        assert!(count > 0);
    }
    drop(world);
}

#[test]
fn counts_agree_whatever_the_threads_do() {
    for kind in KINDS {
        stress(kind, Bound::Entries, 500, 20_000);
        stress(kind, Bound::Entries, 10_000, 40_000);
        stress(kind, Bound::Weight, 30_000, 40_000);
    }
    assert!(freed_in_the_end(&SHARED));
}

/// Each worker has keys of its own and room for all of them: it always finds what it put last,
/// while the tables they share grow and are replaced.
#[test]
fn no_write_is_lost() {
    const KEYS: u64 = 3_000;
    for kind in KINDS {
        let config = Config {
            policy: kind,
            bound: Bound::Entries,
            capacity: 2 * WORKERS * KEYS,
            max_entry: 0,
            threads: 16,
        };
        let cache = Cache::<Own>::new(config, 0);
        let work = |worker: u64| {
            let mut dice = Dice(worker);
            let mut mine = HashMap::new();
            for _ in 0..40_000 {
                let number = (worker * KEYS + dice.below(KEYS)) as u32;
                let bytes = number.to_le_bytes();
                let pin = pin();
                let removes = dice.below(8);
                if removes < 4 {
                    let word = match removes {
                        0 => None,
                        _ => Some(OWN.begin(number)),
                    };
                    let put = |word| Put {
                        value: Value::new(0, word, b"", 0),
                        weight: 1,
                        ttl: 0,
                        expires: NEVER,
                        extra: None,
                    };
                    let mut action = match word {
                        None => Some(Action::Remove),
                        Some(word) => Some(Action::Put(put(word))),
                    };
                    let mut on_removed = |entry: &Entry<Own>, _| {
                        assert_eq!(OWN.turn(entry.word(), LEFT), ALIVE);
                    };
                    // Busy before anything was decided: the action is still there.
                    while action.is_some() {
                        let decide = |_: Option<&_>| (action.take().expect("an action"), ());
                        let _ = cache.write(&key(&bytes), 0, &pin, &mut on_removed, decide);
                    }
                    match word {
                        None => mine.remove(&number),
                        Some(word) => mine.insert(number, word),
                    };
                }
                let found = cache.get(&key(&bytes), || 0, &pin).map(Entry::word);
                assert_eq!(found, mine.get(&number).copied());
            }
            pin().flush();
        };
        std::thread::scope(|scope| {
            for worker in 0..WORKERS {
                let work = &work;
                scope.spawn(move || match worker % 2 {
                    0 => work(worker),
                    _ => as_own_thread(|| work(worker)),
                });
            }
        });
    }
    assert!(freed_in_the_end(&OWN));
}
