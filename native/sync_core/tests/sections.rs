//! Sections and the threads that enter them; parts by thread.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Barrier;
use std::thread;
use sync_core::parts::Parts;
use sync_core::sections;

fn on_own_thread<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let thread = scope.spawn(|| sections::as_own_thread(body));
        thread.join().unwrap()
    })
}

struct Counts<'a>(&'a AtomicUsize);

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn threads_that_live_together_have_different_numbers_and_give_them_back() {
    let mut greatest = 0;
    for _ in 0..20 {
        let barrier = Barrier::new(8);
        let mut numbers: Vec<usize> = thread::scope(|scope| {
            let threads = [(); 8].map(|()| {
                scope.spawn(|| {
                    sections::as_own_thread(|| {
                        let number = sections::enter().thread();
                        barrier.wait();
                        assert_eq!(sections::enter().thread(), number);
                        number
                    })
                })
            });
            threads.map(|thread| thread.join().unwrap()).into()
        });
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), 8);
        greatest = greatest.max(numbers[7]);
    }
    // Of eight at a time here, and some of other tests.
    assert!(greatest < 32, "{greatest}");
}

#[test]
fn a_section_within_a_section_is_refused() {
    on_own_thread(|| {
        let outer = sections::enter();
        let inner = catch_unwind(AssertUnwindSafe(|| drop(sections::enter())));
        assert!(inner.is_err());
        drop(outer);
        drop(sections::enter());
    });
}

#[test]
fn what_nobody_sees_is_freed_at_once() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    // Other tests of this file are in sections for moments only.
    for retired in 1..=10 {
        let garbage = Box::into_raw(Box::new(Counts(&DROPPED)));
        // SAFETY: a box that nobody knows of.
        unsafe { sections::retire(garbage) };
        while DROPPED.load(Ordering::Relaxed) < retired {
            sections::reclaim();
        }
        assert_eq!(DROPPED.load(Ordering::Relaxed), retired);
    }
}

#[test]
fn garbage_waits_for_the_section_of_its_own_thread() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    on_own_thread(|| {
        let section = sections::enter();
        let garbage = Box::into_raw(Box::new(Counts(&DROPPED)));
        // SAFETY: a box that nobody knows of.
        unsafe { sections::retire(garbage) };
        sections::reclaim();
        assert_eq!(DROPPED.load(Ordering::Relaxed), 0);
        drop(section);
        let _next = sections::enter();
        while DROPPED.load(Ordering::Relaxed) == 0 {
            sections::reclaim();
        }
    });
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
}

#[test]
fn each_thread_has_a_part_and_those_beyond_share_the_last() {
    let dropped = AtomicUsize::new(0);
    let parts = Parts::new(2);
    let part = |thread| parts.own(thread, || Counts(&dropped));
    assert!(std::ptr::eq(part(0).0, part(0).0));
    assert!(!std::ptr::eq(part(0).0, part(1).0));
    assert!(std::ptr::eq(part(2).0, part(1000).0));
    assert_eq!(
        [0, 1, 2, 1000].map(|thread| part(thread).1),
        [false, false, true, true]
    );
    assert_eq!(parts.iter().count(), 3);
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    drop(parts);
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[test]
fn of_parts_made_at_once_one_is_kept() {
    for _ in 0..200 {
        let (made, dropped) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let parts = Parts::new(0);
        let seen: Vec<usize> = thread::scope(|scope| {
            let threads = [(); 3].map(|()| {
                scope.spawn(|| {
                    let (part, shared) = parts.own(5, || {
                        made.fetch_add(1, Ordering::Relaxed);
                        Counts(&dropped)
                    });
                    assert!(shared);
                    std::ptr::from_ref(part) as usize
                })
            });
            threads.map(|thread| thread.join().unwrap()).into()
        });
        assert!(seen.iter().all(|part| *part == seen[0]));
        drop(parts);
        assert_eq!(
            dropped.load(Ordering::Relaxed),
            made.load(Ordering::Relaxed)
        );
    }
}
