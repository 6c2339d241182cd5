//! The whole cache against a naive model of it, step by step, for every policy and bound, with a
//! clock that the test drives. Which entry a policy evicts is taken from the cache where no
//! textbook says it; that it was needed, and told, is checked.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};

use cache_core::policy::Kind;
use cache_core::stats::Counter;
use cache_core::{
    threads, Action, Bound, Cache, Cause, Config, Counted, Cursor, Entry, Extra, Host, Key,
    Outcome, Put, Value, NEVER, OVERHEAD,
};
use proptest::prelude::*;

/// Values that say in a table whether they are alive.
struct Tracked;

const VALUES: usize = 1 << 22;
static NEXT: AtomicU64 = AtomicU64::new(0);
static ALIVE: [AtomicU8; VALUES] = [const { AtomicU8::new(0) }; VALUES];

impl Host for Tracked {
    unsafe fn release(_form: u8, word: u64) {
        assert_eq!(ALIVE[word as usize].swap(0, Ordering::Relaxed), 1);
    }
}

fn is_alive(word: u64) -> bool {
    ALIVE[word as usize].load(Ordering::Relaxed) == 1
}

fn new_value(bytes: &[u8], outside: u64) -> (u64, Value<'_, Tracked>) {
    let word = NEXT.fetch_add(1, Ordering::Relaxed);
    assert_eq!(ALIVE[word as usize].swap(1, Ordering::Relaxed), 0);
    (word, Value::new(0, word, bytes, outside))
}

const TAGS: u8 = 3;

const COUNTERS: [Counter; 10] = [
    Counter::Hits,
    Counter::Misses,
    Counter::Inserts,
    Counter::Replacements,
    Counter::Refusals,
    Counter::Evicted,
    Counter::Expired,
    Counter::Deleted,
    Counter::Invalidated,
    Counter::Cleared,
];

#[derive(Clone, Debug)]
struct New {
    weight: u64,
    inline: usize,
    ttl: Option<u64>,
    idle: u64,
    stale_for: u64,
    stale_if_error: u64,
    tags: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Get(u16),
    Put(u16, New),
    PutNew(u16, New),
    /// If the version is that of another entry (false) or the entry's own (true).
    PutOver(u16, bool, New),
    Remove(u16),
    Touch(u16, u64),
    Pass(u64),
    Expire,
    SweepOdd,
    Invalidate(u8),
    Resize(u64),
    Walk,
}

fn new(most: u64) -> impl Strategy<Value = New> {
    let time = || prop_oneof![3 => Just(0), 1 => 1..300_u64];
    (
        0..=most,
        0..200_usize,
        prop::option::weighted(0.3, 1..500_u64),
        time(),
        time(),
        time(),
        prop::sample::subsequence(&[0, 1, 2], 0..3),
    )
        .prop_map(
            |(weight, inline, ttl, idle, stale_for, stale_if_error, tags)| New {
                weight,
                inline,
                ttl,
                idle,
                stale_for,
                stale_if_error,
                tags,
            },
        )
}

fn step(keys: u16, capacity: u64) -> impl Strategy<Value = Step> {
    let most = capacity / 6;
    prop_oneof![
        12 => (0..keys).prop_map(Step::Get),
        8 => (0..keys, new(most)).prop_map(|(key, new)| Step::Put(key, new)),
        2 => (0..keys, new(most)).prop_map(|(key, new)| Step::PutNew(key, new)),
        2 => (0..keys, any::<bool>(), new(most))
            .prop_map(|(key, own, new)| Step::PutOver(key, own, new)),
        2 => (0..keys).prop_map(Step::Remove),
        1 => (0..keys, 0..400_u64).prop_map(|(key, more)| Step::Touch(key, more)),
        3 => (0..150_u64).prop_map(Step::Pass),
        1 => Just(Step::Expire),
        1 => Just(Step::SweepOdd),
        1 => (0..TAGS).prop_map(Step::Invalidate),
        1 => (1..=2 * capacity).prop_map(Step::Resize),
        1 => Just(Step::Walk),
    ]
}

#[derive(Clone, Debug)]
struct Known {
    word: u64,
    version: u64,
    weight: u64,
    expires: u64,
    used_at: u64,
    new: New,
    valid: bool,
    /// Its tags that were not invalidated since.
    tags: Vec<u8>,
}

