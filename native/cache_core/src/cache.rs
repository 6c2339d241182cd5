//! The cache: its operations, its bound, and what it counts.

use crate::entry::{Cause, Entry, Extra, Host, Key, Parts, Value, OVERHEAD};
use crate::load::Load;
use crate::policy::Kind;
use crate::shard::{Locked, OnRemoved, Shard};
use crate::stats::{Counter, OwnPart, Parts as StatsParts};
use crate::sync::{AtomicU64, AtomicUsize, Busy, Ordering};
use crate::tags::Tags;
use crate::threads::Pin;
use crossbeam_utils::CachePadded;

/// What the capacity counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Entries,
    /// Key, value and [`OVERHEAD`].
    Bytes,
    /// What each entry says it weighs.
    Weight,
}

#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub policy: Kind,
    pub bound: Bound,
    pub capacity: u64,
    /// The most that one entry may weigh; 0 for an eighth of the capacity.
    pub max_entry: u64,
    /// The threads that use it, near enough.
    pub threads: usize,
}

/// Entries that a shard should hold: what looks at all of a shard must be short.
const SHARD_ENTRIES: u64 = 4096;
/// Bytes that an entry is taken to have when only bytes are bounded.
const TYPICAL_ENTRY: u64 = 256;
const MAX_SHARDS: u64 = 1 << 14;
/// Into so many parts names of tags are divided: whatever looks at all of one must be short, and
/// an entry may have many names.
const MIN_TAG_PARTS: u64 = 64;
const MAX_TAG_PARTS: u64 = 4096;
/// How much larger than at first a cache can become: a put that makes a shard's table larger takes
/// as much longer.
const MAX_GROWTH: u64 = 4;
/// Entries that one call evicts at most, before it lets the caller's scheduler go on.
const BATCH: usize = 64;
/// Shards that one call looks at to make room.
const SHARDS_TRIED: usize = 256;
/// Dead entries that a put buries on its way.
const BURIALS: usize = 2;
/// Reads that wait before the reader tries to tell the policy.
const READS: usize = 32;

/// What a hit leaves behind for the policy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trace {
    Nothing,
    /// A mark on the entry.
    Visit,
    /// A note in the thread's ring.
    Note,
}

pub struct Cache<H: Host> {
    shards: Box<[CachePadded<Shard<H>>]>,
    load: Load,
    /// The shard that is next to give room to another one.
    hand: AtomicUsize,
    parts: StatsParts,
    tags: Tags,
    trace: Trace,
    kind: Kind,
    bound: Bound,
    largest_capacity: u64,
    max_entry: AtomicU64,
}

/// A new value for a key.
pub struct Put<'a, H: Host> {
    pub value: Value<'a, H>,
    /// Counts where weights bound the cache.
    pub weight: u64,
    /// The time to live, 0 for none, and when it ends.
    pub ttl: u64,
    pub expires: u64,
    pub extra: Option<Box<Extra>>,
}

/// What is to become of a key.
pub enum Action<'a, H: Host> {
    Keep,
    Remove,
    Put(Put<'a, H>),
    /// The entry is used, and its time to live ends then.
    Touch(u64),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The entry's version.
    Stored(u64),
    /// It was stored, and the caller must [`Cache::shrink`] since it could not make all the room.
    Over(u64),
    /// An entry may not weigh so much; nothing has changed.
    TooLarge,
}

/// A place between entries, for walks that see each entry that is there all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub shard: u32,
    pub id: u32,
}

impl<H: Host> Cache<H> {
    pub fn new(config: Config, now: u64) -> Self {
        let entries = match config.bound {
            Bound::Entries => config.capacity,
            Bound::Bytes => config.capacity / TYPICAL_ENTRY,
            // Unknown, but more shards than needed cost little.
            Bound::Weight => config.capacity.min(256 * SHARD_ENTRIES),
        };
        let shards = (entries / SHARD_ENTRIES)
            .clamp(1, MAX_SHARDS)
            .next_power_of_two();
        let shard = |number| CachePadded::new(Shard::new(config.policy, now, number));
        Cache {
            shards: (0..shards).map(shard).collect(),
            load: Load::new(config.capacity),
            hand: AtomicUsize::new(0),
            parts: StatsParts::new(config.threads),
            tags: Tags::new((16 * shards).clamp(MIN_TAG_PARTS, MAX_TAG_PARTS) as usize),
            trace: match config.policy {
                Kind::Lru | Kind::Lfu => Trace::Note,
                Kind::S3Fifo => Trace::Visit,
                Kind::Fifo | Kind::Random => Trace::Nothing,
            },
            kind: config.policy,
            bound: config.bound,
            largest_capacity: config.capacity.saturating_mul(MAX_GROWTH),
            max_entry: AtomicU64::new(config.max_entry),
        }
    }

