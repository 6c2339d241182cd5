//! Who computes what: of all that miss a key one runs, the others wait for it.
//!
//! A flight is found by its key while its result is wanted, and by its number until it ends. What
//! overwrites or removes the key meanwhile takes the flight off its key, so that later callers
//! begin another, and marks it, so that its older result is not stored.
//!
//! The locks are only ever tried. [`Busy`] asks the caller to come again; [`Flights::abandon`],
//! which has nobody to come again, leaves a note to whoever takes the lock next.

use crate::sync::{
    spin_loop, Arc, AtomicBool, AtomicPtr, AtomicUsize, Busy, Mutex, MutexGuard, Ordering, TRIES,
};
use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use std::ptr;

/// Whether something newer than what a flight computes has come meanwhile.
#[derive(Debug)]
pub struct Mark(AtomicBool);

impl Mark {
    /// To be asked under the lock that orders the changes of the key. Whoever changes it has
    /// marked the flights before, so either this is seen or that change comes later.
    pub fn is_superseded(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What the one who runs a flight holds.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Never 0, below 2^58.
    pub id: u64,
    pub mark: Arc<Mark>,
}

#[derive(Debug)]
pub enum Begin<R> {
    Run(Ticket),
    Wait { runner: R, id: u64 },
}

/// `R` names a process that runs, `W` holds those that wait.
pub struct Flights<R, W> {
    parts: Box<[CachePadded<Part<R, W>>]>,
}

struct Part<R, W> {
    /// How many flights have a key: a change of a key looks no further while there are none.
    wanted: AtomicUsize,
    abandoned: Notes,
    table: Mutex<Table<R, W>>,
}

struct Table<R, W> {
    begun: u64,
    by_id: HashTable<Flight<R, W>>,
    /// Hash of the key and number of the flight.
    by_key: HashTable<(u64, u64)>,
}

struct Flight<R, W> {
    id: u64,
    hash: u64,
    key: Box<[u8]>,
    runner: R,
    waiters: W,
    mark: Arc<Mark>,
}

/// The lower bits of a flight's number are its part.
const PART_BITS: u32 = 6;

impl<R: Clone, W: Default> Flights<R, W> {
    /// `parts` is rounded up to a power of two of at most 64.
    pub fn new(parts: usize) -> Self {
        let parts = parts.next_power_of_two().min(1 << PART_BITS);
        let parts = (0..parts).map(|_| CachePadded::new(Part::new())).collect();
        Flights { parts }
    }

    /// Begins the flight of a key, whose bytes `key` makes, unless there is one; `same` knows them.
    /// `after` is the flight whose runner the caller saw die: the first who says so takes its
    /// place, if `is_dead` agrees.
    pub fn begin(
        &self,
        hash: u64,
        key: impl FnOnce() -> Box<[u8]>,
        same: impl Fn(&[u8]) -> bool,
        runner: R,
        after: Option<u64>,
        is_dead: impl FnOnce(&R) -> bool,
    ) -> Result<Begin<R>, Busy> {
        let at = (hash as usize) & (self.parts.len() - 1);
        let part = &self.parts[at];
        let mut table = part.lock()?;
        let mut left = None;
        if let Some(flight) = table.of_key(hash, same) {
            if after != Some(flight.id) || !is_dead(&flight.runner) {
                return Ok(Begin::Wait {
                    runner: flight.runner.clone(),
                    id: flight.id,
                });
            }
            // Whoever holds its ticket may yet come to put a result, and no change of the key
            // finds this flight from here on.
            flight.mark.0.store(true, Ordering::Release);
            let id = flight.id;
            left = table.remove(id);
        }
        let ticket = table.insert(at as u64, hash, key(), runner);
        part.publish(&table);
        drop(table);
        drop(left);
        Ok(Begin::Run(ticket))
    }

    /// Lets someone in who waits, unless the flight has ended or its result is of no use to those
    /// who come now; then the answer is `None`.
    pub fn join<T>(&self, id: u64, enter: impl FnOnce(&mut W) -> T) -> Result<Option<T>, Busy> {
        let mut table = self.part(id).lock()?;
        Ok(table
            .of_id(id)
            .filter(|flight| !flight.mark.is_superseded())
            .map(|flight| enter(&mut flight.waiters)))
    }

