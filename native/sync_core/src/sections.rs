//! Sections: what a thread sees inside one is not freed before it leaves.
//!
//! Entering and leaving are a plain store each. The fence that such a scheme needs is paid by
//! whoever takes something away: by membarrier(2), which makes every running thread of the
//! process pass a fence, or, where the kernel lacks it, by a fence at every entry. (Desnoyers et
//! al., User-Level Implementations of Read-Copy Update, 2012, as its "sys_membarrier" flavour.)

use crate::slots::Slots;
use crate::sync::{fence, AtomicPtr, AtomicU64, Ordering};
use crossbeam_queue::SegQueue;
use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{compiler_fence, AtomicBool};

/// A thread that enters sections.
struct Reader {
    /// Odd inside of a section.
    sequence: CachePadded<AtomicU64>,
    number: usize,
    next: AtomicPtr<Reader>,
}

static SLOTS: Slots<Reader> = Slots::new(make);
/// All readers there ever were.
static READERS: AtomicPtr<Reader> = AtomicPtr::new(ptr::null_mut());
static WAITING: SegQueue<Waiting> = SegQueue::new();
/// Whether entries may leave the fence to [`retire`].
static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

thread_local! {
    static OWN: Cell<*const Reader> = const { Cell::new(ptr::null()) };
}

/// What was taken away, and the threads that may still see it.
struct Waiting {
    garbage: Box<dyn Send>,
    seen_by: Vec<(&'static Reader, u64)>,
}

/// While it lives, nothing is freed that was reachable when it was made. Not to be nested.
pub struct Section {
    reader: &'static Reader,
    /// Stays on its thread.
    _here: PhantomData<*const ()>,
}

/// To be called once, before the first section. Without it every entry pays for a fence.
pub fn prepare() {
    ASYMMETRIC.store(membarrier::register(), Ordering::Relaxed);
}

#[inline(always)]
pub fn enter() -> Section {
    let reader = SLOTS.own(&OWN);
    let sequence = reader.sequence.load(Ordering::Relaxed);
    debug_assert!(sequence & 1 == 0, "a section within a section");
    reader.sequence.store(sequence + 1, Ordering::Relaxed);
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
}

impl Drop for Section {
    #[inline(always)]
    fn drop(&mut self) {
        let sequence = &self.reader.sequence;
        sequence.store(sequence.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

fn make(number: usize) -> &'static Reader {
    let reader = Box::leak(Box::new(Reader {
        sequence: CachePadded::new(AtomicU64::new(0)),
        number,
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    let mut first = READERS.load(Ordering::Acquire);
    loop {
        reader.next.store(first, Ordering::Relaxed);
        match READERS.compare_exchange(first, reader, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return reader,
            Err(other) => first = other,
        }
    }
}

fn readers() -> impl Iterator<Item = &'static Reader> {
    // SAFETY: readers are never freed.
    let at = |reader: &AtomicPtr<Reader>| unsafe { reader.load(Ordering::Acquire).as_ref() };
    std::iter::successors(at(&READERS), move |reader| at(&reader.next))
}

/// Frees, at once or in a later [`reclaim`], what is out of reach of those who enter from now on.
pub fn retire(garbage: Box<dyn Send>) {
    if !ASYMMETRIC.load(Ordering::Relaxed) || !membarrier::fence_all() {
        fence(Ordering::SeqCst);
    }
    let seen_by: Vec<_> = readers()
        .filter_map(|reader| {
            let sequence = reader.sequence.load(Ordering::Acquire);
            (sequence & 1 == 1).then_some((reader, sequence))
        })
        .collect();
    if !seen_by.is_empty() {
        WAITING.push(Waiting { garbage, seen_by });
    }
}

/// Frees what waited for threads that have left their sections since.
pub fn reclaim() {
    for _ in 0..WAITING.len() {
        let Some(waiting) = WAITING.pop() else { return };
        let is_seen = waiting
            .seen_by
            .iter()
            .any(|(reader, sequence)| reader.sequence.load(Ordering::Acquire) == *sequence);
        if is_seen {
            WAITING.push(waiting);
        }
    }
}

/// Runs the body of a thread of ours, and gives its slot back at the end.
pub fn as_own_thread<R>(body: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            // SAFETY: sections do not outlive the body.
            unsafe { SLOTS.leave(&OWN) };
        }
    }
    let _leave = Leave;
    body()
}

mod membarrier {
    #[cfg(target_os = "linux")]
    fn call(command: libc::c_int) -> bool {
        // SAFETY: the call takes two numbers and touches no memory of ours.
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