impl Known {
    fn is_idle(&self, now: u64) -> bool {
        self.new.idle != 0 && now >= self.used_at + self.new.idle
    }

    fn is_fresh(&self, now: u64) -> bool {
        self.valid && now < self.expires && !self.is_idle(now)
    }

    fn is_stale(&self, now: u64, failed: bool) -> bool {
        let grace = match failed {
            true => self.new.stale_for.max(self.new.stale_if_error),
            false => self.new.stale_for,
        };
        let past = now >= self.expires && now < self.expires.saturating_add(grace);
        past && self.valid && !self.is_idle(now)
    }

    fn is_dead(&self, now: u64) -> bool {
        let grace = self.new.stale_for.max(self.new.stale_if_error);
        now >= self.expires.saturating_add(grace) || self.is_idle(now)
    }
}

/// What the cache told of a removal.
#[derive(Clone, Copy, Debug)]
struct Removed {
    key: u16,
    version: u64,
    cause: Cause,
}

struct Model {
    cache: Cache<Tracked>,
    known: HashMap<u16, Known>,
    /// The keys, next to leave first, where the policy is one of those that know but one order.
    order: Vec<u16>,
    /// What was put last.
    newest: Option<u16>,
    versions: HashSet<u64>,
    counts: HashMap<usize, u64>,
    now: u64,
}

fn key_hash(key: u16) -> u64 {
    let mut hash = u64::from(key)
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash = (hash ^ hash >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    hash ^ hash >> 32
}

fn key_of(bytes: &[u8]) -> Key<'_> {
    let number = u16::from_le_bytes([bytes[0], bytes[1]]);
    Key {
        // Some keys share all 64 bits.
        hash: key_hash(number / 2),
        form: 0,
        bytes,
        same: None,
    }
}

