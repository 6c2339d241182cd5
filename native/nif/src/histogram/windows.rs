//! What a histogram has recorded of late: its windows, and its decaying view.

use super::handle::{with_histogram, Live, MANY_BUCKETS};
use super::keeper::{self, Kept};
use super::snapshot::quantile_list;
use crate::atoms;
use crate::boundary::make_map;
use crate::tried::{tried, Fault};
use histogram_core::decaying::Decaying;
use histogram_core::layout::Layout;
use histogram_core::snapshot::Snapshot;
use histogram_core::windows::{Begun, Windows, WINDOWS};
use parking_lot::Mutex;
use rustler::sys::*;

/// What is kept of the time that passes.
pub struct Recent {
    state: Mutex<State>,
    _kept: Kept,
}

struct State {
    windows: Option<Windows<Snapshot>>,
    decaying: Option<Decaying>,
}

/// What a new histogram is to keep: windows, and for which half-life a decaying view.
pub struct Asked {
    windows: bool,
    half_life: Option<u64>,
}

/// From a boolean, and milliseconds or `none`.
///
/// # Safety
/// `env` must be the calling environment and the terms its.
pub unsafe fn asked(
    env: *mut ErlNifEnv,
    windows: ErlNifTerm,
    half_life: ErlNifTerm,
) -> Option<Asked> {
    let mut milliseconds = 0;
    let half_life = if half_life == atoms::none().as_c_arg() {
        None
    } else {
        // SAFETY: the caller's promise. What is no number leaves anything behind.
        let is_number = unsafe { enif_get_uint64(env, half_life, &mut milliseconds) != 0 };
        if !is_number || milliseconds == 0 {
            return None;
        }
        Some(milliseconds)
    };
    let windows = match windows {
        term if term == atoms::r#true().as_c_arg() => true,
        term if term == atoms::r#false().as_c_arg() => false,
        _ => return None,
    };
    Some(Asked { windows, half_life })
}

impl Recent {
    /// `None` where nothing is to be kept.
    pub fn new(layout: Layout, asked: Asked) -> Result<Option<Self>, Fault> {
        let Asked { windows, half_life } = asked;
        if !windows && half_life.is_none() {
            return Ok(None);
        }
        let now = keeper::now();
        let empty = Snapshot::empty(layout);
        Ok(Some(Recent {
            _kept: Kept::new().ok_or(Fault::Wrong(atoms::system_limit()))?,
            state: Mutex::new(State {
                windows: windows.then(|| Windows::new(now, &empty)),
                decaying: half_life.map(|half_life| Decaying::new(half_life, now, empty)),
            }),
        }))
    }

    /// For the keeper alone, which may wait for the lock, and whose ticks follow one another.
    pub fn tick(&self, live: &Live) {
        let counted = live.histogram.cumulative();
        let now = keeper::now();
        let state = &mut *self.state.lock();
        if let Some(windows) = &mut state.windows {
            windows.tick(now, &counted);
        }
        if let Some(decaying) = &mut state.decaying {
            decaying.tick(now, counted);
        }
    }

    pub fn memory(&self) -> Result<usize, Fault> {
        let state = tried(|| self.state.try_lock())?;
        let windows = state.windows.as_ref().map_or(0, Windows::memory);
        Ok(windows + state.decaying.as_ref().map_or(0, Decaying::memory))
    }

    /// What is counted after this is no less than what any tick has counted.
    fn begin(&self) -> Result<Option<Begun<Snapshot>>, Fault> {
        let state = tried(|| self.state.try_lock())?;
        let windows = state.windows.as_ref();
        Ok(windows.map(|windows| windows.begin(keeper::now())))
    }

    fn decaying(&self) -> Result<Option<Decaying>, Fault> {
        Ok(tried(|| self.state.try_lock())?.decaying.clone())
    }
}

fn fits(live: &Live, on_dirty: bool) -> Result<(), Fault> {
    match on_dirty || live.histogram.layout().len() <= MANY_BUCKETS {
        true => Ok(()),
        false => Err(Fault::Large),
    }
}

unsafe fn histogram_windows(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let read = with_histogram(env, args[0], |live, _| {
            let Some(recent) = &live.recent else {
                return Ok(None);
            };
            fits(live, on_dirty)?;
            let Some(begun) = recent.begin()? else {
                return Ok(None);
            };
            Ok(Some(begun.read(&live.cumulative(on_dirty)?)))
        })??;
        let Some(read) = read else {
            return Err(Fault::Wrong(atoms::no_windows()));
        };
        let mut list = enif_make_list_from_array(env, [].as_ptr(), 0);
        for (window, (_, snapshot)) in WINDOWS.into_iter().zip(&read).rev() {
            let parts = [
                enif_make_uint64(env, window),
                super::handle::encoded(env, snapshot),
            ];
            let entry = enif_make_tuple_from_array(env, parts.as_ptr(), 2);
            list = enif_make_list_cell(env, entry, list);
        }
        enif_consume_timeslice(env, 10);
        Ok(list)
    }
}
tried_nif!("histogram_windows", 1, histogram_windows);

unsafe fn histogram_decaying(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let quantiles = quantile_list(env, args[1], on_dirty)?;
        let decaying = with_histogram(env, args[0], |live, _| {
            let Some(recent) = &live.recent else {
                return Ok(None);
            };
            fits(live, on_dirty)?;
            let Some(mut decaying) = recent.decaying()? else {
                return Ok(None);
            };
            decaying.tick(keeper::now(), live.cumulative(on_dirty)?);
            Ok(Some(decaying))
        })??;
        let Some(decaying) = decaying else {
            return Err(Fault::Wrong(atoms::no_half_life()));
        };
        let snapshot = decaying.snapshot();
        let distribution = snapshot.distribution();
        let mut list = enif_make_list_from_array(env, [].as_ptr(), 0);
        for quantile in quantiles.into_iter().rev() {
            let value = match distribution.nearest(quantile) {
                Some(value) => enif_make_uint64(env, value),
                None => atoms::undefined().as_c_arg(),
            };
            list = enif_make_list_cell(env, value, list);
        }
        let mean = match decaying.mean() {
            Some(mean) => enif_make_double(env, mean),
            None => atoms::undefined().as_c_arg(),
        };
        let pairs = [
            (
                atoms::half_life(),
                enif_make_uint64(env, decaying.half_life()),
            ),
            (atoms::weight(), enif_make_double(env, decaying.weight())),
            (atoms::mean(), mean),
            (atoms::quantiles(), list),
        ];
        enif_consume_timeslice(env, 10);
        Ok(make_map(env, pairs))
    }
}
tried_nif!("histogram_decaying", 2, histogram_decaying);
