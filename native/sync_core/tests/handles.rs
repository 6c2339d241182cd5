//! Handles: what is stale or forged leads nowhere, and nothing is freed while it is seen.

use std::collections::HashSet;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use sync_core::handles::Handles;
use sync_core::sections;

/// Is alive until it is dropped, and counts that.
struct Tracked {
    state: AtomicU64,
    handle: u64,
    dropped: &'static AtomicUsize,
}

const ALIVE: u64 = 0xA11F_E000_A11F_E000;

impl Tracked {
    fn new(handle: u64, dropped: &'static AtomicUsize) -> Self {
        Tracked {
            state: AtomicU64::new(ALIVE),
            handle,
            dropped,
        }
    }

    fn check(&self) {
        assert_eq!(self.state.load(Ordering::Relaxed), ALIVE, "freed, but seen");
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        assert_eq!(*self.state.get_mut(), ALIVE, "dropped twice");
        self.state.store(0, Ordering::Relaxed);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn get<T: Copy + Send + Sync + 'static>(handles: &Handles<T>, handle: u64) -> Option<T> {
    handles.get(handle, &sections::enter()).copied()
}

#[test]
fn a_handle_leads_to_its_value_until_it_is_removed() {
    static HANDLES: Handles<u32> = Handles::new(1);
    let handles: Vec<u64> = (0..1000)
        .map(|value| HANDLES.insert(|_| value).unwrap())
        .collect();
    assert_eq!(HANDLES.list(), handles);
    for (value, &handle) in handles.iter().enumerate() {
        assert!(handle < 1 << 59);
        assert_eq!(get(&HANDLES, handle), Some(value as u32));
    }
    assert!(HANDLES.remove(handles[500]));
    assert!(!HANDLES.remove(handles[500]));
    assert_eq!(get(&HANDLES, handles[500]), None);
    assert_eq!(get(&HANDLES, handles[501]), Some(501));
    assert_eq!(HANDLES.list().len(), 999);
}

#[test]
fn the_place_of_a_removed_one_is_used_again_under_another_handle() {
    static HANDLES: Handles<u32> = Handles::new(2);
    let mut seen = HashSet::new();
    for value in 0..10_000 {
        let handle = HANDLES
            .insert(|handle| {
                assert!(seen.insert(handle), "given out twice");
                value
            })
            .unwrap();
        assert_eq!(handle & 0xFF_FFFF, 0, "the place was not used again");
        assert!(HANDLES.remove(handle));
    }
    let last = HANDLES.insert(|_| 0).unwrap();
    assert!(seen.iter().all(|&stale| get(&HANDLES, stale).is_none()));
    assert!(seen.iter().all(|&stale| !HANDLES.remove(stale)));
    assert_eq!(get(&HANDLES, last), Some(0));
}

#[test]
fn forged_handles_lead_nowhere() {
    static HANDLES: Handles<u32> = Handles::new(3);
    static OTHERS: Handles<u32> = Handles::new(4);
    let handle = HANDLES.insert(|_| 7).unwrap();
    let other = OTHERS.insert(|_| 8).unwrap();
    let forged = (0..64).map(|bit| handle ^ 1 << bit).chain([
        0,
        1,
        u64::MAX,
        (1 << 59) - 1,
        other,
        handle + 1,
        0xFF_FFFF,
    ]);
    for forged in forged {
        assert_eq!(get(&HANDLES, forged), None, "{forged:x}");
        assert!(!HANDLES.remove(forged), "{forged:x}");
    }
    assert_eq!(get(&OTHERS, handle), None);
    assert_eq!(get(&HANDLES, handle), Some(7));
}

#[test]
fn a_value_that_is_seen_is_dropped_later() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    static HANDLES: Handles<Tracked> = Handles::new(5);
    let handle = HANDLES
        .insert(|handle| Tracked::new(handle, &DROPPED))
        .unwrap();
    let steps = Arc::new(Barrier::new(2));
    let reader = {
        let steps = Arc::clone(&steps);
        thread::spawn(move || {
            sections::as_own_thread(|| {
                let section = sections::enter();
                let value = HANDLES.get(handle, &section).unwrap();
                steps.wait(); // seen
                steps.wait(); // removed
                value.check();
                drop(section);
                steps.wait(); // left
            })
        })
    };
    steps.wait();
    assert!(HANDLES.remove(handle));
    for _ in 0..10 {
        sections::reclaim();
    }
    assert_eq!(DROPPED.load(Ordering::Relaxed), 0);
    steps.wait();
    steps.wait();
    while DROPPED.load(Ordering::Relaxed) == 0 {
        // Another test may be at it.
        sections::reclaim();
    }
    reader.join().unwrap();
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
}

