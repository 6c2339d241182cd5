//! What a handle leads to: the cache, its defaults, and the terms that it was created with.

use super::clock;
use super::events::{self, Hub, Reason};
use super::fetch::CacheFlights;
use super::forms::{build_value, Built, Form, DECODED};
use super::held::{Copied, Held, Queue};
use crate::atoms;
use crate::owned::Owned;
use cache_core::stats::{Counter, Windows};
use cache_core::threads::Pin;
use cache_core::{Cache, Cause, Cursor, Entry, Host, NEVER};
use crossbeam_queue::SegQueue;
use parking_lot::Mutex;
use rustler::sys::*;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// The values of caches: see [`Form`].
pub struct Terms;

/// The value is the number of a row of the cache's table.
pub const STORED: u8 = 4;
/// Beside a form: the word is a [`Queue`].
pub const SHARED: u8 = 0x80;

impl Host for Terms {
    unsafe fn outside(form: u8, word: u64) -> usize {
        // SAFETY: the caller's promise.
        match unsafe { &*held(form, word) } {
            Held::Shared(queue) => queue.bytes().len(),
            Held::Copied(copied) => copied.size(),
            Held::Word(_) | Held::Bytes => 0,
        }
    }

    unsafe fn release(form: u8, word: u64) {
        if form & SHARED != 0 {
            // SAFETY: such a word was made by `Queue::into_word`, and this is the only release.
            drop(unsafe { Queue::from_word(word) });
        } else if form == Form::Copied as u8 {
            // SAFETY: such a word was made by `Copied::into_word`, and this is the only release.
            drop(unsafe { Copied::from_word(word) });
        }
    }
}

/// What entries get unless their put says otherwise; 0 for no time.
pub struct Defaults {
    pub ttl: u64,
    pub idle: u64,
    /// Percent by which a time to live is shortened at most.
    pub jitter: u64,
    pub stale_for: u64,
    pub stale_if_error: u64,
    pub refresh_before: u64,
}

/// Entries of one shard that the keeper removes under one lock.
const STEP: usize = 64;
/// Its steps under one pin.
const STEPS: usize = 200;

/// Locks of the flights: each is held for less than a microsecond, at misses alone.
const FLIGHT_PARTS: usize = 32;

pub struct Core {
    pub cache: Cache<Terms>,
    pub defaults: Defaults,
    /// The options as they were given.
    pub options: Owned,
    /// The table of `store => ets`.
    pub table: Option<Arc<Owned>>,
    pub weigher: Option<Owned>,
    heir: Option<(ErlNifPid, Owned)>,
    /// Rows of the table whose entries are gone; those that someone has taken and still reads.
    pub dead_rows: SegQueue<u64>,
    pub taken_rows: SegQueue<u64>,
    pub windows: Mutex<Windows>,
    /// Of the values that are being computed; those who run them hold it too.
    pub flights: Arc<CacheFlights>,
    pub hub: Hub,
    /// The clock of the tags when their entries were last swept up.
    swept: AtomicU64,
}

impl Core {
    pub fn new(
        cache: Cache<Terms>,
        defaults: Defaults,
        options: Owned,
        table: Option<Owned>,
        weigher: Option<Owned>,
        heir: Option<(ErlNifPid, Owned)>,
    ) -> Self {
        let swept = AtomicU64::new(cache.tags().clock());
        Core {
            cache,
            defaults,
            options,
            table: table.map(Arc::new),
            weigher,
            heir,
            dead_rows: SegQueue::new(),
            taken_rows: SegQueue::new(),
            windows: Mutex::new(Windows::new(clock::now())),
            flights: Arc::new(CacheFlights::new(FLIGHT_PARTS)),
            hub: Hub::default(),
            swept,
        }
    }

    /// The value of an entry as NIFs answer it: `{ok, Value}`, or what the door makes it of.
    ///
    /// # Safety
    /// `env` must be the calling environment.
    #[inline(always)]
    pub unsafe fn answer(&self, env: *mut ErlNifEnv, entry: &Entry<Terms>) -> ErlNifTerm {
        if entry.form() == STORED {
            return self.stored(env, entry.word());
        }
        // SAFETY: the caller's promise; the entry's parts belong together.
        unsafe {
            let (tag, value) = match built(env, entry) {
                Built::Term(value) => (atoms::ok(), value),
                Built::External(binary) => (atoms::external(), binary),
            };
            if entry.form() == Form::Copied as u8 || entry.form() == Form::External as u8 | SHARED {
                charge(env, decoded_bytes(entry));
            }
            enif_make_tuple_from_array(env, [tag.as_c_arg(), value].as_ptr(), 2)
        }
    }

    #[cold]
    fn stored(&self, env: *mut ErlNifEnv, row: u64) -> ErlNifTerm {
        let table = self
            .table
            .as_ref()
            .expect("entries are stored where there is a table");
        // SAFETY: the calling environment.
        unsafe {
            let parts = [
                atoms::stored().as_c_arg(),
                table.copy(env),
                enif_make_uint64(env, row),
            ];
            enif_make_tuple_from_array(env, parts.as_ptr(), 3)
        }
    }

    /// Told of every entry that leaves, under its shard's lock.
    pub fn removed(&self, entry: &Entry<Terms>, cause: Cause) {
        events::publish(&self.hub, entry, cause);
        self.drop_row(entry);
    }

    /// As [`Core::removed`], where more is known than the cause.
    pub fn removed_by(&self, entry: &Entry<Terms>, reason: Reason) {
        events::publish_reason(&self.hub, entry, reason);
        self.drop_row(entry);
    }

    fn drop_row(&self, entry: &Entry<Terms>) {
        if entry.form() == STORED {
            self.dead_rows.push(entry.word());
        }
    }

