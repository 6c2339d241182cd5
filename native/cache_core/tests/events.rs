//! The queues of subscribers.

use cache_core::events::{Hub, Refused, Subscriber, KEY_BYTES, SUBSCRIBERS};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

type Handle = Arc<Subscriber<u64>>;

#[derive(Default)]
struct Fixture {
    hub: Hub<Handle>,
    told: AtomicUsize,
}

impl Fixture {
    fn add(&self, kinds: u8, capacity: usize) -> Handle {
        let subscriber = Arc::new(self.hub.subscriber(kinds, capacity));
        self.hub.add(subscriber.clone()).unwrap();
        subscriber
    }

    fn collect(&self) {
        self.hub.collect(|_: &Handle| {
            self.told.fetch_add(1, SeqCst);
        });
    }

    /// The number of wake-ups that this led to.
    fn publish(&self, kind: u8, event: u64) -> usize {
        let before = self.told.load(SeqCst);
        if self.hub.wants(kind) {
            self.hub.publish(kind, 1, || event);
        }
        self.collect();
        self.told.load(SeqCst) - before
    }
}

fn pull(subscriber: &Handle, max: usize) -> (Vec<u64>, bool) {
    let mut events = Vec::new();
    let more = subscriber.pull(max, |event| events.push(event));
    (events, more)
}

#[test]
fn tells_once_until_the_queue_was_found_empty() {
    let fixture = Fixture::default();
    let subscriber = fixture.add(1, 8);
    assert_eq!(fixture.publish(1, 10), 1);
    assert_eq!(fixture.publish(1, 11), 0);
    assert_eq!(pull(&subscriber, 1), (vec![10], true));
    assert_eq!(fixture.publish(1, 12), 0);
    assert_eq!(pull(&subscriber, 2), (vec![11, 12], true));
    assert_eq!(pull(&subscriber, 1), (vec![], false));
    assert_eq!(fixture.publish(1, 13), 1);
    assert_eq!(pull(&subscriber, 9), (vec![13], false));
}

#[test]
fn gives_each_the_kinds_that_it_wants() {
    let fixture = Fixture::default();
    assert!(!fixture.hub.wants(255));
    let one = fixture.add(1, 8);
    let both = fixture.add(3, 8);
    assert!(fixture.hub.wants(2) && !fixture.hub.wants(4));
    assert_eq!(fixture.publish(1, 1), 2);
    assert_eq!(fixture.publish(2, 2), 0);
    assert_eq!(fixture.publish(4, 3), 0);
    assert_eq!(pull(&one, 9), (vec![1], false));
    assert_eq!(pull(&both, 9), (vec![1, 2], false));
}

#[test]
fn counts_what_finds_no_room() {
    let fixture = Fixture::default();
    let subscriber = fixture.add(1, 3);
    for event in 0..10 {
        fixture.publish(1, event);
    }
    assert_eq!(subscriber.take_dropped(), 7);
    assert_eq!(subscriber.take_dropped(), 0);
    assert_eq!(pull(&subscriber, 9), (vec![0, 1, 2], false));
    fixture.publish(1, 10);
    assert_eq!(subscriber.take_dropped(), 0);
    assert_eq!(pull(&subscriber, 9), (vec![10], false));
}

#[test]
fn large_keys_fill_a_queue_too() {
    let fixture = Fixture::default();
    let subscriber = fixture.add(1, 1000);
    for event in 0..6 {
        fixture.hub.publish(1, KEY_BYTES / 4, || event);
    }
    assert_eq!(subscriber.take_dropped(), 2);
    assert_eq!(pull(&subscriber, 9), (vec![0, 1, 2, 3], false));
    fixture.hub.publish(1, KEY_BYTES, || 6);
    assert_eq!(pull(&subscriber, 9), (vec![6], false));
}

#[test]
fn a_closed_subscriber_goes_at_the_next_sweep() {
    let fixture = Fixture::default();
    let first = fixture.add(1, 8);
    let second = fixture.add(2, 8);
    fixture.publish(1, 1);
    first.close();
    assert_eq!(fixture.publish(1, 2), 0);
    assert_eq!(pull(&first, 9), (vec![1], false));
    assert_eq!(Arc::strong_count(&first), 2);
    fixture.hub.sweep().unwrap();
    assert_eq!(Arc::strong_count(&first), 1);
    assert_eq!(Arc::strong_count(&second), 2);
    assert!(!fixture.hub.wants(1) && fixture.hub.wants(2));
}

#[test]
fn subscribers_are_limited() {
    let fixture = Fixture::default();
    let all: Vec<_> = (0..SUBSCRIBERS).map(|_| fixture.add(1, 1)).collect();
    let more: Handle = Arc::new(fixture.hub.subscriber(1, 1));
    assert_eq!(fixture.hub.add(more.clone()), Err(Refused::Full));
    all[7].close();
    fixture.hub.add(more).unwrap();
}

/// Every event arrives or is counted, each in its publisher's order, and a reader who asks only
/// when it was told misses none.
#[test]
fn nothing_is_lost_between_threads() {
    const PUBLISHERS: u64 = 3;
    const EVENTS: u64 = 50_000;
    let fixture = Fixture::default();
    let subscriber = fixture.add(1, 64);
    let (received, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    let read = || {
        let mut last = [None; PUBLISHERS as usize];
        let mut wake_ups = 0;
        loop {
            let is_done = done.load(SeqCst);
            if fixture.told.load(SeqCst) == wake_ups {
                if is_done {
                    return;
                }
                std::thread::yield_now();
                continue;
            }
            wake_ups += 1;
            while subscriber.pull(16, |event| {
                let (publisher, number) = ((event >> 32) as usize, event & 0xFFFF_FFFF);
                assert!(last[publisher].is_none_or(|last| last < number));
                last[publisher] = Some(number);
                received.fetch_add(1, SeqCst);
            }) {}
            dropped.fetch_add(subscriber.take_dropped(), SeqCst);
        }
    };
    let publish = |publisher: u64| {
        for event in 0..EVENTS {
            fixture.publish(1, publisher << 32 | event);
        }
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(read);
        let publish = &publish;
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| scope.spawn(move || publish(publisher)))
            .collect();
        for thread in publishers {
            thread.join().unwrap();
        }
        // One that could not read the list left its wake-up to the next.
        fixture.collect();
        done.store(true, SeqCst);
        reader.join().unwrap();
    });
    dropped.fetch_add(subscriber.take_dropped(), SeqCst);
    let sum = received.load(SeqCst) + dropped.load(SeqCst);
    assert_eq!(sum, PUBLISHERS * EVENTS);
    assert_eq!(pull(&subscriber, 1), (vec![], false));
}
