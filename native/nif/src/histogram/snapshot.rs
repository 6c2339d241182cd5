//! Reading histograms and snapshots: what is asked of them, adding them up, their views.

use super::handle::{charge, encoded, snapshot_of};
use crate::atoms;
use crate::boundary::{cell, inspect_binary, make_binary, make_map, DIRTY_BYTES};
use crate::tried::Fault;
use histogram_core::encoding::DecodeError;
use histogram_core::merge::Sum;
use histogram_core::quantiles::{is_valid, Method, Summary, SUMMARY};
use histogram_core::snapshot::Snapshot;
use rustler::sys::*;
use rustler::types::atom::Atom;

/// Longer lists of numbers are read on a dirty scheduler.
const MANY_NUMBERS: usize = 1000;
/// A quantile, or a bound, is found among about so many buckets.
const ITEMS_BY_NUMBER: usize = 100;
/// So many snapshots are added up on a normal scheduler.
const FEW_SNAPSHOTS: usize = 16;

fn undefined() -> ErlNifTerm {
    atoms::undefined().as_c_arg()
}

/// The elements of a list; `None` where it is not a proper one.
///
/// # Safety
/// `env` must be the calling environment and `list` a term of it.
unsafe fn elements<T>(
    env: *mut ErlNifEnv,
    mut list: ErlNifTerm,
    most: Option<usize>,
    wrong: Atom,
    read: impl Fn(ErlNifTerm) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut elements = Vec::new();
    // SAFETY: the caller's promise.
    unsafe {
        while let Some((head, tail)) = cell(env, list) {
            if most.is_some_and(|most| elements.len() == most) {
                return Err(Fault::Large);
            }
            elements.push(read(head)?);
            list = tail;
        }
        match enif_is_empty_list(env, list) {
            0 => Err(Fault::Wrong(wrong)),
            _ => Ok(elements),
        }
    }
}

/// An integer or a float, as the nearest double; integers beyond 64 bits are not read.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
pub unsafe fn number(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<f64> {
    let (mut float, mut unsigned, mut signed) = (0.0, 0, 0);
    // SAFETY: the caller's promise.
    unsafe {
        if enif_get_double(env, term, &mut float) != 0 {
            Some(float)
        } else if enif_get_uint64(env, term, &mut unsigned) != 0 {
            Some(unsigned as f64)
        } else {
            (enif_get_int64(env, term, &mut signed) != 0).then_some(signed as f64)
        }
    }
}

/// # Safety
/// `env` must be the calling environment.
unsafe fn list(env: *mut ErlNifEnv, terms: &[ErlNifTerm]) -> ErlNifTerm {
    // SAFETY: the caller's promise, and the terms are the environment's.
    unsafe { enif_make_list_from_array(env, terms.as_ptr(), terms.len() as u32) }
}

/// # Safety
/// `env` must be the calling environment.
unsafe fn large_integer(env: *mut ErlNifEnv, number: u128) -> ErlNifTerm {
    // SAFETY: the caller's promise; the bytes are an integer in the external format.
    unsafe {
        if let Ok(number) = u64::try_from(number) {
            return enif_make_uint64(env, number);
        }
        let digits = 16 - number.leading_zeros() as usize / 8;
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&[131, 110, digits as u8, 0]);
        bytes[4..].copy_from_slice(&number.to_le_bytes());
        let mut term = undefined();
        enif_binary_to_term(env, bytes.as_ptr(), 4 + digits, &mut term, 0);
        term
    }
}

/// # Safety
/// `env` must be the calling environment and `list` a term of it.
pub unsafe fn quantile_list(
    env: *mut ErlNifEnv,
    list: ErlNifTerm,
    on_dirty: bool,
) -> Result<Vec<f64>, Fault> {
    let most = (!on_dirty).then_some(MANY_NUMBERS);
    let wrong = atoms::invalid_quantile();
    // SAFETY: the caller's promise.
    unsafe {
        elements(env, list, most, wrong, |term| {
            let quantile = number(env, term).filter(|&quantile| is_valid(quantile));
            quantile.ok_or(Fault::Wrong(wrong))
        })
    }
}

