//! Compute once.

use crate::flight::{Begin, Flights};
use crate::{again, explore};
use loom::sync::{Arc, Mutex};

type All = Flights<u32, Vec<u32>>;

const KEY: &[u8] = b"k";
const OTHER: &[u8] = b"o";

fn begin(flights: &All, key: &[u8], me: u32, after: Option<u64>, dead: &[u32]) -> Begin<u32> {
    let is_dead = |runner: &u32| dead.contains(runner);
    again(|| flights.begin(1, || key.into(), |other| other == key, me, after, is_dead))
}

fn run_at_once(flights: &All, me: u32) -> u64 {
    match begin(flights, KEY, me, None, &[]) {
        Begin::Run(ticket) => ticket.id,
        Begin::Wait { .. } => panic!("there is nobody to wait for"),
    }
}

/// Of several who fetch a key, whoever waits is handed to who runs.
#[test]
fn who_waits_is_handed_over() {
    explore(3, || {
        let flights: Arc<All> = Arc::new(Flights::new(1));
        let fetch = |me: u32| {
            let flights = Arc::clone(&flights);
            move || {
                let mut waits = false;
                let mut answered = Vec::new();
                // Whoever finds the flight ended asks again, of two only once.
                loop {
                    match begin(&flights, KEY, me, None, &[]) {
                        Begin::Run(ticket) => {
                            answered = again(|| flights.end(ticket.id)).expect("nobody took over");
                            break;
                        }
                        Begin::Wait { runner, id } => {
                            assert_ne!(runner, me);
                            if again(|| flights.join(id, |waiters| waiters.push(me))).is_some() {
                                waits = true;
                                break;
                            }
                        }
                    }
                }
                (waits.then_some(me), answered)
            }
        };
        let other = loom::thread::spawn(fetch(1));
        let (waits_here, answered_here) = fetch(2)();
        let (waits_there, answered_there) = other.join().unwrap();
        let waiting: Vec<u32> = waits_here.into_iter().chain(waits_there).collect();
        let answered: Vec<u32> = answered_here.into_iter().chain(answered_there).collect();
        assert_eq!(waiting, answered);
        assert!(again(|| flights.is_empty()));
    });
}

/// Of those who saw a runner die exactly one takes its place, whether or not the flight has been
/// cleared away meanwhile.
#[test]
fn one_takes_over() {
    explore(4, || {
        let flights: Arc<All> = Arc::new(Flights::new(1));
        let id = run_at_once(&flights, 1);
        let retry = move |flights: &All, me: u32| {
            usize::from(matches!(
                begin(flights, KEY, me, Some(id), &[1]),
                Begin::Run(_)
            ))
        };
        let other = {
            let flights = Arc::clone(&flights);
            loom::thread::spawn(move || {
                flights.abandon(id);
                retry(&flights, 2)
            })
        };
        let runs = retry(&flights, 3);
        assert_eq!(runs + other.join().unwrap(), 1);
        assert_eq!(again(|| flights.len()), 1);
    });
}

/// What is abandoned while another has the lock is gone as soon as somebody has it next.
#[test]
fn what_is_abandoned_goes() {
    explore(4, || {
        let flights: Arc<All> = Arc::new(Flights::new(1));
        let id = run_at_once(&flights, 1);
        let other = {
            let flights = Arc::clone(&flights);
            loom::thread::spawn(move || match begin(&flights, OTHER, 2, None, &[]) {
                Begin::Run(ticket) => flights.abandon(ticket.id),
                Begin::Wait { .. } => panic!("there is nobody to wait for"),
            })
        };
        flights.abandon(id);
        other.join().unwrap();
        assert!(again(|| flights.is_empty()));
    });
}

/// A value that was read before a change does not remain after it.
#[test]
fn no_older_result_is_stored() {
    explore(4, || {
        let flights: Arc<All> = Arc::new(Flights::new(1));
        let source = Arc::new(Mutex::new(0));
        let cached = Arc::new(Mutex::new(None));
        let runner = {
            let (flights, source, cached) = (flights.clone(), source.clone(), cached.clone());
            loom::thread::spawn(move || {
                let Begin::Run(ticket) = begin(&flights, KEY, 1, None, &[]) else {
                    panic!("there is nobody to wait for");
                };
                let value = *source.lock().unwrap();
                let mut cached = cached.lock().unwrap();
                if !ticket.mark.is_superseded() {
                    *cached = Some(value);
                }
                drop(cached);
                again(|| flights.end(ticket.id))
            })
        };
        *source.lock().unwrap() = 1;
        again(|| flights.supersede(1, |other| other == KEY));
        *cached.lock().unwrap() = None;
        assert!(runner.join().unwrap().is_some());
        assert_ne!(*cached.lock().unwrap(), Some(0));
    });
}

/// As above, where another takes over from a runner whose result comes all the same.
#[test]
fn no_result_of_an_earlier_runner_is_stored() {
    explore(3, || {
        let flights: Arc<All> = Arc::new(Flights::new(1));
        let cached = Arc::new(Mutex::new(None));
        let Begin::Run(first) = begin(&flights, KEY, 1, None, &[]) else {
            panic!("there is nobody to wait for");
        };
        let successor = {
            let (flights, cached, id) = (flights.clone(), cached.clone(), first.id);
            loom::thread::spawn(move || {
                let Begin::Run(ticket) = begin(&flights, KEY, 2, Some(id), &[1]) else {
                    panic!("the runner is dead");
                };
                again(|| flights.supersede(1, |other| other == KEY));
                *cached.lock().unwrap() = None;
                ticket
            })
        };
        let mut guard = cached.lock().unwrap();
        if !first.mark.is_superseded() {
            *guard = Some(1);
        }
        drop(guard);
        let second = successor.join().unwrap();
        assert!(second.mark.is_superseded() && first.mark.is_superseded());
        assert_eq!(*cached.lock().unwrap(), None);
    });
}
