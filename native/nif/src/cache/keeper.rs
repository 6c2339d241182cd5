//! The one thread of the caches: it frees what was dropped, removes what has expired, tells
//! policies of reads that wait, and rolls the windows of the statistics. It starts with the first
//! cache and ends a little after the last.

use super::clock;
use super::core::Core;
use super::handle::{self, Handle};
use crate::keeper::Keeper;
use cache_core::threads;
use crossbeam_queue::SegQueue;
use parking_lot::Mutex;
use rustler::sys::{enif_keep_resource, enif_release_resource};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::LazyLock;
use std::thread::{self, Thread};
use std::time::Duration;

/// How long it sleeps when nothing calls for it.
const ROUND: Duration = Duration::from_millis(50);
/// How long when garbage is under way.
const SHORT: Duration = Duration::from_millis(1);
/// Rounds without a cache after which it ends.
const PATIENCE: u32 = 20;

struct Sent<T>(*mut T);
// SAFETY: what is sent is handed over, and its content may be used by any thread.
unsafe impl<T> Send for Sent<T> {}

static NEW: LazyLock<SegQueue<Sent<Handle>>> = LazyLock::new(SegQueue::new);
static TO_END: LazyLock<SegQueue<Sent<Handle>>> = LazyLock::new(SegQueue::new);
static TO_FREE: LazyLock<SegQueue<Sent<Core>>> = LazyLock::new(SegQueue::new);
static TO_DISCARD: LazyLock<SegQueue<Box<dyn Send>>> = LazyLock::new(SegQueue::new);
/// What was dropped and is not yet freed.
static GARBAGE: AtomicUsize = AtomicUsize::new(0);
static KEEPER: Keeper = Keeper::new("erlmcp_cache");
static THREAD: Mutex<Option<Thread>> = Mutex::new(None);

/// Takes care of a cache from now on.
///
/// # Safety
/// The object must be alive.
pub unsafe fn keep(object: *mut Handle) {
    // SAFETY: the caller's promise.
    unsafe { enif_keep_resource(object.cast()) };
    NEW.push(Sent(object));
    ensure();
}

/// Makes sure that the thread runs; whether it does.
pub fn ensure() -> bool {
    KEEPER.ensure(|| threads::as_own_thread(run))
}

/// A core will soon come to [`free`].
pub fn expect_garbage() {
    GARBAGE.fetch_add(1, Ordering::AcqRel);
    ensure();
    // Only tried: at the worst it wakes up a round later.
    if let Some(thread) = THREAD.try_lock().as_deref().and_then(Option::as_ref) {
        thread.unpark();
    }
}

pub fn free(core: *mut Core) {
    TO_FREE.push(Sent(core));
}

/// Drops a cache whose name could not be freed at once.
pub fn end_later(object: *mut Handle) {
    // SAFETY: the object is alive during the callback of its owner's death.
    unsafe { enif_keep_resource(object.cast()) };
    TO_END.push(Sent(object));
    ensure();
}

/// Frees what would take too long where it was dropped.
pub fn discard(garbage: Box<dyn Send>) {
    GARBAGE.fetch_add(1, Ordering::AcqRel);
    TO_DISCARD.push(garbage);
    ensure();
}

fn run() {
    *THREAD.lock() = Some(thread::current());
    let mut caches = Vec::new();
    let mut idle = 0;
    loop {
        // A panic is a defect; it must not end the care of the other caches.
        let round = std::panic::AssertUnwindSafe(|| round(&mut caches));
        let is_behind = std::panic::catch_unwind(round).unwrap_or(false);
        let garbage = GARBAGE.load(Ordering::Acquire) > 0;
        if caches.is_empty() && !garbage {
            idle += 1;
        } else {
            idle = 0;
        }
        if idle > PATIENCE {
            let is_wanted =
                || !NEW.is_empty() || !TO_END.is_empty() || GARBAGE.load(Ordering::Acquire) > 0;
            if KEEPER.may_end(is_wanted) {
                return;
            }
            idle = 0;
        }
        if !is_behind {
            thread::park_timeout(if garbage { SHORT } else { ROUND });
        }
    }
}

/// Whether there is more to do at once.
fn round(caches: &mut Vec<Sent<Handle>>) -> bool {
    while let Some(handle) = NEW.pop() {
        caches.push(handle);
    }
    while let Some(Sent(object)) = TO_END.pop() {
        // SAFETY: `end_later` kept it.
        unsafe {
            let _ = handle::end(&*object, true, &threads::pin());
            enif_release_resource(object.cast());
        }
    }
    let now = clock::now();
    let mut is_behind = false;
    caches.retain(|Sent(object)| {
        // SAFETY: `keep` kept it.
        let cared = unsafe { care(*object, now) };
        is_behind |= cared == Some(true);
        if cared.is_none() {
            // SAFETY: as above.
            unsafe { enif_release_resource(object.cast()) };
        }
        cared.is_some()
    });
    // When nobody else lets the epochs go on: a cache of a million entries may have been cleared.
    threads::collect(64);
    while let Some(garbage) = TO_DISCARD.pop() {
        drop(garbage);
        GARBAGE.fetch_sub(1, Ordering::AcqRel);
    }
    while let Some(Sent(core)) = TO_FREE.pop() {
        // SAFETY: it was taken out of its handle, and those who saw it there are done.
        drop(unsafe { Box::from_raw(core) });
        GARBAGE.fetch_sub(1, Ordering::AcqRel);
    }
    is_behind
}

/// Whether there is more to do at once; `None` where the cache was dropped. No pin lasts long,
/// since nothing that is deferred is freed meanwhile.
///
/// # Safety
/// The object must be alive.
unsafe fn care(object: *const Handle, now: u64) -> Option<bool> {
    let (is_behind, mut from) = {
        let pin = threads::pin();
        // SAFETY: the caller's promise.
        let core = unsafe { handle::core_of(object, &pin) }?;
        super::events::care(core);
        (core.maintain(now, &pin), core.sweep_from())
    };
    while let Some(at) = from {
        let pin = threads::pin();
        // SAFETY: as above.
        from = unsafe { handle::core_of(object, &pin) }?.sweep(at, now, &pin);
    }
    Some(is_behind)
}