fn number_of(entry: &Entry<Tracked>) -> u16 {
    let bytes = entry.key_bytes();
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn removed(entry: &Entry<Tracked>, cause: Cause) -> Removed {
    assert!(is_alive(entry.word()));
    Removed {
        key: number_of(entry),
        version: entry.version(),
        cause,
    }
}

impl Model {
    fn new(policy: Kind, bound: Bound, capacity: u64) -> Self {
        let config = Config {
            policy,
            bound,
            capacity,
            max_entry: 0,
            threads: 4,
        };
        Model {
            cache: Cache::new(config, 1_000),
            known: HashMap::new(),
            order: Vec::new(),
            newest: None,
            versions: HashSet::new(),
            counts: HashMap::new(),
            now: 1_000,
        }
    }

    fn used(&self) -> u64 {
        self.known.values().map(|known| known.weight).sum()
    }

    fn count(&mut self, counter: Counter) {
        *self.counts.entry(counter as usize).or_default() += 1;
    }

    fn use_key(&mut self, key: u16) {
        if self.cache.policy() == Kind::Lru {
            self.order.retain(|&one| one != key);
            self.order.push(key);
        }
    }

    /// Believes a removal if there was reason for it.
    fn believe(&mut self, removed: Removed) {
        let Removed {
            key,
            version,
            cause,
        } = removed;
        let known = self.known.get(&key).expect("a known entry");
        assert_eq!(known.version, version);
        let counter = match cause {
            Cause::Size => {
                assert!(
                    self.used() > self.cache.capacity(),
                    "an eviction without need"
                );
                if self.has_one_order() {
                    // What was put last is spared while there are others.
                    let is_next = |&&one: &&u16| Some(one) != self.newest;
                    let next = self.order.iter().find(is_next);
                    assert_eq!(next.copied().unwrap_or(key), key, "not the next to leave");
                }
                Counter::Evicted
            }
            Cause::Expired => {
                assert!(known.is_dead(self.now) && known.valid);
                Counter::Expired
            }
            Cause::Invalidated => {
                assert!(!known.valid);
                Counter::Invalidated
            }
            Cause::Replaced => {
                assert!(known.valid && !known.is_dead(self.now));
                Counter::Replacements
            }
            Cause::Explicit => {
                assert!(known.valid && !known.is_dead(self.now));
                Counter::Deleted
            }
            Cause::Cleared => {
                assert!(key % 2 == 1 && known.valid && !known.is_dead(self.now));
                Counter::Cleared
            }
        };
        self.count(counter);
        self.known.remove(&key);
        self.order.retain(|&one| one != key);
    }

    fn get(&mut self, key: u16) {
        let pin = threads::pin();
        let bytes = key.to_le_bytes();
        let now = self.now;
        if let Some(entry) = self.cache.peek_any(&key_of(&bytes), &pin) {
            let known = &self.known[&key];
            assert_eq!(entry.is_fresh(|| now), known.is_fresh(now));
            assert_eq!(entry.is_stale(now, false), known.is_stale(now, false));
            assert_eq!(entry.is_stale(now, true), known.is_stale(now, true));
        } else {
            assert!(!self.known.contains_key(&key));
        }
        let found = self.cache.get(&key_of(&bytes), || now, &pin);
        let Some(known) = self.known.get_mut(&key).filter(|known| known.is_fresh(now)) else {
            assert!(found.is_none());
            return self.count(Counter::Misses);
        };
        let entry = found.expect("a hit");
        assert_eq!(entry.word(), known.word);
        assert_eq!(entry.version(), known.version);
        assert_eq!(entry.value_bytes().len(), known.new.inline);
        assert!(is_alive(entry.word()));
        known.used_at = now;
        self.use_key(key);
        self.count(Counter::Hits);
    }

    /// Runs a decision about a key. Believes what was buried on the way, returns what left after
    /// the decision.
    fn write<'v>(
        &mut self,
        key: u16,
        decide: impl FnOnce(Option<&Entry<Tracked>>) -> Action<'v, Tracked>,
    ) -> (Outcome, Vec<Removed>) {
        let pin = threads::pin();
        let bytes = key.to_le_bytes();
        let gone = RefCell::new(Vec::new());
        let mut on_removed = |entry: &Entry<Tracked>, cause: Cause| {
            gone.borrow_mut().push(removed(entry, cause));
        };
        let (outcome, (seen, buried)) = self
            .cache
            .write(&key_of(&bytes), self.now, &pin, &mut on_removed, |entry| {
                let seen = entry.map(Entry::word);
                (decide(entry), (seen, gone.take()))
            })
            .expect("nobody else is here");
        let fresh = self.fresh(key).map(|known| known.word);
        assert_eq!(seen, fresh);
        for removed in buried {
            assert!(matches!(removed.cause, Cause::Expired | Cause::Invalidated));
            self.believe(removed);
        }
        (outcome, gone.take())
    }

    fn fresh(&self, key: u16) -> Option<&Known> {
        self.known
            .get(&key)
            .filter(|known| known.is_fresh(self.now))
    }

    fn extra(&self, new: &New) -> Option<Box<Extra>> {
        let share = |&tag: &u8| self.cache.tags().count(u64::from(tag), &[tag], None);
        let share = |tag| share(tag).expect("nobody else is here").expect("no moment");
        let is_plain = new.tags.is_empty() && new.idle + new.stale_for + new.stale_if_error == 0;
        (!is_plain).then(|| {
            Box::new(Extra {
                idle: new.idle,
                used_at: AtomicU64::new(self.now),
                stale_for: new.stale_for,
                stale_if_error: new.stale_if_error,
                tags: new.tags.iter().map(share).collect(),
            })
        })
    }

    fn weigh(&self, new: &New, extra: bool) -> u64 {
        let extra = match extra {
            true => size_of::<Extra>() + new.tags.len() * size_of::<Counted>(),
            false => 0,
        };
        match self.cache.bound() {
            Bound::Entries => 1,
            Bound::Weight => new.weight,
            Bound::Bytes => (2 + OVERHEAD + extra + new.inline) as u64 + new.weight,
        }
    }

    /// Puts if `wanted` says so of the version of the entry that is there.
    fn put(&mut self, key: u16, new: New, wanted: impl FnOnce(Option<u64>) -> bool) {
        let inline = vec![7; new.inline];
        let outside = match self.cache.bound() {
            Bound::Bytes => new.weight,
            _ => 0,
        };
        let extra = self.extra(&new);
        let weight = self.weigh(&new, extra.is_some());
        let (word, value) = new_value(&inline, outside);
        let expires = new.ttl.map_or(NEVER, |ttl| self.now + ttl);
        let put = Put {
            value,
            weight: new.weight,
            ttl: new.ttl.unwrap_or(0),
            expires,
            extra,
        };
        let is_wanted = wanted(self.fresh(key).map(|known| known.version));
        let (outcome, gone) = self.write(key, |_| match is_wanted {
            true => Action::Put(put),
            false => Action::Keep,
        });
        let version = match outcome {
            Outcome::Stored(version) => version,
            Outcome::TooLarge => {
                assert!(is_wanted && gone.is_empty() && weight > self.cache.max_entry());
                return self.count(Counter::Refusals);
            }
            Outcome::Done => return assert!(!is_wanted && gone.is_empty()),
            Outcome::Over(_) => panic!("room is a matter of few entries here"),
        };
        assert!(is_wanted && weight <= self.cache.max_entry());
        assert!(self.versions.insert(version), "a version twice");
        let mut gone = gone.into_iter().peekable();
        match gone.next_if(|removed| removed.key == key) {
            Some(replaced) => {
                let place = self.order.iter().position(|&one| one == key);
                self.believe(replaced);
                self.order.insert(place.expect("a place"), key);
                self.use_key(key);
                if replaced.cause != Cause::Replaced {
                    self.count(Counter::Inserts);
                }
            }
            None => {
                assert!(!self.known.contains_key(&key));
                self.order.push(key);
                self.count(Counter::Inserts);
            }
        }
        let known = Known {
            word,
            version,
            weight,
            expires,
            used_at: self.now,
            valid: true,
            tags: new.tags.clone(),
            new,
        };
        self.known.insert(key, known);
        if self.cache.policy() == Kind::Fifo {
            self.newest = Some(key);
        }
        for removed in gone {
            assert_eq!(removed.cause, Cause::Size);
            assert!(removed.key != key, "what was put is evicted at once");
            self.believe(removed);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Get(key) => self.get(key),
            Step::Put(key, new) => self.put(key, new, |_| true),
            Step::PutNew(key, new) => self.put(key, new, |version| version.is_none()),
            Step::PutOver(key, own, new) => {
                let version = match own {
                    true => self.fresh(key).map(|known| known.version),
                    false => Some(0),
                };
                self.put(key, new, |is| is.is_some() && is == version);
            }
            Step::Remove(key) => {
                let (outcome, gone) = self.write(key, |_| Action::Remove);
                assert_eq!(outcome, Outcome::Done);
                assert_eq!(gone.len(), usize::from(self.known.contains_key(&key)));
                for removed in gone {
                    assert_eq!(removed.key, key);
                    self.believe(removed);
                }
            }
            Step::Touch(key, more) => {
                let at = self.now + more;
                let (outcome, gone) = self.write(key, |entry| match entry {
                    Some(_) => Action::Touch(at),
                    None => Action::Keep,
                });
                assert_eq!((outcome, gone.len()), (Outcome::Done, 0));
                let now = self.now;
                let known = self.known.get_mut(&key);
                if let Some(known) = known.filter(|known| known.is_fresh(now)) {
                    known.expires = at;
                    known.used_at = now;
                    self.use_key(key);
                }
            }
            Step::Pass(time) => self.now += time,
            Step::Expire => self.expire(),
            Step::SweepOdd => self.sweep(),
            Step::Invalidate(tag) => {
                // An entry that another of its tags has made invalid still counts here.
                let mut count = 0;
                for known in self.known.values_mut() {
                    if let Some(place) = known.tags.iter().position(|&one| one == tag) {
                        known.tags.swap_remove(place);
                        known.valid = false;
                        count += 1;
                    }
                }
                let told = self.cache.tags().invalidate(u64::from(tag), &[tag]);
                assert_eq!(told, Ok(count));
            }
            Step::Resize(capacity) => {
                assert!(self.cache.resize(capacity));
                let mut gone = Vec::new();
                let pin = threads::pin();
                let mut calls = 0;
                while !self.cache.shrink(&pin, &mut |entry, cause| {
                    gone.push(removed(entry, cause));
                }) {
                    calls += 1;
                    assert!(calls < 1_000);
                }
                for removed in gone {
                    assert_eq!(removed.cause, Cause::Size);
                    self.believe(removed);
                }
            }
            Step::Walk => self.walk(),
        }
        self.check();
    }

    fn expire(&mut self) {
        let pin = threads::pin();
        let mut gone = Vec::new();
        for shard in 0..self.cache.shards() {
            while self
                .cache
                .expire(shard, self.now, 3, &pin, &mut |entry, cause| {
                    gone.push(removed(entry, cause));
                })
                .expect("nobody else is here")
            {}
        }
        for removed in gone {
            assert!(matches!(removed.cause, Cause::Expired | Cause::Invalidated));
            self.believe(removed);
        }
        // Deadlines have a grain of 16 ms.
        let long_dead = |known: &Known| self.now >= 16 && known.is_dead(self.now - 16);
        assert!(!self.known.values().any(long_dead));
    }

    fn sweep(&mut self) {
        let pin = threads::pin();
        let mut gone = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            let condemn =
                |entry: &Entry<Tracked>| (number_of(entry) % 2 == 1).then_some(Cause::Cleared);
            let mut on_removed = |entry: &Entry<Tracked>, cause| gone.push(removed(entry, cause));
            cursor = self
                .cache
                .sweep(from, 7, self.now, &pin, &mut on_removed, condemn)
                .expect("nobody else is here");
        }
        for removed in gone {
            self.believe(removed);
        }
        for (key, known) in &self.known {
            assert!(key % 2 == 0 && known.valid && !known.is_dead(self.now));
        }
    }

    fn walk(&mut self) {
        let pin = threads::pin();
        let mut seen = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            let show = |entry: &Entry<Tracked>| seen.push((number_of(entry), entry.word()));
            cursor = self.cache.walk(from, 5, &pin, show).expect("nobody else");
        }
        seen.sort_unstable();
        let known = self.known.iter().map(|(&key, known)| (key, known.word));
        let mut known: Vec<_> = known.collect();
        known.sort_unstable();
        assert_eq!(seen, known);

        self.cache.apply_all_reads(&pin);
        let mut order = Vec::new();
        for shard in 0..self.cache.shards() {
            let numbers = self.cache.order(shard, &pin).expect("nobody else");
            let show = |entry: &Entry<Tracked>| {
                order.push(number_of(entry));
                true
            };
            self.cache
                .show(shard, &numbers, &pin, show)
                .expect("nobody else");
        }
        assert_eq!(order.len(), self.known.len());
        if self.has_one_order() {
            assert_eq!(order, self.order);
        }
    }

    fn check(&self) {
        let used = self.used();
        assert_eq!(self.cache.used(), used);
        assert!(used <= self.cache.capacity(), "the bound");
        assert_eq!(self.cache.entries(), self.known.len() as u64);
        for counter in COUNTERS {
            let wanted = self.counts.get(&(counter as usize)).copied();
            assert_eq!(
                self.cache.counted(counter),
                wanted.unwrap_or(0),
                "{counter:?}"
            );
        }
    }

    /// Whether the order in which entries leave is known from the textbook.
    fn has_one_order(&self) -> bool {
        self.cache.shards() == 1 && matches!(self.cache.policy(), Kind::Lru | Kind::Fifo)
    }
}

