//! Rates: how many events there are in a second.

use super::keeper::{self, Kept};
use crate::atoms;
use crate::boundary::{small, threads_foreseen};
use crate::registry::{Identified, Identity, Registry};
use crate::tried::{tried, Fault};
use histogram_core::meter::{Meter, Rates};
use histogram_core::windows::WINDOWS;
use parking_lot::Mutex;
use rustler::sys::*;

pub struct Rate {
    meter: Meter,
    rates: Mutex<Rates>,
    identity: Identity,
    _kept: Kept,
}

impl Identified for Rate {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

pub static RATES: Registry<Rate> = Registry::new(2, atoms::invalid_rate);

impl Rate {
    /// For the keeper, which may wait for the lock.
    pub fn tick(&self) {
        let total = self.meter.total();
        self.rates.lock().tick(keeper::now(), total);
    }
}

fn remove(handle: u64) -> bool {
    RATES.remove(handle)
}

unsafe fn rate_new(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(identity) = Identity::read(env, args[0], args[1], remove) else {
            return Ok(enif_make_badarg(env));
        };
        let rate = Rate {
            meter: Meter::new(threads_foreseen()),
            rates: Mutex::new(Rates::new(keeper::now())),
            identity,
            _kept: Kept::new().ok_or(Fault::Wrong(atoms::system_limit()))?,
        };
        RATES.add(env, rate)
    }
}
tried_nif!("rate_new", 2, rate_new);

unsafe fn rate_delete(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { RATES.delete(env, args[0]) }
}
tried_nif!("rate_delete", 1, rate_delete);

unsafe fn rate_whereis(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { RATES.whereis(env, args[0]) }
}
tried_nif!("rate_whereis", 1, rate_whereis);

/// # Safety
/// `env` must be the calling environment and `term` a term of it.
#[cold]
#[inline(never)]
unsafe fn large(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<u64> {
    let mut events = 0;
    // SAFETY: the caller's promise.
    let is_number = unsafe { enif_get_uint64(env, term, &mut events) != 0 };
    is_number.then_some(events)
}

unsafe fn rate_mark(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let events = match small(args[1]) {
            Some(events) => u64::try_from(events).ok(),
            None => large(env, args[1]),
        };
        let events = events.ok_or(Fault::Wrong(atoms::invalid_value()))?;
        RATES.with(env, args[0], |rate, section| {
            rate.meter.mark(section.thread(), events);
            atoms::ok().as_c_arg()
        })
    }
}
tried_nif!("rate_mark", 2, rate_mark);

unsafe fn rate_read(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let reading = RATES.with(env, args[0], |rate, _| {
            let rates = tried(|| rate.rates.try_lock())?;
            // Under the lock, so that no tick has counted more.
            Ok(rates.read(keeper::now(), rate.meter.total()))
        })??;
        let mut list = enif_make_list_from_array(env, [].as_ptr(), 0);
        for (window, rate) in WINDOWS.into_iter().zip(reading.windows).rev() {
            let parts = [enif_make_uint64(env, window), enif_make_double(env, rate)];
            let entry = enif_make_tuple_from_array(env, parts.as_ptr(), 2);
            list = enif_make_list_cell(env, entry, list);
        }
        let parts = [
            enif_make_uint64(env, reading.total),
            enif_make_double(env, reading.decaying),
            list,
        ];
        Ok(enif_make_tuple_from_array(env, parts.as_ptr(), 3))
    }
}
tried_nif!("rate_read", 1, rate_read);
