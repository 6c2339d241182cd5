//! Loading: the pool makes this node's forms of what a file holds, and the job's thread puts them
//! into the live cache, in the order of the file.

use super::answer::{Answer, Loaded};
use super::job::{self, Job};
use super::save::{path, threads, wall_clock};
use crate::atoms;
use crate::boundary::tuple;
use crate::cache::clock;
use crate::cache::core::{Core, Terms};
use crate::cache::forms::portable::{Import, Room};
use crate::cache::forms::{Atoms, Form, Key, INLINE};
use crate::cache::handle::Kept;
use crate::cache::held::Held;
use crate::cache::key::shown;
use crate::cache::options::{named, Names};
use crate::cache::put::value_of;
use cache_core::snapshot::{read, Chunk, Error, Head, Record};
use cache_core::threads::{pin, Pin};
use cache_core::{Action, Busy, Entry, Extra, Outcome, Put, MAX_KEY_BYTES, NEVER};
use rustler::sys::*;
use std::ops::Range;
use std::path::Path;

/// What an entry counts to.
const MOST_VISITS: u8 = 3;

#[derive(Clone, Copy)]
struct Options {
    overwrite: bool,
    atoms: Atoms,
}

/// A chunk's records in this node's forms.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Imported>,
    /// Values that are yet to be decoded, on a scheduler, with the entries' places.
    unchecked: Vec<usize>,
    expired: u64,
    undecodable: u64,
}

/// Of ranges of its batch's bytes; times count from the start of the load.
struct Imported {
    key_form: Form,
    key: Range<usize>,
    hash: u64,
    form: Form,
    value: Range<usize>,
    held: Held,
    visits: u8,
    weight: u64,
    ttl: u64,
    expires_in: Option<u64>,
    idle: u64,
    idles_in: u64,
    stale_for: u64,
    stale_if_error: u64,
    names: Vec<(u64, Vec<u8>)>,
}

impl Batch {
    /// In the pool.
    fn of(chunk: &mut Chunk, elapsed: u64, atoms: Atoms) -> Self {
        let mut batch = Batch::default();
        let mut room = Room::new().expect("memory for an environment");
        for record in chunk {
            let left = |time: Option<u64>| bounded(time).map(|time| time.saturating_sub(elapsed));
            let expires_in = left(record.expires_in);
            let idles_in = left(record.idles_in);
            if expires_in == Some(0) || idles_in == Some(0) {
                batch.expired += 1;
                continue;
            }
            let length = batch.bytes.len();
            match batch.import(&mut room, &record, atoms) {
                Some(mut entry) => {
                    entry.expires_in = expires_in;
                    entry.idles_in = idles_in.unwrap_or(0);
                    batch.entries.push(entry);
                }
                None => {
                    batch.bytes.truncate(length);
                    let entries = batch.entries.len();
                    batch.unchecked.retain(|place| *place < entries);
                    batch.undecodable += 1;
                }
            }
        }
        batch
    }