fn run(policy: Kind, bound: Bound, capacity: u64, steps: Vec<Step>) {
    let mut model = Model::new(policy, bound, capacity);
    for step in steps {
        model.step(step);
    }
}

const KINDS: [Kind; 5] = [Kind::Lru, Kind::S3Fifo, Kind::Fifo, Kind::Lfu, Kind::Random];

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn bound_by_entries(
        policy in prop::sample::select(&KINDS),
        (capacity, steps) in (1..40_u64).prop_flat_map(|capacity| {
            (Just(capacity), prop::collection::vec(step(60, capacity), 0..300))
        }),
    ) {
        run(policy, Bound::Entries, capacity, steps);
    }

    #[test]
    fn bound_by_bytes(
        policy in prop::sample::select(&KINDS),
        steps in prop::collection::vec(step(60, 8_000), 0..300),
    ) {
        run(policy, Bound::Bytes, 8_000, steps);
    }

    /// Four shards with few entries in each.
    #[test]
    fn bound_by_bytes_in_shards(
        policy in prop::sample::select(&KINDS),
        steps in prop::collection::vec(step(60, 4 << 20), 0..300),
    ) {
        run(policy, Bound::Bytes, 4 << 20, steps);
    }

    #[test]
    fn bound_by_weight(
        policy in prop::sample::select(&KINDS),
        steps in prop::collection::vec(step(60, 300), 0..300),
    ) {
        run(policy, Bound::Weight, 300, steps);
    }

    #[test]
    fn bound_by_weight_in_shards(
        policy in prop::sample::select(&KINDS),
        steps in prop::collection::vec(step(60, 40_000), 0..300),
    ) {
        run(policy, Bound::Weight, 40_000, steps);
    }
}
