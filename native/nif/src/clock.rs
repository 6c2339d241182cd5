//! The cheapest clock that is sound here.
//!
//! On x86-64 that is the time stamp counter, where the processor says that its rate never changes
//! and Linux, which has compared the cores' counters, keeps its own time by it; on aarch64 the
//! counter of the architecture. Otherwise it is the VM's.

use crate::boundary::{make_integer, small};
use rustler::sys::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds by tick of the counter, times 2^32; 0 where the clock is the VM's. Set at load.
static RATE: AtomicU64 = AtomicU64::new(0);

/// Decides which clock it is, and measures it.
pub fn calibrate() {
    if counter::is_sound() {
        RATE.store(counter::rate(), Ordering::Relaxed);
    }
}

/// Now, in ticks of the counter or in nanoseconds, since some moment.
#[inline(always)]
fn now(rate: u64) -> i64 {
    if rate > 0 {
        counter::ticks()
    } else {
        // SAFETY: it may be called on any thread.
        unsafe { enif_monotonic_time(ErlNifTimeUnit::ERL_NIF_NSEC) }
    }
}

/// Nanoseconds since some moment, by the cheapest clock.
#[inline(always)]
pub fn nanoseconds() -> u64 {
    /// The VM's begins far below 0.
    const ORIGIN: i64 = i64::MIN / 2;
    let rate = RATE.load(Ordering::Relaxed);
    let ticks = now(rate);
    if rate > 0 {
        in_nanoseconds(ticks.cast_unsigned(), rate)
    } else {
        ticks.wrapping_sub(ORIGIN).cast_unsigned()
    }
}

#[inline(always)]
fn in_nanoseconds(ticks: u64, rate: u64) -> u64 {
    let nanoseconds = (u128::from(ticks) * u128::from(rate)) >> 32;
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

/// The nanoseconds since what `clock_start` gave; none where it gave no such thing. It is never
/// negative: cores' counters may differ by a few nanoseconds.
#[inline(always)]
pub fn elapsed(since: ErlNifTerm) -> Option<u64> {
    let start = small(since)?;
    let rate = RATE.load(Ordering::Relaxed);
    let ticks = now(rate).saturating_sub(start).max(0).cast_unsigned();
    Some(if rate > 0 {
        in_nanoseconds(ticks, rate)
    } else {
        ticks
    })
}

unsafe fn clock_start(env: *mut ErlNifEnv, _args: &[ErlNifTerm; 0]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment.
    unsafe { make_integer(env, now(RATE.load(Ordering::Relaxed))) }
}
nif!("clock_start", 0, Normal, clock_start);

unsafe fn clock_elapsed(env: *mut ErlNifEnv, args: &[ErlNifTerm; 1]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        match elapsed(args[0]) {
            Some(nanoseconds) => enif_make_uint64(env, nanoseconds),
            None => enif_make_badarg(env),
        }
    }
}
nif!("clock_elapsed", 1, Normal, clock_elapsed);

#[cfg(target_arch = "x86_64")]
mod counter {
    use std::arch::x86_64::{__cpuid, _rdtsc};
    use std::time::{Duration, Instant};

    /// A count of a 60-bit small integer lasts for decades if its last four bits are left out.
    const SHIFT: u32 = 4;

    #[inline(always)]
    pub fn ticks() -> i64 {
        // SAFETY: every x86-64 has it; whether it is of use was found out at load.
        (unsafe { _rdtsc() } >> SHIFT).cast_signed()
    }

    pub fn is_sound() -> bool {
        const POWER_MANAGEMENT: u32 = 0x8000_0007;
        const INVARIANT: u32 = 1 << 8;
        let is_invariant = __cpuid(0x8000_0000).eax >= POWER_MANAGEMENT
            && __cpuid(POWER_MANAGEMENT).edx & INVARIANT != 0;
        let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        is_invariant && std::fs::read_to_string(source).is_ok_and(|name| name.trim() == "tsc")
    }

    /// Measured against the monotonic clock, to some millionths.
    pub fn rate() -> u64 {
        let (ticks_before, before) = pair();
        std::thread::sleep(Duration::from_millis(10));
        let (ticks_after, after) = pair();
        let nanoseconds = after.duration_since(before).as_nanos();
        let ticks = ticks_after.abs_diff(ticks_before).max(1);
        u64::try_from((nanoseconds << 32) / u128::from(ticks)).unwrap_or(u64::MAX)
    }

    /// Both clocks at one moment: of some readings, the one that took the least time.
    fn pair() -> (i64, Instant) {
        let readings = (0..32).map(|_| {
            let before = ticks();
            let instant = Instant::now();
            let after = ticks();
            (after.abs_diff(before), before.midpoint(after), instant)
        });
        let (_, ticks, instant) = readings.min_by_key(|&(took, ..)| took).unwrap();
        (ticks, instant)
    }
}

#[cfg(target_arch = "aarch64")]
mod counter {
    use std::arch::asm;

    #[inline(always)]
    pub fn ticks() -> i64 {
        let ticks: u64;
        // SAFETY: it reads a register that user code may read.
        unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
        ticks.cast_signed()
    }

    pub fn is_sound() -> bool {
        frequency() > 0
    }

    pub fn rate() -> u64 {
        (1_000_000_000 << 32) / frequency()
    }

    /// Ticks by second.
    fn frequency() -> u64 {
        let frequency: u64;
        // SAFETY: as above.
        unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack)) };
        frequency
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod counter {
    pub fn ticks() -> i64 {
        0
    }

    pub fn is_sound() -> bool {
        false
    }

    pub fn rate() -> u64 {
        0
    }
}