    fn add(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Has the values decoded that only a scheduler may decode: the caller sends back those that
    /// it could. `None` once the job is cancelled.
    fn check(&mut self, job: &Job, atoms: Atoms) -> Option<()> {
        if self.unchecked.is_empty() {
            return Some(());
        }
        let values = self.unchecked.iter().map(|place| {
            let range = self.entries[*place].value.clone();
            &self.bytes[range]
        });
        let checked = job.ask_decodable(values, atoms)?;
        let mut found = vec![true; self.entries.len()];
        for (place, value) in self.unchecked.iter().zip(checked) {
            let entry = &mut self.entries[*place];
            match value {
                Some(queue) if entry.value.len() > INLINE => {
                    entry.held = Held::Shared(queue);
                    entry.value = 0..0;
                }
                Some(_) => (),
                None => {
                    found[*place] = false;
                    self.undecodable += 1;
                }
            }
        }
        let mut found = found.into_iter();
        self.entries.retain(|_| found.next() == Some(true));
        Some(())
    }

    fn import(&mut self, room: &mut Room, record: &Record, atoms: Atoms) -> Option<Imported> {
        let (key_form, hash, key) = room.import_key(record.key.0, atoms, |_, key| {
            // Those in the external form are compared by the VM: they come again.
            let bytes = match key.form {
                Form::External => record.key.0,
                _ => key.bytes,
            };
            (key.form, key.hash, self.add(bytes))
        })?;
        if key.len() > MAX_KEY_BYTES {
            return None;
        }
        let read = |form, held, bytes: &[u8]| (form, held, self.add(bytes));
        let (form, held, value) = match room.import_value(record.value.0, atoms, read) {
            Import::Done(value) => value,
            Import::NeedsScheduler => {
                self.unchecked.push(self.entries.len());
                (Form::External, Held::Bytes, self.add(record.value.0))
            }
            Import::Undecodable => return None,
        };
        let mut names = Vec::new();
        let of_kinds = [
            (Names::Tags, &record.tags),
            (Names::Dependencies, &record.depends_on),
        ];
        for (kind, given) in of_kinds {
            for name in given {
                let [external, bytes @ ..] = name.0 else {
                    return None;
                };
                let is_external = *external != 0;
                names.push(room.import_key(bytes, atoms, |_, key| named(kind, is_external, &key))?);
            }
        }
        Some(Imported {
            key_form,
            key,
            hash,
            form,
            value,
            held,
            visits: record.visits.min(MOST_VISITS),
            weight: u64::from(record.weight.unwrap_or(1)).max(1),
            ttl: bounded(record.ttl).unwrap_or(0),
            expires_in: None,
            idle: bounded(record.idle).unwrap_or(0),
            idles_in: 0,
            stale_for: bounded(record.stale_for).unwrap_or(0),
            stale_if_error: bounded(record.stale_if_error).unwrap_or(0),
            names,
        })
    }
}

/// A time of a file, no longer than the doors take them.
fn bounded(time: Option<u64>) -> Option<u64> {
    time.map(|time| time.min(1 << 48))
}

/// What became of an entry.
enum Became {
    Loaded,
    Present,
    TooLarge,
}

struct Loading<'a> {
    job: &'a Job,
    cache: &'a Kept,
    options: Options,
    /// When it began.
    now: u64,
    room: Room,
    counts: Loaded,
}

impl Loading<'_> {
    fn accept(&mut self, mut batch: Batch) {
        if batch.check(self.job, self.options.atoms).is_none() {
            return;
        }
        self.counts.expired += batch.expired;
        self.counts.undecodable += batch.undecodable;
        for entry in batch.entries {
            if self.job.control.is_cancelled() {
                return;
            }
            let pin = pin();
            let Some(core) = self.job.core(self.cache, &pin) else {
                return;
            };
            match self.put(core, &pin, &batch.bytes, entry) {
                Some(Became::Loaded) => self.counts.loaded += 1,
                Some(Became::Present) => self.counts.present += 1,
                Some(Became::TooLarge) => self.counts.too_large += 1,
                None => self.counts.undecodable += 1,
            }
        }
    }

    fn put(&mut self, core: &Core, pin: &Pin, bytes: &[u8], entry: Imported) -> Option<Became> {
        let key_bytes = &bytes[entry.key.clone()];
        if entry.key_form != Form::External {
            let key = cache_core::Key {
                hash: entry.hash,
                form: entry.key_form as u8,
                bytes: key_bytes,
                same: None,
            };
            return Some(write(self.options, self.now, core, pin, &key, bytes, entry));
        }
        let (options, now) = (self.options, self.now);
        self.room
            .import_key(key_bytes, options.atoms, |env, key: Key| {
                // SAFETY: the key is of this environment.
                unsafe {
                    shown(env, &key, |key| {
                        write(options, now, core, pin, key, bytes, entry)
                    })
                }
            })
    }
}

