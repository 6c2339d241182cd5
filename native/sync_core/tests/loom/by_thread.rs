//! Parts: of those that threads make at once for one place, one is kept, and seen whole.

use crate::explore;
use crate::parts::Parts;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

struct Part {
    /// Written before the part is shown: loom notices if it is read before.
    number: UnsafeCell<usize>,
    dropped: Arc<AtomicUsize>,
}

// SAFETY: the number is not written after the part was shown.
unsafe impl Sync for Part {}

impl Drop for Part {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
    }
}

#[test]
fn one_part_is_kept() {
    explore(4, || {
        let parts = Arc::new(Parts::new(1));
        let (made, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let own = {
            let (parts, made) = (Arc::clone(&parts), Arc::clone(&made));
            let dropped = Arc::clone(&dropped);
            move |thread| {
                let (part, shared) = parts.own(thread, || Part {
                    number: UnsafeCell::new(1 + made.fetch_add(1, SeqCst)),
                    dropped: Arc::clone(&dropped),
                });
                assert_eq!(shared, thread > 0);
                // SAFETY: nobody writes it any more.
                part.number.with(|number| unsafe { *number })
            }
        };
        let threads = [1, 7].map(|thread| {
            let own = own.clone();
            loom::thread::spawn(move || own(thread))
        });
        // Whoever looks sees whole parts only.
        for part in parts.iter() {
            // SAFETY: as above.
            assert!(part.number.with(|number| unsafe { *number }) > 0);
        }
        let [one, other] = threads.map(|thread| thread.join().unwrap());
        assert_eq!(one, other, "each has a part of its own");
        drop(own);
        assert_eq!(parts.iter().count(), 1);
        drop(parts);
        assert_eq!(dropped.load(SeqCst), made.load(SeqCst));
    });
}