unsafe fn quantiles(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let method = match args[2] {
            method if method == atoms::nearest_rank().as_c_arg() => Method::NearestRank,
            method if method == atoms::linear().as_c_arg() => Method::Linear,
            _ => return Err(Fault::Wrong(atoms::invalid_method())),
        };
        let asked = quantile_list(env, args[1], on_dirty)?;
        let snapshot = snapshot_of(env, args[0], on_dirty)?;
        let distribution = snapshot.distribution();
        let terms: Vec<ErlNifTerm> = asked
            .iter()
            .map(|&quantile| match method {
                Method::NearestRank => distribution
                    .nearest(quantile)
                    .map_or(undefined(), |value| enif_make_uint64(env, value)),
                Method::Linear => distribution
                    .linear(quantile)
                    .map_or(undefined(), |value| enif_make_double(env, value)),
            })
            .collect();
        charge(env, ITEMS_BY_NUMBER * terms.len());
        Ok(list(env, &terms))
    }
}
tried_nif!("histogram_quantiles", 3, quantiles);

unsafe fn summary(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let snapshot = snapshot_of(env, args[0], on_dirty)?;
        Ok(summary_map(env, &snapshot))
    }
}
tried_nif!("histogram_summary", 1, summary);

/// # Safety
/// `env` must be the calling environment.
unsafe fn summary_map(env: *mut ErlNifEnv, snapshot: &Snapshot) -> ErlNifTerm {
    let Summary { count, values } = snapshot.summary();
    // SAFETY: the caller's promise, and all terms are made of it.
    unsafe {
        let integer = |number| enif_make_uint64(env, number);
        let float = |number| enif_make_double(env, number);
        let known = |of: &dyn Fn(&_) -> ErlNifTerm| values.as_ref().map_or(undefined(), of);
        let quantiles: [ErlNifTerm; SUMMARY.len()] =
            std::array::from_fn(|at| known(&|values| integer(values.quantiles[at])));
        let [p50, p75, p90, p95, p99, p999, p9999] = quantiles;
        let pairs = [
            (atoms::count(), integer(count)),
            (atoms::sum(), large_integer(env, snapshot.sum)),
            (atoms::min(), known(&|_| integer(snapshot.min))),
            (atoms::max(), known(&|_| integer(snapshot.max))),
            (atoms::mean(), known(&|values| float(values.moments.mean))),
            (
                atoms::stddev(),
                known(&|values| float(values.moments.stddev)),
            ),
            (atoms::p50(), p50),
            (atoms::p75(), p75),
            (atoms::p90(), p90),
            (atoms::p95(), p95),
            (atoms::p99(), p99),
            (atoms::p999(), p999),
            (atoms::p9999(), p9999),
            (atoms::overflow(), integer(snapshot.overflow)),
            (atoms::span(), integer(snapshot.span)),
            (
                atoms::corrected(),
                crate::boundary::boolean(snapshot.corrected),
            ),
        ];
        make_map(env, pairs)
    }
}

unsafe fn merge(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    let wrong = Fault::Wrong;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let most = (!on_dirty).then_some(FEW_SNAPSHOTS);
        let snapshots = elements(env, args[0], most, atoms::invalid_snapshot(), |term| {
            inspect_binary(env, term).ok_or(wrong(atoms::invalid_snapshot()))
        })?;
        let size: usize = snapshots.iter().map(|bytes| bytes.len()).sum();
        if !on_dirty && size > DIRTY_BYTES {
            return Err(Fault::Large);
        }
        charge(env, size);
        let mut sum = Sum::default();
        for bytes in snapshots {
            let added = sum.add(bytes);
            added.map_err(|_| wrong(atoms::invalid_snapshot()))?;
        }
        let sum = sum.finish().ok_or(wrong(atoms::empty()))?;
        Ok(encoded(env, &sum))
    }
}
tried_nif!("histogram_merge", 1, merge);