    /// As [`Core::removed`], where the value was the answer.
    pub fn taken(&self, entry: &Entry<Terms>) {
        events::publish_reason(&self.hub, entry, Reason::Take);
        if entry.form() == STORED {
            self.taken_rows.push(entry.word());
        }
    }

    pub fn heir(&self) -> Option<ErlNifPid> {
        self.heir.as_ref().map(|(pid, _)| *pid)
    }

    /// Tells the heir that it owns the cache; whether it lives.
    ///
    /// # Safety
    /// `env` must be the calling environment, of a callback.
    pub unsafe fn tell_heir(
        &self,
        env: *mut ErlNifEnv,
        cache: ErlNifTerm,
        heir: &ErlNifPid,
        died: ErlNifTerm,
    ) -> bool {
        let Some((_, data)) = &self.heir else {
            return false;
        };
        // SAFETY: the caller's promise.
        unsafe {
            let news = [atoms::transfer().as_c_arg(), died, data.copy(env)];
            let news = enif_make_tuple_from_array(env, news.as_ptr(), 3);
            let message = [atoms::erlmcp_native_cache().as_c_arg(), cache, news];
            let message = enif_make_tuple_from_array(env, message.as_ptr(), 3);
            enif_send(env, heir, std::ptr::null_mut(), message) != 0
        }
    }

    /// The keeper's round but for [`Core::sweep`]; whether there is more to do.
    pub fn maintain(&self, now: u64, pin: &Pin) -> bool {
        self.flights.sweep();
        self.cache.apply_all_reads(pin);
        let on_removed = &mut |entry: &Entry<Terms>, cause| self.removed(entry, cause);
        let mut steps = 0;
        for shard in 0..self.cache.shards() {
            while self.cache.expire(shard, now, STEP, pin, on_removed) == Ok(true) {
                steps += 1;
                if steps == STEPS {
                    return true;
                }
            }
        }
        let (hits, misses) = (
            self.cache.counted(Counter::Hits),
            self.cache.counted(Counter::Misses),
        );
        self.windows.lock().roll(now, hits, misses);
        false
    }

    /// Where [`Core::sweep`] is to begin, if something was invalidated since it began last.
    pub fn sweep_from(&self) -> Option<Cursor> {
        let clock = self.cache.tags().clock();
        (self.swept.swap(clock, Ordering::Relaxed) != clock).then(Cursor::default)
    }

    /// Removes what was invalidated from a place on; where to go on.
    pub fn sweep(&self, from: Cursor, now: u64, pin: &Pin) -> Option<Cursor> {
        let on_removed = &mut |entry: &Entry<Terms>, cause| self.removed(entry, cause);
        let mut at = Some(from);
        for _ in 0..STEPS {
            let step = self.cache.sweep(at?, STEP, now, pin, on_removed, |_| None);
            at = step.unwrap_or(None);
        }
        at
    }
}

/// The value of an entry that is not [`STORED`].
///
/// # Safety
/// `env` must be the calling environment.
#[inline(always)]
pub unsafe fn built(env: *mut ErlNifEnv, entry: &Entry<Terms>) -> Built {
    let form = entry.form();
    // SAFETY: the entry's parts belong together; what it refers to stays its own.
    unsafe {
        let held = held(form, entry.word());
        build_value(
            env,
            Form::from_number(form & !SHARED),
            &held,
            entry.value_bytes(),
        )
    }
}

/// What an entry holds, lent.
///
/// # Safety
/// The word must be of a value of this form that outlives the use of what is lent.
#[inline(always)]
pub unsafe fn held(form: u8, word: u64) -> ManuallyDrop<Held> {
    ManuallyDrop::new(if form & SHARED != 0 {
        // SAFETY: the caller's promise.
        Held::Shared(unsafe { Queue::from_word(word) })
    } else if form == Form::Copied as u8 {
        // SAFETY: the caller's promise.
        Held::Copied(unsafe { Copied::from_word(word) })
    } else if form == Form::Word as u8 {
        Held::Word(crate::boundary::immediate(word))
    } else {
        Held::Bytes
    })
}

/// Counts towards the process's turn what is decoded or copied.
///
/// # Safety
/// `env` must be the calling environment.
#[inline(never)]
pub unsafe fn charge(env: *mut ErlNifEnv, decoded_bytes: usize) {
    /// Bytes in a hundredth of a turn, which is 10 us.
    const BYTES: usize = 8 * 1024;
    let hundredths = (decoded_bytes / BYTES).min(100) as i32;
    if hundredths > 0 {
        // SAFETY: the caller's promise.
        unsafe { enif_consume_timeslice(env, hundredths) };
    }
}

/// Bytes that [`Core::answer`] decodes or copies of an entry's value.
pub fn decoded_bytes(entry: &Entry<Terms>) -> usize {
    // SAFETY: the entry's parts belong together.
    match unsafe { &*held(entry.form(), entry.word()) } {
        // About what it costs, were it decoded.
        Held::Copied(copied) => copied.size() / 4,
        Held::Shared(queue) if entry.form() & !SHARED == Form::External as u8 => {
            queue.bytes().len().min(DECODED)
        }
        _ => entry.value_bytes().len(),
    }
}

/// The end of a time to live that begins now; `jitter` percent of it at most are taken off, by
/// chance.
pub fn expires(now: u64, ttl: u64, jitter: u64, chance: u64) -> u64 {
    if ttl == 0 {
        return NEVER;
    }
    let spread = ttl.saturating_mul(jitter) / 100;
    // The upper half of a product spreads evenly over what it is multiplied with.
    let off = ((u128::from(chance) * (u128::from(spread) + 1)) >> 64) as u64;
    now.saturating_add(ttl - off)
}
