//! Clients that want one worker, and owners that end, at whatever point.

use crate::explore;
use crate::world::{Waited, World};
use pool_core::pool::{Config, Mode};
use shuttle::thread;
use std::sync::atomic::Ordering;

/// Handed over in order, or for whoever comes first.
const BARGING: [u64; 2] = [0, u64::MAX];

fn config(barging: u64, resets: bool) -> Config {
    Config {
        barging,
        resets,
        ..Config::default()
    }
}

/// The worker of an owner that ends while two others come: one that waits, one that gives up.
#[test]
fn a_dead_owners_worker_goes_to_one() {
    for (barging, resets) in BARGING.into_iter().zip([false, true]) {
        explore(move || {
            let world = World::new(config(barging, resets), 1);
            let held = world.wait(0);
            world.granted(0, held);
            let (waits, gives_up) = (world.clone(), world.clone());
            let waits = thread::spawn(move || {
                let waited = waits.wait(1);
                let lease = waits.granted(1, waited);
                waits.checkin(1, lease);
            });
            let gives_up = thread::spawn(move || {
                let waited = gives_up.wait(2);
                if let Some(lease) = gives_up.timed_out(2, waited) {
                    gives_up.checkin(2, lease);
                }
            });
            world.dies(0, resets);
            waits.join().unwrap();
            gives_up.join().unwrap();
            world.is_at_rest(1, &[0]);
        });
    }
}

/// It ends before, while or after it is told to look: the next one is told.
#[test]
fn who_ends_while_it_waits_is_passed_over() {
    for barging in BARGING {
        explore(move || {
            let world = World::new(config(barging, false), 1);
            let held = world.wait(0);
            let held = world.granted(0, held);
            let waiting = [1, 2].map(|owner| world.wait(owner));
            assert!(waiting.iter().all(|it| matches!(it, Waited::Waiting(_))));
            let [_, next] = waiting;
            let (gives_back, waits) = (world.clone(), world.clone());
            let gives_back = thread::spawn(move || gives_back.checkin(0, held));
            let waits = thread::spawn(move || {
                let lease = waits.granted(2, next);
                waits.checkin(2, lease);
            });
            world.dies(1, false);
            gives_back.join().unwrap();
            waits.join().unwrap();
            world.is_at_rest(1, &[1]);
        });
    }
}

/// Of two that wait one ends with what it was handed.
#[test]
fn an_owner_ends_with_what_it_was_handed() {
    for barging in BARGING {
        explore(move || {
            let world = World::new(config(barging, false), 1);
            let held = world.wait(0);
            let held = world.granted(0, held);
            let (gets_and_ends, waits) = (world.clone(), world.clone());
            let gets_and_ends = thread::spawn(move || {
                let waited = gets_and_ends.wait(1);
                gets_and_ends.granted(1, waited);
                gets_and_ends.dies(1, false);
            });
            let waits = thread::spawn(move || {
                let waited = waits.wait(2);
                let lease = waits.granted(2, waited);
                waits.checkin(2, lease);
            });
            world.checkin(0, held);
            gets_and_ends.join().unwrap();
            waits.join().unwrap();
            world.is_at_rest(1, &[1]);
        });
    }
}

/// A pool is closed while it is used and waited for.
#[test]
fn all_are_told_that_it_is_closed() {
    for barging in BARGING {
        explore(move || {
            let world = World::new(config(barging, false), 1);
            let held = world.wait(0);
            let held = world.granted(0, held);
            let [Waited::Waiting(first), Waited::Waiting(next)] = [1, 2].map(|it| world.wait(it))
            else {
                unreachable!()
            };
            let (gives_back, waits) = (world.clone(), world.clone());
            let gives_back = thread::spawn(move || {
                gives_back.checkin(0, held);
                gives_back.dies(2, false);
            });
            let waits = thread::spawn(move || {
                if let Some(lease) = waits.closed(1, first) {
                    waits.checkin(1, lease);
                }
            });
            world.close();
            gives_back.join().unwrap();
            waits.join().unwrap();
            let _ = next;
            world.is_at_rest(1, &[2]);
            assert_eq!(world.mode(), Mode::Closed);
            assert_eq!(world.unused.load(Ordering::Relaxed), 1);
        });
    }
}