fn write(
    options: Options,
    began: u64,
    core: &Core,
    pin: &Pin,
    key: &cache_core::Key,
    bytes: &[u8],
    entry: Imported,
) -> Became {
    let on_removed = &mut |entry: &Entry<Terms>, cause| core.removed(entry, cause);
    let extra = extra(core, began, &entry);
    let visits = entry.visits;
    let value = &bytes[entry.value];
    let put = Put {
        value: value_of(entry.form, entry.held, value),
        weight: entry.weight,
        ttl: entry.ttl,
        expires: entry.expires_in.map_or(NEVER, |time| began + time),
        extra,
    };
    let decide = |found: Option<&Entry<Terms>>| match found {
        Some(_) if !options.overwrite => (Action::Keep, false),
        _ => (Action::Put(put), true),
    };
    let written = core.cache.write(key, clock::now(), pin, on_removed, decide);
    match written {
        Ok((Outcome::TooLarge, _)) => Became::TooLarge,
        Ok((_, false)) => Became::Present,
        Ok((outcome, true)) => {
            if let Some(entry) = core.cache.peek_any(key, pin).filter(|_| visits > 0) {
                entry.set_visits(visits);
            }
            if matches!(outcome, Outcome::Over(_)) {
                while !core.cache.shrink(pin, on_removed) {}
            }
            Became::Loaded
        }
        Err(Busy) => unreachable!("a thread of ours waits for locks"),
    }
}

fn extra(core: &Core, began: u64, entry: &Imported) -> Option<Box<Extra>> {
    if entry.idle == 0
        && entry.stale_for == 0
        && entry.stale_if_error == 0
        && entry.names.is_empty()
    {
        return None;
    }
    let mut tags = Vec::new();
    for (hash, name) in &entry.names {
        let counted = loop {
            match core.cache.tags().count(*hash, name, None) {
                Ok(counted) => break counted,
                // Held for the time of a look-up.
                Err(Busy) => std::thread::yield_now(),
            }
        };
        tags.extend(counted);
    }
    Some(Box::new(Extra {
        idle: entry.idle,
        // It was last used before this node's clock began, perhaps: then a little later.
        used_at: (began + entry.idles_in).saturating_sub(entry.idle).into(),
        stale_for: entry.stale_for,
        stale_if_error: entry.stale_if_error,
        tags: tags.into(),
    }))
}

fn load(job: &Job, cache: &Kept, path: &Path, options: Options) -> Answer {
    let wall_clock = wall_clock();
    let mut loading = Loading {
        job,
        cache,
        options,
        now: clock::now(),
        room: Room::new().expect("memory for an environment"),
        counts: Loaded::default(),
    };
    let decode = |head: &Head, chunk: &mut Chunk| {
        // Where the clock was set back, no time has passed.
        Batch::of(
            chunk,
            wall_clock.saturating_sub(head.saved_at),
            options.atoms,
        )
    };
    match read(path, &job.control, decode, |batch| loading.accept(batch)) {
        Ok(_) if job.control.is_cancelled() => job.failure(Error::Cancelled),
        Ok(_) => Answer::Loaded(loading.counts),
        Err(error) => job.failure(error),
    }
}

/// Arguments: cache, path, threads, `{Overwrite, AnyAtoms}`.
unsafe fn cache_load(env: *mut ErlNifEnv, args: &[ErlNifTerm; 4]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (Some(path), Some(threads), Some([overwrite, any])) = (
            path(env, args[1]),
            threads(env, args[2]),
            tuple(env, args[3]),
        ) else {
            return enif_make_badarg(env);
        };
        let is_true = |term: ErlNifTerm| term == atoms::r#true().as_c_arg();
        let options = Options {
            overwrite: is_true(overwrite),
            atoms: if is_true(any) {
                Atoms::Any
            } else {
                Atoms::Existing
            },
        };
        job::begin(env, args[0], threads, move |job, cache| {
            load(job, cache, &path, options)
        })
    }
}
nif!("cache_load", 4, Normal, cache_load);
