//! Saving: the job's thread walks the live cache and copies entries, a few under a lock at a
//! time; the pool makes portable records of them; the file is written on the job's thread.

use super::answer::Answer;
use super::job::{self, Job};
use crate::boundary::inspect_binary;
use crate::cache::clock;
use crate::cache::core::{held, Terms, SHARED, STORED};
use crate::cache::forms::portable::Room;
use crate::cache::forms::Form;
use crate::cache::handle::Kept;
use crate::cache::held::Held;
use crate::cache::options::{name_parts, Names};
use crate::owned::Owned;
use cache_core::snapshot::{write, Bytes, Head, Record, Records, Walk};
use cache_core::threads::pin;
use cache_core::{Entry, NEVER};
use rustler::sys::*;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A chunk of the file has so many bytes of keys and values, or entries, before they are encoded.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_ENTRIES: usize = 8192;
/// Or so many values that are rows of a table.
const CHUNK_ROWS: usize = 256;

/// Entries copied out of the cache.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Copied>,
    /// Rows of the cache's table that are values yet to come, with the entries' places.
    rows: Vec<(u64, usize)>,
}

/// Of ranges of its batch's bytes.
struct Copied {
    key_form: Form,
    key: Range<usize>,
    form: Form,
    value: Range<usize>,
    word: u64,
    visits: u8,
    weight: u32,
    ttl: Option<u64>,
    expires_in: Option<u64>,
    idle: Option<u64>,
    idles_in: Option<u64>,
    stale_for: Option<u64>,
    stale_if_error: Option<u64>,
    names: Vec<Range<usize>>,
}

impl Batch {
    fn add(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES
            || self.entries.len() >= CHUNK_ENTRIES
            || self.rows.len() >= CHUNK_ROWS
    }

    fn copy(&mut self, entry: &Entry<Terms>, now: u64) {
        if !entry.is_fresh(|| now) {
            return;
        }
        let mut form = match entry.form() {
            STORED => {
                self.rows.push((entry.word(), self.entries.len()));
                Form::External as u8
            }
            form => form,
        };
        // SAFETY: the entry outlives this function.
        let held = unsafe { held(form, entry.word()) };
        let value = match &*held {
            Held::Shared(queue) => self.add(queue.bytes()),
            // The term is the entry's: only its external form goes from here.
            Held::Copied(_) => {
                let mut external = Vec::new();
                let mut room = Room::new().expect("memory for an environment");
                // SAFETY: the entry's parts belong together.
                unsafe { room.export_value(Form::Copied, &held, b"", &mut external) };
                form = Form::External as u8;
                self.add(&external)
            }
            _ => self.add(entry.value_bytes()),
        };
        let set = |time: u64| (time != 0).then_some(time);
        let expires = entry.expires();
        let extra = entry.extra();
        let mut names = Vec::new();
        for tag in extra.into_iter().flat_map(|extra| &extra.tags) {
            names.push(self.add(tag.name()));
        }
        let copied = Copied {
            key_form: Form::from_number(entry.key_form()),
            key: self.add(entry.key_bytes()),
            form: Form::from_number(form & !SHARED),
            value,
            word: entry.word(),
            visits: entry.visits(),
            weight: entry.weight(),
            ttl: set(entry.ttl()),
            // It may have been touched since.
            expires_in: (expires != NEVER).then(|| expires.saturating_sub(now)),
            idle: extra.and_then(|extra| set(extra.idle)),
            idles_in: extra
                .filter(|extra| extra.idle != 0)
                .map(|extra| extra.idles_at().saturating_sub(now)),
            stale_for: extra.and_then(|extra| set(extra.stale_for)),
            stale_if_error: extra.and_then(|extra| set(extra.stale_if_error)),
            names,
        };
        self.entries.push(copied);
    }

    /// Fills in the values that are rows of a table: the caller, which can read it, sends them. An
    /// entry whose row has just gone is left out.
    fn fetch_rows(&mut self, job: &Job, table: Option<&Owned>) -> Option<()> {
        let Some(table) = table.filter(|_| !self.rows.is_empty()) else {
            return Some(());
        };
        let rows = std::mem::take(&mut self.rows);
        let numbers: Vec<u64> = rows.iter().map(|(row, _)| *row).collect();
        let mut found = job.ask(table, &numbers)?.into_iter();
        for (_, place) in &rows {
            if let Some(queue) = found.next().flatten() {
                self.entries[*place].value = self.add(queue.bytes());
            }
        }
        // Every external form has bytes.
        self.entries
            .retain(|entry| entry.form != Form::External || !entry.value.is_empty());
        Some(())
    }

