//! The policies against naive models that say the same in the textbook's words, and what must
//! hold of all of them.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use cache_core::policy::{Entries, Kind, Policy, MAX_VISITS};
use proptest::prelude::*;

const KINDS: [Kind; 5] = [Kind::Lru, Kind::S3Fifo, Kind::Fifo, Kind::Lfu, Kind::Random];

/// The entries of a shard. Numbers are given again, the key says which entry it is.
#[derive(Default)]
struct Slots {
    slots: RefCell<Vec<Slot>>,
    asked: Cell<usize>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    key: u32,
    weight: u32,
    visits: u8,
}

impl Entries for Slots {
    fn weight(&self, id: u32) -> u32 {
        self.slots.borrow()[id as usize].weight
    }

    fn hash(&self, id: u32) -> u32 {
        self.slots.borrow()[id as usize]
            .key
            .wrapping_mul(0x9E37_79B9)
    }

    fn visits(&self, id: u32) -> u8 {
        self.asked.set(self.asked.get() + 1);
        self.slots.borrow()[id as usize].visits
    }

    fn set_visits(&self, id: u32, visits: u8) {
        self.slots.borrow_mut()[id as usize].visits = visits;
    }
}

/// A shard as it uses a policy, without a bound of its own.
struct Shard {
    policy: Policy,
    entries: Slots,
    ids: HashMap<u32, u32>,
    free: Vec<u32>,
}

impl Shard {
    fn new(kind: Kind) -> Self {
        Shard {
            policy: Policy::new(kind),
            entries: Slots::default(),
            ids: HashMap::new(),
            free: Vec::new(),
        }
    }

    fn put(&mut self, key: u32, weight: u32) {
        if let Some(&id) = self.ids.get(&key) {
            let old = self.entries.weight(id);
            self.entries.slots.borrow_mut()[id as usize].weight = weight;
            self.policy.replace(id, old, &self.entries);
            return;
        }
        let slots = self.entries.slots.get_mut();
        let id = self.free.pop().unwrap_or(slots.len() as u32);
        if id as usize == slots.len() {
            slots.push(Slot::default());
        }
        slots[id as usize] = Slot {
            key,
            weight,
            visits: 0,
        };
        self.ids.insert(key, id);
        self.policy.insert(id, &self.entries);
    }

    fn hit(&mut self, key: u32) {
        if let Some(&id) = self.ids.get(&key) {
            let visits = &mut self.entries.slots.get_mut()[id as usize].visits;
            *visits = (*visits + 1).min(MAX_VISITS);
            self.policy.access(id, &self.entries);
        }
    }

    fn remove(&mut self, key: u32) {
        if let Some(id) = self.ids.remove(&key) {
            self.policy.remove(id, self.entries.weight(id));
            self.free.push(id);
        }
    }

    fn evict(&mut self) -> Option<u32> {
        let id = self.policy.evict(&self.entries)?;
        let key = self.key(id);
        assert_eq!(self.ids.remove(&key), Some(id), "not one that is in");
        self.free.push(id);
        Some(key)
    }

    fn key(&self, id: u32) -> u32 {
        self.entries.slots.borrow()[id as usize].key
    }

    fn order(&self) -> Vec<u32> {
        let order = self.policy.order();
        order.into_iter().map(|id| self.key(id)).collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u32, u32),
    Hit(u32),
    Remove(u32),
    Evict,
}

fn steps(keys: u32, weights: std::ops::Range<u32>) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..keys, weights).prop_map(|(key, weight)| Step::Put(key, weight)),
        4 => (0..keys).prop_map(Step::Hit),
        1 => (0..keys).prop_map(Step::Remove),
        2 => Just(Step::Evict),
    ];
    prop::collection::vec(step, 0..400)
}

/// A policy in the textbook's words.
trait Model {
    fn put(&mut self, key: u32, weight: u32);
    fn hit(&mut self, key: u32);
    fn remove(&mut self, key: u32);
    fn evict(&mut self) -> Option<u32>;
    fn order(&self) -> Vec<u32>;
}

/// Queues have their oldest in front.
#[derive(Default)]
struct Queue {
    keys: VecDeque<u32>,
    by_use: bool,
    newest: Option<u32>,
}

impl Model for Queue {
    fn put(&mut self, key: u32, _weight: u32) {
        if self.keys.contains(&key) {
            self.hit(key);
        } else {
            self.keys.push_back(key);
        }
        self.newest = Some(key);
    }

    fn hit(&mut self, key: u32) {
        if self.by_use && self.keys.contains(&key) {
            self.remove(key);
            self.keys.push_back(key);
        }
    }

