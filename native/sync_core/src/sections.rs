//! Sections: what a thread sees inside one is not freed before it leaves.
//!
//! Entering and leaving are a plain store each. The fence that such a scheme needs is paid by
//! whoever takes something away: by membarrier(2), which makes every running thread of the
//! process pass a fence, or, where the kernel lacks it, by a fence at every entry. (Desnoyers et
//! al., User-Level Implementations of Read-Copy Update, 2012, as its "sys_membarrier" flavour.)

use crate::readers::{Reader, Readers};
use crate::slots::Slots;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{compiler_fence, fence, AtomicBool, Ordering};
use std::sync::Once;

static SLOTS: Slots<Reader> = Slots::new(make);
static READERS: Readers = Readers::new(barrier);
/// Whether entries leave the fence to [`retire`]. Settled before a thread gets its slot.
static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

thread_local! {
    static OWN: Cell<*const Reader> = const { Cell::new(ptr::null()) };
}

/// While it lives, nothing is freed that was reachable when it was made. A thread has one at a
/// time.
pub struct Section {
    reader: &'static Reader,
    /// Stays on its thread.
    _here: PhantomData<*const ()>,
}

/// Asks the kernel for its barrier, as the first section else would.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| ASYMMETRIC.store(membarrier::register(), Ordering::Relaxed));
}

/// # Panics
/// Where the thread is in a section.
#[inline(always)]
pub fn enter() -> Section {
    let reader = SLOTS.own(&OWN);
    reader.enter();
    if ASYMMETRIC.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
    Section {
        reader,
        _here: PhantomData,
    }
}

impl Section {
    /// A small number that no other living thread has.
    #[inline(always)]
    pub fn thread(&self) -> usize {
        self.reader.number
    }

    /// What this thread has kept by a key; null where it has not, or where anything was retired
    /// since. What it points to is alive in this section.
    #[inline(always)]
    pub fn kept(&self, key: u64) -> *const () {
        self.reader.kept.get(key, READERS.retired())
    }

    /// Keeps a pointer for later sections of this thread.
    ///
    /// # Safety
    /// What it points into must have been looked up in this section, without asking [`Self::kept`]
    /// since, and be freed by [`retire`] alone.
    pub unsafe fn keep<T>(&self, key: u64, value: &T) {
        self.reader.kept.set(key, ptr::from_ref(value).cast());
    }
}

impl Drop for Section {
    #[inline(always)]
    fn drop(&mut self) {
        self.reader.leave();
    }
}

fn make(number: usize) -> &'static Reader {
    prepare();
    READERS.register(number)
}

fn barrier() -> bool {
    prepare();
    if ASYMMETRIC.load(Ordering::Relaxed) {
        membarrier::fence_all()
    } else {
        fence(Ordering::SeqCst);
        true
    }
}

/// Frees a box: at once, or where a thread may still see it, in a later call or [`reclaim`].
///
/// # Safety
/// `garbage` must come from `Box::into_raw`, be out of reach of all who enter from now on, and be
/// retired once.
pub unsafe fn retire<T: Send + 'static>(garbage: *mut T) {
    // SAFETY: the caller's promise.
    unsafe { READERS.retire(garbage) };
}

/// Frees what waited for threads that have left their sections since.
pub fn reclaim() {
    READERS.reclaim(usize::MAX);
}

/// Runs the body of a thread of ours, and gives its slot back at the end.
pub fn as_own_thread<R>(body: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            // SAFETY: all that comes from the slot is a section. One that the body has left behind
            // keeps whoever has the slot next from entering.
            unsafe { SLOTS.leave(&OWN) };
        }
    }
    let _leave = Leave;
    body()
}

mod membarrier {
    #[cfg(target_os = "linux")]
    fn call(command: libc::c_int) -> bool {
        // SAFETY: the call takes numbers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
    #[cfg(target_os = "linux")]
    pub fn register() -> bool {
        call(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }
    #[cfg(target_os = "linux")]
    pub fn fence_all() -> bool {
        call(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
    }
    #[cfg(not(target_os = "linux"))]
    pub fn register() -> bool {
        false
    }
    #[cfg(not(target_os = "linux"))]
    pub fn fence_all() -> bool {
        false
    }
}