    /// In the pool.
    fn encode(&self, out: &mut Records) {
        let mut room = Room::new().expect("memory for an environment");
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            key.clear();
            value.clear();
            let held = match entry.form {
                Form::Word => Held::Word(crate::boundary::immediate(entry.word)),
                _ => Held::Bytes,
            };
            let names: Vec<_> = entry
                .names
                .iter()
                .map(|name| self.name(&mut room, name.clone()))
                .collect();
            let of = |wanted: Names| {
                let those = names.iter().filter(move |(sort, _)| *sort == wanted as u8);
                those.map(|(_, bytes)| Bytes(bytes)).collect()
            };
            // SAFETY: forms and bytes are an entry's of this VM.
            unsafe {
                room.export_key(entry.key_form, &self.bytes[entry.key.clone()], &mut key);
                let bytes = &self.bytes[entry.value.clone()];
                room.export_value(entry.form, &held, bytes, &mut value);
            }
            out.push(&Record {
                key: Bytes(&key),
                value: Bytes(&value),
                form: 0,
                visits: entry.visits,
                weight: Some(entry.weight),
                ttl: entry.ttl,
                expires_in: entry.expires_in,
                idle: entry.idle,
                idles_in: entry.idles_in,
                stale_for: entry.stale_for,
                stale_if_error: entry.stale_if_error,
                tags: of(Names::Tags),
                depends_on: of(Names::Dependencies),
            });
        }
    }

    /// The sort of a name, and its portable form: whether it is a term's external form, then its
    /// own.
    fn name(&self, room: &mut Room, name: Range<usize>) -> (u8, Vec<u8>) {
        let (sort, is_external, form, bytes) =
            name_parts(&self.bytes[name]).expect("the name of a tag");
        let mut portable = vec![u8::from(is_external)];
        // SAFETY: form and bytes are a key's of this VM.
        unsafe { room.export_key(form, bytes, &mut portable) };
        (sort, portable)
    }
}

fn save(job: &Job, cache: &Kept, path: &Path) -> Answer {
    let now = clock::now();
    let started = {
        let pin = pin();
        job.core(cache, &pin)
            .and_then(|core| Some((Walk::new(&core.cache).ok()?, core.cache.entries())))
    };
    let Some((mut walk, entries)) = started else {
        return Answer::NoCache;
    };
    let head = Head {
        saved_at: wall_clock(),
        entries,
    };
    let next = || {
        let mut batch = Batch::default();
        loop {
            let pin = pin();
            let core = job.core(cache, &pin)?;
            let copy = |entry: &Entry<Terms>| {
                batch.copy(entry, now);
                !batch.is_full()
            };
            // A thread of ours waits for locks.
            let is_more = walk.step(&core.cache, copy).unwrap_or(false);
            if batch.is_full() || !is_more {
                let table = core.table.clone();
                // Nothing that was deferred is freed under a pin, and the caller may take its time.
                drop(pin);
                batch.fetch_rows(job, table.as_deref())?;
                return (is_more || !batch.entries.is_empty()).then_some(batch);
            }
        }
    };
    let encode = |batch: Batch, out: &mut Records| batch.encode(out);
    match write(path, &head, &job.control, next, encode) {
        Ok(written) => Answer::Saved(written),
        Err(error) => job.failure(error),
    }
}

/// Milliseconds since 1970.
pub fn wall_clock() -> u64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_millis() as u64)
}

/// # Safety
/// `env` must be the calling environment and the term its.
pub unsafe fn path(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<PathBuf> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { inspect_binary(env, term) }?;
    Some(PathBuf::from(OsStr::from_bytes(bytes)))
}

/// # Safety
/// `env` must be the calling environment and the term its.
pub unsafe fn threads(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<usize> {
    let mut threads = 0;
    // SAFETY: the caller's promise.
    let is_number = unsafe { enif_get_uint64(env, term, &mut threads) } != 0;
    (is_number && threads <= 64).then_some(threads as usize)
}

/// Arguments: cache, path, threads.
unsafe fn cache_save(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (Some(path), Some(threads)) = (path(env, args[1]), threads(env, args[2])) else {
            return enif_make_badarg(env);
        };
        job::begin(env, args[0], threads, move |job, cache| {
            save(job, cache, &path)
        })
    }
}
nif!("cache_save", 3, Normal, cache_save);