    fn remove(&mut self, key: u32) {
        self.keys.retain(|&one| one != key);
    }

    fn evict(&mut self) -> Option<u32> {
        let is_next = |&key: &u32| self.by_use || Some(key) != self.newest;
        let place = self.keys.iter().position(is_next);
        self.keys.remove(place.unwrap_or(0))
    }

    fn order(&self) -> Vec<u32> {
        self.keys.iter().copied().collect()
    }
}

#[derive(Clone, Copy)]
struct Item {
    key: u32,
    weight: u32,
    visits: u8,
}

#[derive(Default)]
struct S3 {
    small: VecDeque<Item>,
    main: VecDeque<Item>,
    ghost: VecDeque<u32>,
    newest: Option<u32>,
}

impl S3 {
    fn find(&mut self, key: u32) -> Option<&mut Item> {
        let mut items = self.small.iter_mut().chain(&mut self.main);
        items.find(|item| item.key == key)
    }

    fn haunt(&mut self, item: Item) -> u32 {
        self.ghost.push_back(item.key);
        let room = (self.small.len() + self.main.len()).max(1);
        while self.ghost.len() > room {
            self.ghost.pop_front();
        }
        item.key
    }

    fn weigh(queue: &VecDeque<Item>) -> u64 {
        queue.iter().map(|item| u64::from(item.weight)).sum()
    }
}

impl Model for S3 {
    fn put(&mut self, key: u32, weight: u32) {
        if let Some(item) = self.find(key) {
            item.weight = weight;
            self.newest = Some(key);
            return self.hit(key);
        }
        let item = Item {
            key,
            weight,
            visits: 0,
        };
        if self.ghost.contains(&key) {
            self.ghost.retain(|&one| one != key);
            self.main.push_back(item);
        } else {
            self.small.push_back(item);
        }
        self.newest = Some(key);
    }

    fn hit(&mut self, key: u32) {
        if let Some(item) = self.find(key) {
            item.visits = (item.visits + 1).min(3);
        }
    }

    fn remove(&mut self, key: u32) {
        self.small.retain(|item| item.key != key);
        self.main.retain(|item| item.key != key);
    }

    fn evict(&mut self) -> Option<u32> {
        loop {
            let is_spared = |item: &Item| Some(item.key) == self.newest;
            let small = self.small.iter().position(|item| !is_spared(item));
            let main = self.main.iter().position(|item| !is_spared(item));
            let weight = Self::weigh(&self.small);
            let is_due = weight > (weight + Self::weigh(&self.main)) / 10;
            match (small, main) {
                (None, None) => {
                    if let Some(last) = self.small.pop_front() {
                        return Some(self.haunt(last));
                    }
                    return self.main.pop_front().map(|last| last.key);
                }
                (Some(place), main) if is_due || main.is_none() => {
                    let mut item = self.small.remove(place)?;
                    if item.visits < 2 {
                        return Some(self.haunt(item));
                    }
                    item.visits = 0;
                    self.main.push_back(item);
                }
                (_, place) => {
                    let mut item = self.main.remove(place?)?;
                    if item.visits == 0 {
                        return Some(item.key);
                    }
                    item.visits -= 1;
                    self.main.push_back(item);
                }
            }
        }
    }

    fn order(&self) -> Vec<u32> {
        let items = self.small.iter().chain(&self.main);
        items.map(|item| item.key).collect()
    }
}

