//! How long calls keep a normal scheduler, counted in a `call_time` build, for the tests: thread
//! CPU time, since wall-clock time would also count what other threads did meanwhile.

use crate::boundary;
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::Encoder;

#[cfg(feature = "call_time")]
mod counting {
    use rustler::codegen_runtime::inventory;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// What one NIF has used. These are statistics: nothing is ordered by them, so every access
    /// is relaxed.
    pub struct CallTime {
        name: &'static str,
        calls: AtomicU64,
        most: AtomicU64,
    }

    /// What `nif!` submits for each NIF that runs on normal schedulers.
    pub struct Counted(pub &'static CallTime);
    inventory::collect!(Counted);

    impl CallTime {
        pub const fn new(name: &'static str) -> Self {
            Self {
                name,
                calls: AtomicU64::new(0),
                most: AtomicU64::new(0),
            }
        }
    }

    /// Counts from its making to its drop, also when that is a panic's doing.
    pub struct Span {
        counted: &'static CallTime,
        start: u64,
    }

    impl Span {
        pub fn start(counted: &'static CallTime) -> Self {
            Self {
                counted,
                start: thread_time(),
            }
        }
    }

    impl Drop for Span {
        fn drop(&mut self) {
            let used = thread_time().saturating_sub(self.start);
            self.counted.calls.fetch_add(1, Ordering::Relaxed);
            self.counted.most.fetch_max(used, Ordering::Relaxed);
        }
    }

    /// Nanoseconds of CPU time that the calling thread has used.
    fn thread_time() -> u64 {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `now` is a timespec that may be written.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }

    /// Name with arity, calls, nanoseconds of the longest.
    pub fn read() -> Vec<(&'static str, u64, u64)> {
        inventory::iter::<Counted>()
            .map(|Counted(of)| {
                let calls = of.calls.load(Ordering::Relaxed);
                (of.name, calls, of.most.load(Ordering::Relaxed))
            })
            .collect()
    }

    pub fn reset() {
        for Counted(of) in inventory::iter::<Counted>() {
            of.calls.store(0, Ordering::Relaxed);
            of.most.store(0, Ordering::Relaxed);
        }
    }
}
#[cfg(feature = "call_time")]
pub use counting::{CallTime, Counted, Span};

unsafe fn read(env: *mut ErlNifEnv, args: &[ErlNifTerm; 0]) -> ErlNifTerm {
    // SAFETY: this is the calling environment and its terms.
    unsafe {
        boundary::with_terms(env, args, |env, []| {
            #[cfg(feature = "call_time")]
            return Ok(counting::read().encode(env));
            #[cfg(not(feature = "call_time"))]
            Ok(crate::atoms::disabled().encode(env))
        })
    }
}
nif!("call_time_read", 0, Normal, read);

unsafe fn reset(env: *mut ErlNifEnv, args: &[ErlNifTerm; 0]) -> ErlNifTerm {
    // SAFETY: this is the calling environment and its terms.
    unsafe {
        boundary::with_terms(env, args, |env, []| {
            #[cfg(feature = "call_time")]
            counting::reset();
            Ok(crate::atoms::ok().encode(env))
        })
    }
}
nif!("call_time_reset", 0, Normal, reset);