    #[inline]
    fn shard(&self, key: &Key) -> usize {
        (key.hash >> 32) as usize & (self.shards.len() - 1)
    }

    // --- Reading ---

    /// A fresh entry; the hit is noted for the policy, and counted.
    #[inline]
    pub fn get<'p>(&self, key: &Key, now: impl Fn() -> u64, pin: &'p Pin) -> Option<&'p Entry<H>> {
        let part = self.parts.own(pin);
        let found = self.peek(key, &now, pin);
        if let Some(entry) = found {
            part.count(Counter::Hits, 1);
            self.trace(key, entry, &now, part, pin);
        } else {
            part.count(Counter::Misses, 1);
        }
        found
    }

    /// A fresh entry; leaves no trace.
    #[inline]
    pub fn peek<'p>(&self, key: &Key, now: impl Fn() -> u64, pin: &'p Pin) -> Option<&'p Entry<H>> {
        self.peek_any(key, pin).filter(|entry| entry.is_fresh(now))
    }

    /// An entry, fresh, stale or dead; leaves no trace.
    #[inline]
    pub fn peek_any<'p>(&self, key: &Key, pin: &'p Pin) -> Option<&'p Entry<H>> {
        self.shards[self.shard(key)].get(key, pin)
    }

    #[inline]
    fn trace(&self, key: &Key, entry: &Entry<H>, now: impl Fn() -> u64, part: OwnPart, pin: &Pin) {
        entry.use_at(now);
        match self.trace {
            Trace::Nothing => {}
            Trace::Visit => entry.visit(),
            Trace::Note => self.note(key, entry, part, pin),
        }
    }

    #[inline]
    fn note(&self, key: &Key, entry: &Entry<H>, part: OwnPart, pin: &Pin) {
        let Some(reads) = part.reads() else {
            return;
        };
        let note = Note::new(self.shard(key), entry.id, self.turn(entry));
        match reads.push(note.0) {
            Some(waiting) if waiting < READS => {}
            Some(_) => self.apply_reads(pin),
            None => {
                self.apply_reads(pin);
                if reads.push(note.0).is_none() {
                    part.count(Counter::ForgottenReads, 1);
                }
            }
        }
    }

    /// Versions are unique in the cache: shards take turns.
    #[inline]
    fn turn(&self, entry: &Entry<H>) -> u64 {
        entry.version() >> self.shards.len().trailing_zeros()
    }

    /// Tells the policy of this thread's reads, as far as locks can be had.
    fn apply_reads(&self, pin: &Pin) {
        if let Some(reads) = self
            .parts
            .own(pin)
            .reads()
            .filter(|reads| !reads.is_empty())
        {
            self.apply(reads, pin);
        }
    }

    fn apply(&self, reads: &crate::reads::Reads, pin: &Pin) {
        let mut held: Option<(usize, Locked<H>)> = None;
        reads.drain(|note| {
            let note = Note(note);
            let shard = note.shard() & (self.shards.len() - 1);
            if held.as_ref().is_none_or(|(number, _)| *number != shard) {
                held = None;
                match self.shards[shard].lock(pin) {
                    Some(locked) => held = Some((shard, locked)),
                    None => return false,
                }
            }
            if let Some((_, locked)) = &mut held {
                let is_same = |entry: &Entry<H>| (self.turn(entry) ^ note.turn()) & Note::TURN == 0;
                locked.access(note.id(), is_same);
            }
            true
        });
    }

    /// Tells the policy of every thread's reads, as far as locks can be had.
    pub fn apply_all_reads(&self, pin: &Pin) {
        if self.trace == Trace::Note {
            for part in self.parts.iter() {
                self.apply(&part.reads, pin);
            }
        }
    }

    // --- Writing ---

    /// Decides under the key's lock what is to become of its entry. `decide` sees it if it is
    /// fresh, and is not called where the lock is busy.
    pub fn write<'v, R>(
        &self,
        key: &Key,
        now: u64,
        pin: &Pin,
        on_removed: OnRemoved<H>,
        decide: impl FnOnce(Option<&Entry<H>>) -> (Action<'v, H>, R),
    ) -> Result<(Outcome, R), Busy> {
        if self.trace == Trace::Note {
            // So that one process alone sees the exact policy.
            self.apply_reads(pin);
        }
        let number = self.shard(key);
        let mut shard = self.shards[number].lock(pin).ok_or(Busy)?;
        let part = self.parts.own(pin);
        let mut freed = 0;
        for _ in 0..BURIALS {
            match shard.expire(now, &mut self.counting(part, on_removed)) {
                Some(weight) => freed += u64::from(weight),
                None => break,
            }
        }
        let found = shard.find(key);
        // SAFETY: what the index holds is alive under the lock.
        let entry = found.as_ref().map(|found| unsafe { found.entry.as_ref() });
        let fresh = entry.filter(|entry| entry.is_fresh(|| now));
        let (action, answer) = decide(fresh);
        let outcome = match action {
            Action::Keep => {
                self.load.settle(0, freed);
                Outcome::Done
            }
            Action::Touch(at) => {
                self.load.settle(0, freed);
                if let (Some(found), Some(entry)) = (&found, entry) {
                    shard.set_expires(found, at);
                    // It may lock this shard to tell the policy.
                    drop(shard);
                    self.trace(key, entry, || now, part, pin);
                }
                Outcome::Done
            }
            Action::Remove => {
                if let (Some(found), Some(entry)) = (&found, entry) {
                    let cause = entry.end(now).unwrap_or(Cause::Explicit);
                    self.counting(part, on_removed)(entry, cause);
                    freed += u64::from(shard.remove(found));
                }
                self.load.settle(0, freed);
                Outcome::Done
            }
            Action::Put(put) => {
                let weight = self.weigh(key, &put);
                let Some(weight) = weight else {
                    part.count(Counter::Refusals, 1);
                    self.load.settle(0, freed);
                    return Ok((Outcome::TooLarge, answer));
                };
                match entry {
                    Some(old) => {
                        freed += u64::from(old.weight());
                        let cause = old.end(now).unwrap_or(Cause::Replaced);
                        self.counting(part, on_removed)(old, cause);
                        if cause != Cause::Replaced {
                            part.count(Counter::Inserts, 1);
                        }
                    }
                    None => part.count(Counter::Inserts, 1),
                }
                let version = shard.next_version(self.shards.len() as u64);
                let parts = Parts {
                    value: put.value,
                    weight,
                    version,
                    id: shard.number(found.as_ref()),
                    expires: put.expires,
                    ttl: put.ttl,
                    extra: put.extra,
                };
                shard.publish(key, found, parts);
                let added = u64::from(weight);
                let on_removed = &mut self.counting(part, on_removed);
                freed += self.make_room(&mut shard, added, freed, on_removed);
                if self.load.settle(added, freed) {
                    Outcome::Stored(version)
                } else {
                    drop(shard);
                    if self.evict_anywhere(Some(number), pin, on_removed) {
                        Outcome::Stored(version)
                    } else {
                        Outcome::Over(version)
                    }
                }
            }
        };
        Ok((outcome, answer))
    }

    /// Counts a removal before it passes it on.
    fn counting<'a>(
        &self,
        part: OwnPart<'a>,
        on_removed: OnRemoved<'a, H>,
    ) -> impl FnMut(&Entry<H>, Cause) + use<'a, H> {
        move |entry: &Entry<H>, cause| {
            let counter = match cause {
                Cause::Size => Counter::Evicted,
                Cause::Expired => Counter::Expired,
                Cause::Replaced => Counter::Replacements,
                Cause::Explicit => Counter::Deleted,
                Cause::Invalidated => Counter::Invalidated,
                Cause::Cleared => Counter::Cleared,
            };
            part.count(counter, 1);
            on_removed(entry, cause);
        }
    }

    /// None if one entry may not weigh so much.
    fn weigh(&self, key: &Key, put: &Put<H>) -> Option<u32> {
        let weight = match self.bound {
            Bound::Entries => 1,
            Bound::Weight => put.weight,
            Bound::Bytes => {
                let tags = put.extra.as_ref().map_or(0, |extra| {
                    size_of::<Extra>() + size_of_val::<[_]>(&extra.tags)
                });
                put.value
                    .bytes_held()
                    .saturating_add((key.bytes.len() + OVERHEAD + tags) as u64)
            }
        };
        let weight = u32::try_from(weight).ok()?;
        (u64::from(weight) <= self.max_entry()).then_some(weight)
    }

    pub fn max_entry(&self) -> u64 {
        let capacity = self.capacity();
        match self.max_entry.load(Ordering::Relaxed) {
            0 => (capacity / 8).max(1),
            most => most.min(capacity),
        }
    }

    /// Evicts from the writer's own shard what `added` needs beyond what is free; returns the
    /// weight. A shard that holds little is left alone: others have its share.
    fn make_room(
        &self,
        shard: &mut Locked<H>,
        added: u64,
        freed: u64,
        on_removed: OnRemoved<H>,
    ) -> u64 {
        let share = self.share();
        self.load.make_room(added, freed, BATCH, || {
            // One entry is the new one.
            if shard.len() <= 1 || shard.weight() < share - share / 8 {
                return None;
            }
            shard.evict(on_removed)
        })
    }

    /// What a shard holds when all hold the same.
    fn share(&self) -> u64 {
        self.capacity() >> self.shards.len().trailing_zeros()
    }

    /// Evicts until the bound holds, at most a batch, from shards whose locks can be had; whether
    /// the bound holds.
    pub fn shrink(&self, pin: &Pin, on_removed: OnRemoved<H>) -> bool {
        if self.trace == Trace::Note {
            self.apply_reads(pin);
        }
        let part = self.parts.own(pin);
        self.evict_anywhere(None, pin, &mut self.counting(part, on_removed))
    }

    /// From shards that hold more than their share, and from any if that was not enough; but not
    /// the last entry of the shard `spared`.
    fn evict_anywhere(&self, spared: Option<usize>, pin: &Pin, on_removed: OnRemoved<H>) -> bool {
        let from = self.hand.load(Ordering::Relaxed);
        let mut left = BATCH;
        for least in [self.share(), 0] {
            for step in 0..self.shards.len().min(SHARDS_TRIED) {
                let number = from.wrapping_add(step) & (self.shards.len() - 1);
                let Some(mut shard) = self.shards[number].lock(pin) else {
                    continue;
                };
                let spares = usize::from(spared == Some(number));
                loop {
                    if self.load.is_within() {
                        self.hand.store(number + 1, Ordering::Relaxed);
                        return true;
                    }
                    if left == 0 {
                        self.hand.store(number, Ordering::Relaxed);
                        return false;
                    }
                    // What weighs nothing goes when nothing else is left.
                    if shard.len() <= spares || shard.weight() <= least && least > 0 {
                        break;
                    }
                    let Some(weight) = shard.evict(on_removed) else {
                        break;
                    };
                    self.load.settle(0, u64::from(weight));
                    left -= 1;
                }
            }
        }
        let tried = from.wrapping_add(SHARDS_TRIED);
        self.hand.store(tried, Ordering::Relaxed);
        false
    }

    /// Removes dead entries of one shard that have come up, at most `most`; whether more may be
    /// due.
    pub fn expire(
        &self,
        shard: usize,
        now: u64,
        most: usize,
        pin: &Pin,
        on_removed: OnRemoved<H>,
    ) -> Result<bool, Busy> {
        let part = self.parts.own(pin);
        let mut locked = self.shards[shard].lock(pin).ok_or(Busy)?;
        for _ in 0..most {
            match locked.expire(now, &mut self.counting(part, on_removed)) {
                Some(weight) => {
                    self.load.settle(0, u64::from(weight));
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    // --- Walking ---

    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Shows entries from a place on until `most` were looked at, and says where to go on. Each
    /// entry that is there all the time is shown once.
    pub fn walk<'p>(
        &self,
        from: Cursor,
        most: usize,
        pin: &'p Pin,
        mut show: impl FnMut(&'p Entry<H>),
    ) -> Result<Option<Cursor>, Busy> {
        let mut at = from;
        let mut left = most;
        while (at.shard as usize) < self.shards.len() {
            let Some(shard) = self.shards[at.shard as usize].lock(pin) else {
                // What was shown is not shown again.
                return if at == from { Err(Busy) } else { Ok(Some(at)) };
            };
            while at.id < shard.end() {
                if left == 0 {
                    return Ok(Some(at));
                }
                left -= 1;
                if let Some(entry) = shard.get(at.id) {
                    // SAFETY: alive at this moment, so it outlives the pin.
                    show(unsafe { &*std::ptr::from_ref(entry) });
                }
                at.id += 1;
            }
            // Empty shards count too: there may be thousands.
            left = left.saturating_sub(1);
            at = Cursor {
                shard: at.shard + 1,
                id: 0,
            };
        }
        Ok(None)
    }

    /// The numbers of one shard's entries, the next to be evicted first.
    pub fn order(&self, shard: usize, pin: &Pin) -> Result<Vec<u32>, Busy> {
        Ok(self.shards[shard].lock(pin).ok_or(Busy)?.order())
    }

    /// Shows those entries of a shard that have these numbers now, until `show` says that it is
    /// enough; how many numbers were looked at. `show` may take its time: it holds no lock.
    pub fn show<'p>(
        &self,
        shard: usize,
        numbers: &[u32],
        pin: &'p Pin,
        mut show: impl FnMut(&'p Entry<H>) -> bool,
    ) -> Result<usize, Busy> {
        let mut entries = Vec::with_capacity(numbers.len());
        let locked = self.shards[shard].lock(pin).ok_or(Busy)?;
        for (at, number) in numbers.iter().enumerate() {
            if let Some(entry) = locked.get(*number) {
                // SAFETY: alive at this moment, so it outlives the pin.
                entries.push((at, unsafe { &*std::ptr::from_ref(entry) }));
            }
        }
        drop(locked);
        for (at, entry) in entries {
            if !show(entry) {
                return Ok(at + 1);
            }
        }
        Ok(numbers.len())
    }

    /// Removes the entries among those looked at, `most` from a place on (fewer where they have many
    /// tags or long keys), that `condemn` names a cause for (dead ones in any case), and says where to go on.
    pub fn sweep(
        &self,
        from: Cursor,
        most: usize,
        now: u64,
        pin: &Pin,
        on_removed: OnRemoved<H>,
        mut condemn: impl FnMut(&Entry<H>) -> Option<Cause>,
    ) -> Result<Option<Cursor>, Busy> {
        let part = self.parts.own(pin);
        let mut at = from;
        let mut left = most;
        while (at.shard as usize) < self.shards.len() {
            let Some(mut shard) = self.shards[at.shard as usize].lock(pin) else {
                return if at == from { Err(Busy) } else { Ok(Some(at)) };
            };
            while at.id < shard.end() {
                if left == 0 {
                    return Ok(Some(at));
                }
                left = left.saturating_sub(shard.get(at.id).map_or(1, Entry::effort));
                let weight = shard.bury(
                    at.id,
                    now,
                    &mut self.counting(part, on_removed),
                    &mut condemn,
                );
                self.load.settle(0, u64::from(weight));
                at.id += 1;
            }
            // Empty shards count too: there may be thousands.
            left = left.saturating_sub(1);
            at = Cursor {
                shard: at.shard + 1,
                id: 0,
            };
        }
        Ok(None)
    }

    // --- The bound and the counts ---

    pub fn capacity(&self) -> u64 {
        self.load.capacity()
    }

    /// The weight of what is held.
    pub fn used(&self) -> u64 {
        self.load.used()
    }

    pub fn policy(&self) -> Kind {
        self.kind
    }

    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// Sets another capacity; false if it is too large for the number of shards. A smaller one
    /// holds once [`Cache::shrink`] says so.
    pub fn resize(&self, capacity: u64) -> bool {
        let fits = capacity <= self.largest_capacity;
        if fits {
            self.load.set_capacity(capacity);
        }
        fits
    }

    /// Bytes of bookkeeping beside the entries, as far as locks can be had.
    pub fn memory(&self, pin: &Pin) -> usize {
        let memory = |shard: &CachePadded<Shard<H>>| {
            size_of::<Shard<H>>() + shard.lock(pin).map_or(0, |shard| shard.memory())
        };
        self.shards.iter().map(memory).sum()
    }

    pub fn largest_capacity(&self) -> u64 {
        self.largest_capacity
    }

    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    pub fn count(&self, counter: Counter, by: u64, pin: &Pin) {
        self.parts.own(pin).count(counter, by);
    }

    pub fn counted(&self, counter: Counter) -> u64 {
        self.parts.sum(counter)
    }

    /// Entries held, dead ones that were not yet found included.
    pub fn entries(&self) -> u64 {
        let gone = [
            Counter::Evicted,
            Counter::Expired,
            Counter::Deleted,
            Counter::Invalidated,
            Counter::Cleared,
        ];
        let gone: u64 = gone.iter().map(|counter| self.counted(*counter)).sum();
        self.counted(Counter::Inserts).saturating_sub(gone)
    }
}

/// A hit in 64 bits: the shard, the entry's number and the low bits of its turn, by which a later
/// entry of the same number is told.
#[derive(Clone, Copy)]
struct Note(u64);

impl Note {
    const TURN: u64 = (1 << 22) - 1;
    const ID: u64 = (1 << 28) - 1;

    #[inline]
    fn new(shard: usize, id: u32, turn: u64) -> Self {
        Note((shard as u64) << 50 | (u64::from(id) & Self::ID) << 22 | turn & Self::TURN)
    }

    fn shard(self) -> usize {
        (self.0 >> 50) as usize
    }

    fn id(self) -> u32 {
        ((self.0 >> 22) & Self::ID) as u32
    }

    fn turn(self) -> u64 {
        self.0
    }
}
