//! The one thread of what is kept of time: it tells windows and rates that time passes. It starts
//! with the first of them and ends a little after the last.

use super::handle::{Live, HISTOGRAMS};
use super::rate::{Rate, RATES};
use crate::keeper::Keeper;
use histogram_core::windows::TICK;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};
use sync_core::handles::Handles;
use sync_core::sections;

static KEEPER: Keeper = Keeper::new("erlmcp_histogram");
/// Ticks with nothing to tell after which it ends.
const PATIENCE: u32 = 8;

/// How many there are that want to be told.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Held by what wants to be told.
pub struct Kept(());

impl Kept {
    /// `None` where no thread can be started.
    pub fn new() -> Option<Self> {
        KEPT.fetch_add(1, Ordering::AcqRel);
        let kept = Kept(());
        KEEPER
            .ensure(|| sections::as_own_thread(run))
            .then_some(kept)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Milliseconds since some moment in the past; never goes back.
pub fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u64
}

fn run() {
    let mut idle = 0;
    loop {
        // Where slots begin, all at once.
        thread::sleep(Duration::from_millis(TICK - now() % TICK));
        // A panic is a defect; it must not end the care of the others.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            each(&HISTOGRAMS.handles, |live: &Live| {
                if let Some(recent) = &live.recent {
                    recent.tick(live);
                }
            });
            each(&RATES.handles, Rate::tick);
            sections::reclaim();
        }));
        let is_wanted = || KEPT.load(Ordering::Acquire) > 0;
        idle = if is_wanted() { 0 } else { idle + 1 };
        if idle > PATIENCE && KEEPER.may_end(is_wanted) {
            return;
        }
    }
}

/// Each in a section of its own, so that nothing waits long to be freed.
fn each<T: Send + Sync + 'static>(handles: &Handles<T>, body: impl Fn(&T)) {
    for handle in handles.list() {
        let section = sections::enter();
        if let Some(value) = handles.get(handle, &section) {
            body(value);
        }
    }
}