    /// Lets someone out who waits no longer. `None`: the flight has ended.
    pub fn leave<T>(&self, id: u64, leave: impl FnOnce(&mut W) -> T) -> Result<Option<T>, Busy> {
        let mut table = self.part(id).lock()?;
        Ok(table.of_id(id).map(|flight| leave(&mut flight.waiters)))
    }

    /// Whether the flight is still there; it has a new runner then.
    pub fn adopt(&self, id: u64, runner: R) -> Result<bool, Busy> {
        let mut table = self.part(id).lock()?;
        let flight = table.of_id(id);
        Ok(flight.map(|flight| flight.runner = runner).is_some())
    }

    /// Ends a flight for which nobody waits, whether it did: its runner has found the value.
    pub fn cancel(&self, id: u64, is_empty: impl FnOnce(&W) -> bool) -> Result<bool, Busy> {
        let part = self.part(id);
        let mut table = part.lock()?;
        let is_idle = (table.of_id(id)).is_none_or(|flight| is_empty(&flight.waiters));
        if is_idle {
            let ended = table.remove(id);
            part.publish(&table);
            drop(table);
            drop(ended);
        }
        Ok(is_idle)
    }

    /// Ends a flight and gives those who wait for it. `None`: another has taken its place.
    pub fn end(&self, id: u64) -> Result<Option<W>, Busy> {
        let part = self.part(id);
        let mut table = part.lock()?;
        let ended = table.remove(id);
        part.publish(&table);
        drop(table);
        Ok(ended.map(|flight| flight.waiters))
    }

    /// Removes a flight whose runner is gone, now or as soon as somebody can.
    pub fn abandon(&self, id: u64) {
        let part = self.part(id);
        part.abandoned.push(id);
        // Whoever held the lock may have looked at the notes before: nothing is left behind
        // unless somebody holds it still.
        drop(part.lock());
    }

    /// To be called before a change of the key takes the lock that orders such changes.
    pub fn supersede(&self, hash: u64, same: impl Fn(&[u8]) -> bool) -> Result<(), Busy> {
        let part = &self.parts[(hash as usize) & (self.parts.len() - 1)];
        // Relaxed: a flight that this change must supersede has begun before something that the
        // caller has seen.
        if part.wanted.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let mut table = part.lock()?;
        if let Some(flight) = table.of_key(hash, same) {
            flight.mark.0.store(true, Ordering::Release);
            let id = flight.id;
            table.detach(hash, id);
            part.publish(&table);
        }
        Ok(())
    }

    /// As [`Self::supersede`], for a change of all keys that `is` accepts. After `Busy` it is to
    /// be repeated whole.
    pub fn supersede_all(&self, is: impl Fn(&[u8]) -> bool) -> Result<(), Busy> {
        (0..self.parts.len()).try_for_each(|part| self.supersede_part(part, &is).map(drop))
    }

    /// A step of [`Self::supersede_all`]; the number of flights that it looked at.
    pub fn supersede_part(&self, part: usize, is: impl Fn(&[u8]) -> bool) -> Result<usize, Busy> {
        let part = &self.parts[part];
        if part.wanted.load(Ordering::Relaxed) == 0 {
            return Ok(0);
        }
        let mut table = part.lock()?;
        let Table { by_id, by_key, .. } = &mut *table;
        let count = by_key.len();
        by_key.retain(|(_, id)| {
            let flight = by_id.find(spread(*id), |flight| flight.id == *id);
            let flight = flight.filter(|flight| is(&flight.key));
            if let Some(flight) = flight {
                flight.mark.0.store(true, Ordering::Release);
            }
            flight.is_none()
        });
        part.publish(&table);
        Ok(count)
    }

    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Removes what was abandoned and what nobody has come across since.
    pub fn sweep(&self) {
        for part in &self.parts {
            if !part.abandoned.is_empty() {
                drop(part.lock());
            }
        }
    }

    /// Flights that have not ended.
    pub fn len(&self) -> Result<usize, Busy> {
        let mut sum = 0;
        for part in &self.parts {
            sum += part.lock()?.by_id.len();
        }
        Ok(sum)
    }

    pub fn is_empty(&self) -> Result<bool, Busy> {
        Ok(self.len()? == 0)
    }