fn agree(kind: Kind, mut model: impl Model, steps: &[Step]) {
    let mut shard = Shard::new(kind);
    for &step in steps {
        match step {
            Step::Put(key, weight) => {
                shard.put(key, weight);
                model.put(key, weight);
            }
            Step::Hit(key) => {
                shard.hit(key);
                model.hit(key);
            }
            Step::Remove(key) => {
                shard.remove(key);
                model.remove(key);
            }
            Step::Evict => assert_eq!(shard.evict(), model.evict()),
        }
        assert_eq!(shard.order(), model.order(), "{step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fifo_is_the_textbooks(steps in steps(40, 1..2)) {
        agree(Kind::Fifo, Queue::default(), &steps);
    }

    #[test]
    fn lru_is_the_textbooks(steps in steps(40, 1..2)) {
        let model = Queue { by_use: true, ..Queue::default() };
        agree(Kind::Lru, model, &steps);
    }

    /// Up to 16 entries the ghosts, too, are one exact queue.
    #[test]
    fn s3_fifo_is_the_textbooks(steps in steps(16, 0..50)) {
        agree(Kind::S3Fifo, S3::default(), &steps);
    }

    /// Whatever the order of calls, all that was put in and not removed leaves, once.
    #[test]
    fn nothing_is_lost_or_evicted_twice(
        steps in steps(100, 0..u32::MAX),
        kind in prop::sample::select(&KINDS),
    ) {
        let mut shard = Shard::new(kind);
        for step in steps {
            match step {
                Step::Put(key, weight) => shard.put(key, weight),
                Step::Hit(key) => shard.hit(key),
                Step::Remove(key) => shard.remove(key),
                Step::Evict => {
                    let held = shard.ids.len();
                    prop_assert_eq!(shard.evict().is_some(), held > 0);
                }
            }
            let mut order = shard.order();
            order.sort_unstable();
            let mut held: Vec<u32> = shard.ids.keys().copied().collect();
            held.sort_unstable();
            prop_assert_eq!(order, held);
        }
        while !shard.ids.is_empty() {
            prop_assert!(shard.evict().is_some());
        }
        prop_assert_eq!(shard.evict(), None);
    }

    /// Hits may be told late: of entries that have left, or never were.
    #[test]
    fn calls_about_absent_entries_do_nothing(
        ids in prop::collection::vec(any::<u32>(), 0..50),
        kind in prop::sample::select(&KINDS),
    ) {
        let mut shard = Shard::new(kind);
        for key in 0..20 {
            shard.put(key, 1);
        }
        let before = shard.order();
        for id in ids.into_iter().filter(|&id| id >= 20) {
            shard.policy.access(id, &shard.entries);
            shard.policy.remove(id, 1);
        }
        prop_assert_eq!(shard.order(), before);
    }

    /// What was just put is not at once the victim while there are others.
    #[test]
    fn the_newest_stays(
        steps in steps(100, 1..50),
        kind in prop::sample::select(&KINDS),
    ) {
        let mut shard = Shard::new(kind);
        for step in steps {
            match step {
                Step::Put(key, weight) => {
                    shard.put(key, weight);
                    for _ in 1..shard.ids.len().min(3) {
                        prop_assert_ne!(shard.evict(), Some(key));
                    }
                }
                Step::Hit(key) => shard.hit(key),
                Step::Remove(key) => shard.remove(key),
                Step::Evict => {}
            }
        }
    }
}

/// Keys of a hot set that are still in after a scan of ten times the capacity.
fn left_after_scan(kind: Kind) -> usize {
    const CAPACITY: usize = 1_000;
    const HOT: u32 = 500;
    let mut shard = Shard::new(kind);
    for _ in 0..10 {
        for key in 0..HOT {
            shard.put(key, 1);
        }
    }
    for key in HOT..HOT + 10 * CAPACITY as u32 {
        shard.put(key, 1);
        if shard.ids.len() > CAPACITY {
            shard.evict();
        }
        if key % 4 == 0 {
            shard.hit(key / 4 % HOT);
        }
    }
    (0..HOT).filter(|key| shard.ids.contains_key(key)).count()
}

#[test]
fn a_scan_does_not_sweep_a_hot_set_away() {
    assert!(left_after_scan(Kind::S3Fifo) >= 490);
    assert!(left_after_scan(Kind::Lfu) >= 450);
    assert!(left_after_scan(Kind::Fifo) < 50);
}

/// When every entry has been hit, an eviction still looks at few.
#[test]
fn an_eviction_looks_at_a_bounded_number_of_entries() {
    for kind in KINDS {
        let mut shard = Shard::new(kind);
        for key in 0..50_000 {
            shard.put(key, 1);
            for _ in 0..3 {
                shard.hit(key);
            }
        }
        for _ in 0..1_000 {
            shard.entries.asked.set(0);
            assert!(shard.evict().is_some());
            assert!(shard.entries.asked.get() <= 128, "{kind:?}");
        }
    }
}

/// Bytes of a policy's own for each entry of a full shard that has seen ten times as many keys.
#[test]
fn memory_for_each_entry() {
    const ENTRIES: usize = 4_096;
    for (kind, most) in [
        (Kind::Fifo, 10),
        (Kind::Random, 10),
        (Kind::S3Fifo, 10 + 4),
        (Kind::Lfu, 10 + 8),
        (Kind::Lru, 32 + 34),
    ] {
        let mut shard = Shard::new(kind);
        for key in 0..10 * ENTRIES as u32 {
            if shard.ids.len() == ENTRIES {
                shard.evict();
            }
            shard.put(key, 1);
        }
        let each = shard.policy.memory() as f64 / ENTRIES as f64;
        println!("{kind:?}: {each:.1} bytes for each entry");
        assert!(each <= f64::from(most), "{kind:?}: {each}");
    }
}