#[test]
fn threads_insert_and_remove_while_others_look() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    static HANDLES: Handles<Tracked> = Handles::new(6);
    const EACH: usize = 20_000;
    const WRITERS: usize = 3;
    let shown: Arc<[AtomicU64; 64]> = Arc::new([const { AtomicU64::new(0) }; 64]);
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (shown, is_over) = (Arc::clone(&shown), Arc::clone(&is_over));
            thread::spawn(move || {
                sections::as_own_thread(|| {
                    let mut found = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        for handle in &*shown {
                            let handle = handle.load(Ordering::Relaxed);
                            let section = sections::enter();
                            if let Some(value) = HANDLES.get(handle, &section) {
                                for _ in 0..50 {
                                    value.check();
                                    spin_loop();
                                }
                                assert_eq!(value.handle, handle);
                                found += 1;
                            }
                        }
                        for handle in HANDLES.list() {
                            let section = sections::enter();
                            if let Some(value) = HANDLES.get(handle, &section) {
                                value.check();
                            }
                        }
                    }
                    found
                })
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let shown = Arc::clone(&shown);
            thread::spawn(move || {
                sections::as_own_thread(|| {
                    for count in 0..EACH {
                        let handle = HANDLES
                            .insert(|handle| Tracked::new(handle, &DROPPED))
                            .unwrap();
                        // Two threads may be about to remove the same: one of them does.
                        let place = &shown[(count * 7 + writer) % shown.len()];
                        let before = place.swap(handle, Ordering::Relaxed);
                        if before != 0 {
                            assert!(HANDLES.remove(before));
                            assert!(!HANDLES.remove(before));
                        }
                    }
                })
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    assert_eq!(HANDLES.list().len(), 64);
    for handle in &*shown {
        assert!(HANDLES.remove(handle.load(Ordering::Relaxed)));
    }
    while DROPPED.load(Ordering::Relaxed) < WRITERS * EACH {
        sections::reclaim();
    }
    assert_eq!(DROPPED.load(Ordering::Relaxed), WRITERS * EACH);
    assert!(HANDLES.list().is_empty());
}

#[test]
fn of_several_that_remove_one_does() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    static HANDLES: Handles<Tracked> = Handles::new(7);
    for round in 1..=300 {
        let handle = HANDLES
            .insert(|handle| Tracked::new(handle, &DROPPED))
            .unwrap();
        let removed: usize = thread::scope(|scope| {
            let threads = [(); 3].map(|()| {
                scope.spawn(|| sections::as_own_thread(|| usize::from(HANDLES.remove(handle))))
            });
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert_eq!(removed, 1);
        while DROPPED.load(Ordering::Relaxed) < round {
            sections::reclaim();
        }
        assert_eq!(DROPPED.load(Ordering::Relaxed), round);
    }
}

/// An integer that was not given out leads nowhere, though it be near one that was.
#[test]
fn neighbours_are_not_told_by_a_handle() {
    static HANDLES: Handles<u64> = Handles::new(5);
    const INDEX: u64 = (1 << 24) - 1;
    let given: Vec<u64> = (0..1000)
        .map(|number| HANDLES.insert(|_| number).unwrap())
        .collect();
    let section = sections::enter();
    let mut led = 0;
    for handle in &given {
        for index in 0..1000 {
            let forged = handle & !INDEX | index;
            led += usize::from(HANDLES.get(forged, &section).is_some());
        }
    }
    // Each to itself; by chance one other in some thousands of such tests.
    assert!((1000..1003).contains(&led), "{led}");
}