    fn part(&self, id: u64) -> &Part<R, W> {
        &self.parts[(id as usize) & (self.parts.len() - 1)]
    }
}

impl<R, W> Part<R, W> {
    fn new() -> Self {
        Part {
            wanted: AtomicUsize::new(0),
            abandoned: Notes::new(),
            table: Mutex::new(Table {
                begun: 0,
                by_id: HashTable::new(),
                by_key: HashTable::new(),
            }),
        }
    }

    /// The lock, with nothing in the table that was abandoned before it was taken.
    fn lock(&self) -> Result<MutexGuard<'_, Table<R, W>>, Busy> {
        for _ in 0..TRIES {
            if let Some(mut table) = self.table.try_lock() {
                if !self.abandoned.is_empty() {
                    self.abandoned.take(|id| drop(table.remove(id)));
                    self.publish(&table);
                }
                return Ok(table);
            }
            spin_loop();
        }
        Err(Busy)
    }

    fn publish(&self, table: &Table<R, W>) {
        self.wanted.store(table.by_key.len(), Ordering::Relaxed);
    }
}

impl<R, W> Table<R, W> {
    fn of_id(&mut self, id: u64) -> Option<&mut Flight<R, W>> {
        self.by_id.find_mut(spread(id), |flight| flight.id == id)
    }

    fn of_key(&mut self, hash: u64, same: impl Fn(&[u8]) -> bool) -> Option<&mut Flight<R, W>> {
        let Table { by_id, by_key, .. } = self;
        let flight = |id| by_id.find(spread(id), |flight: &Flight<R, W>| flight.id == id);
        let (_, id) = *by_key.find(hash, |&(other, id)| {
            other == hash && flight(id).is_some_and(|flight| same(&flight.key))
        })?;
        self.of_id(id)
    }

    fn insert(&mut self, part: u64, hash: u64, key: Box<[u8]>, runner: R) -> Ticket
    where
        W: Default,
    {
        self.begun += 1;
        let id = (self.begun << PART_BITS | part) & ((1 << 58) - 1);
        let mark = Arc::new(Mark(AtomicBool::new(false)));
        let flight = Flight {
            id,
            hash,
            key,
            runner,
            waiters: W::default(),
            mark: Arc::clone(&mark),
        };
        self.by_id
            .insert_unique(spread(id), flight, |flight| spread(flight.id));
        self.by_key
            .insert_unique(hash, (hash, id), |&(hash, _)| hash);
        Ticket { id, mark }
    }

    fn remove(&mut self, id: u64) -> Option<Flight<R, W>> {
        let found = self
            .by_id
            .find_entry(spread(id), |flight| flight.id == id)
            .ok()?;
        let (flight, _) = found.remove();
        self.detach(flight.hash, id);
        Some(flight)
    }

    /// Of no effect for a flight that was superseded.
    fn detach(&mut self, hash: u64, id: u64) {
        if let Ok(found) = self.by_key.find_entry(hash, |&(_, other)| other == id) {
            found.remove();
        }
    }
}

/// Numbers as hashes: the table takes its tags from the upper bits.
fn spread(id: u64) -> u64 {
    id.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Numbers for whoever takes the lock next: pushed one by one, taken all at once.
struct Notes(AtomicPtr<Note>);

struct Note {
    id: u64,
    next: *mut Note,
}

impl Notes {
    fn new() -> Self {
        Notes(AtomicPtr::new(ptr::null_mut()))
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    fn push(&self, id: u64) {
        let next = self.0.load(Ordering::Relaxed);
        let note = Box::into_raw(Box::new(Note { id, next }));
        let mut seen = next;
        while let Err(other) =
            self.0
                .compare_exchange_weak(seen, note, Ordering::Release, Ordering::Relaxed)
        {
            seen = other;
            // SAFETY: not published yet.
            unsafe { (*note).next = seen };
        }
    }

    fn take(&self, mut each: impl FnMut(u64)) {
        let mut next = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        while !next.is_null() {
            // SAFETY: pushed from a box by `push`, and the swap gave the list to this call alone.
            let note = unsafe { Box::from_raw(next) };
            next = note.next;
            each(note.id);
        }
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.take(|_| ());
    }
}