unsafe fn subtract(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let later = snapshot_of(env, args[0], on_dirty)?;
        let earlier = snapshot_of(env, args[1], on_dirty)?;
        let difference = later.checked_subtract(&earlier);
        Ok(encoded(
            env,
            &difference.ok_or(Fault::Wrong(atoms::not_earlier()))?,
        ))
    }
}
tried_nif!("histogram_subtract", 2, subtract);

/// A bound of [`buckets`] or [`fraction_below`].
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
unsafe fn bound(env: *mut ErlNifEnv, term: ErlNifTerm) -> Result<f64, Fault> {
    if term == atoms::infinity().as_c_arg() {
        return Ok(f64::INFINITY);
    }
    // SAFETY: the caller's promise.
    unsafe { number(env, term) }.ok_or(Fault::Wrong(atoms::invalid_bound()))
}

unsafe fn buckets(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let most = (!on_dirty).then_some(MANY_NUMBERS);
        let bounds = elements(env, args[1], most, atoms::invalid_bound(), |term| {
            Ok((term, bound(env, term)?))
        })?;
        let snapshot = snapshot_of(env, args[0], on_dirty)?;
        let distribution = snapshot.distribution();
        let pairs: Vec<ErlNifTerm> = bounds
            .into_iter()
            .map(|(term, bound)| {
                let count = enif_make_uint64(env, distribution.at_most(bound));
                enif_make_tuple_from_array(env, [term, count].as_ptr(), 2)
            })
            .collect();
        charge(env, ITEMS_BY_NUMBER * pairs.len());
        Ok(list(env, &pairs))
    }
}
tried_nif!("histogram_buckets", 2, buckets);

unsafe fn fraction_below(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let bound = bound(env, args[1])?;
        let snapshot = snapshot_of(env, args[0], on_dirty)?;
        let share = snapshot.fraction_below(bound);
        Ok(share.map_or(undefined(), |share| enif_make_double(env, share)))
    }
}
tried_nif!("histogram_fraction_below", 2, fraction_below);

unsafe fn plot(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    let mut width = 0;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        if enif_get_uint64(env, args[1], &mut width) == 0 {
            return Err(Fault::Wrong(atoms::invalid_width()));
        }
        let snapshot = snapshot_of(env, args[0], on_dirty)?;
        Ok(make_binary(env, snapshot.plot(width as usize).as_bytes()))
    }
}
tried_nif!("histogram_plot", 2, plot);

/// `{error, Reason}`.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn error(env: *mut ErlNifEnv, reason: Atom) -> ErlNifTerm {
    let parts = [atoms::error().as_c_arg(), reason.as_c_arg()];
    // SAFETY: the caller's promise.
    unsafe { enif_make_tuple_from_array(env, parts.as_ptr(), 2) }
}

/// `ok`, or `{error, Reason}` where the term is not a snapshot.
unsafe fn check(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(bytes) = inspect_binary(env, args[0]) else {
            return Ok(error(env, atoms::not_a_snapshot()));
        };
        if !on_dirty && bytes.len() > DIRTY_BYTES {
            return Err(Fault::Large);
        }
        charge(env, bytes.len());
        let reason = match Snapshot::decode(bytes) {
            Ok(_) => return Ok(atoms::ok().as_c_arg()),
            Err(DecodeError::NotASnapshot) => atoms::not_a_snapshot(),
            Err(DecodeError::Version) => atoms::newer_version(),
            Err(DecodeError::Layout) => atoms::unknown_layout(),
            Err(DecodeError::Truncated) => atoms::truncated(),
            Err(DecodeError::Trailing) => atoms::trailing_bytes(),
            Err(DecodeError::Number) => atoms::invalid_number(),
            Err(DecodeError::Range) => atoms::out_of_range(),
            Err(DecodeError::Runs) => atoms::invalid_run(),
        };
        Ok(error(env, reason))
    }
}
tried_nif!("histogram_check", 1, check);
