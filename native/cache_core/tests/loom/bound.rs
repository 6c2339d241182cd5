//! The bound that all shards share: it holds whenever nobody writes, is exceeded by no more than
//! what is being written, and the counter says what there is.

use crate::explore;
use crate::load::Load;
use loom::sync::{Arc, Mutex};

struct Cache {
    load: Load,
    /// The weights of the entries of each shard.
    shards: [Mutex<Vec<u32>>; 2],
}

/// Nobody writes more at once.
const WRITERS: u64 = 2;
const LARGEST: u64 = 2;

impl Cache {
    fn new(capacity: u64, entries: [&[u32]; 2]) -> Self {
        let load = Load::new(capacity);
        for weight in entries.into_iter().flatten() {
            assert!(load.settle(u64::from(*weight), 0));
        }
        Cache {
            load,
            shards: entries.map(|entries| Mutex::new(entries.to_vec())),
        }
    }

    /// As `Cache::write` of the library: room is made in the writer's shard, and elsewhere if
    /// others have taken it meanwhile.
    fn put(&self, shard: usize, weight: u32) {
        let mut entries = self.shards[shard].lock().unwrap();
        entries.push(weight);
        let added = u64::from(weight);
        let freed = self.load.make_room(added, 0, 64, || {
            (entries.len() > 1).then(|| entries.remove(0))
        });
        let is_within = self.load.settle(added, freed);
        drop(entries);
        assert!(self.load.used() <= self.load.capacity() + WRITERS * LARGEST);
        if !is_within {
            self.shrink();
        }
    }

    fn shrink(&self) {
        for shard in &self.shards {
            let mut entries = shard.lock().unwrap();
            while !self.load.is_within() && !entries.is_empty() {
                let weight = entries.remove(0);
                self.load.settle(0, u64::from(weight));
            }
        }
    }

    fn replace(&self, shard: usize, weight: u32) {
        let mut entries = self.shards[shard].lock().unwrap();
        let old = entries.pop();
        entries.push(weight);
        let old = old.map_or(0, u64::from);
        let is_within = self.load.settle(u64::from(weight), old);
        drop(entries);
        if !is_within {
            self.shrink();
        }
    }

    fn check(&self) {
        let weight = |shard: &Mutex<Vec<u32>>| shard.lock().unwrap().iter().sum::<u32>();
        let sum: u32 = self.shards.iter().map(weight).sum();
        assert_eq!(self.load.used(), u64::from(sum));
        assert!(self.load.is_within());
    }
}

fn beside(
    capacity: u64,
    entries: [&'static [u32]; 2],
    one: impl Fn(&Cache) + Send + Sync + Copy + 'static,
    other: impl Fn(&Cache) + Send + Sync + Copy + 'static,
) {
    explore(4, move || {
        let cache = Arc::new(Cache::new(capacity, entries));
        let thread = {
            let cache = Arc::clone(&cache);
            loom::thread::spawn(move || one(&cache))
        };
        other(&cache);
        thread.join().unwrap();
        cache.check();
    });
}

#[test]
fn two_put_what_only_one_has_room_for() {
    beside(
        1,
        [&[], &[]],
        |cache| cache.put(0, 1),
        |cache| cache.put(1, 1),
    );
    beside(
        3,
        [&[1], &[1]],
        |cache| cache.put(0, 1),
        |cache| cache.put(1, 2),
    );
}

#[test]
fn two_put_into_one_shard() {
    beside(
        2,
        [&[1], &[1]],
        |cache| cache.put(0, 2),
        |cache| cache.put(0, 1),
    );
}

#[test]
fn one_puts_while_another_replaces() {
    beside(
        3,
        [&[1], &[1]],
        |cache| cache.put(0, 1),
        |cache| cache.replace(1, 2),
    );
}

#[test]
fn one_puts_while_another_makes_it_smaller() {
    let resize = |cache: &Cache| {
        cache.load.set_capacity(1);
        cache.shrink();
    };
    beside(2, [&[1], &[]], |cache| cache.put(1, 1), resize);
}
