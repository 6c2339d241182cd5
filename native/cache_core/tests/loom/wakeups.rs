//! The one wake-up of a subscriber.

use crate::events::{Hub, Subscriber};
use crate::explore;
use crate::sync::{AtomicBool, Ordering};
use loom::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

type Handle = Arc<Subscriber<u32>>;

struct Fixture {
    hub: Hub<Handle>,
    /// Whether a wake-up is in the subscriber's mailbox.
    waits: AtomicBool,
    told: AtomicUsize,
}

impl Fixture {
    fn collect(&self) {
        self.hub.collect(|_: &Handle| {
            self.waits.swap(true, Ordering::AcqRel);
            self.told.fetch_add(1, SeqCst);
        });
    }

    fn publish(&self, event: u32) {
        self.hub.publish(1, 1, || event);
        self.collect();
    }
}

// SAFETY: a handle is shared between loom's threads as it is between real ones.
unsafe impl Send for Fixture {}
// SAFETY: as above.
unsafe impl Sync for Fixture {}

fn run(preemptions: usize, publishers: u32, each: u32, capacity: usize) {
    explore(preemptions, move || {
        let fixture = Arc::new(Fixture {
            hub: Hub::default(),
            waits: AtomicBool::new(false),
            told: AtomicUsize::new(0),
        });
        let subscriber: Handle = Arc::new(fixture.hub.subscriber(1, capacity));
        fixture.hub.add(subscriber.clone()).unwrap();
        let threads: Vec<_> = (0..publishers)
            .map(|publisher| {
                let fixture = Arc::clone(&fixture);
                loom::thread::spawn(move || {
                    for event in 0..each {
                        fixture.publish(publisher * each + event);
                    }
                })
            })
            .collect();
        let mut received = Vec::new();
        fixture.waits.swap(false, Ordering::AcqRel);
        let more = subscriber.pull(9, |event| received.push(event));
        assert!(!more);
        for thread in threads {
            thread.join().unwrap();
        }
        fixture.collect();
        let early = received.len();
        let has_wake_up = fixture.waits.swap(false, Ordering::AcqRel);
        subscriber.pull(9, |event| received.push(event));
        assert!(received.len() == early || has_wake_up, "nobody was told");
        assert!(fixture.told.load(SeqCst) <= 2, "told more than once");
        received.sort();
        received.dedup();
        let dropped = subscriber.take_dropped() as u32;
        assert_eq!(received.len() as u32 + dropped, publishers * each);
    });
}

#[test]
fn one_publisher() {
    run(5, 1, 2, 8);
}

#[test]
fn two_publishers() {
    run(2, 2, 1, 8);
}

#[test]
fn a_full_queue() {
    run(3, 1, 2, 1);
}
