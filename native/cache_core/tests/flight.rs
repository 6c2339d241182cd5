//! Compute once: against a naive model, and with many threads.

use cache_core::flight::{Begin, Flights, Ticket};
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};

type Waiters = Vec<u32>;

/// Few hashes, so that different keys collide.
fn hash(key: u8) -> u64 {
    u64::from(key % 3) << 57 | u64::from(key % 2)
}

#[derive(Clone, Debug)]
enum Op {
    Begin { key: u8 },
    Die { nth: usize },
    Retry { key: u8, nth: usize },
    Join { nth: usize, waiter: u32 },
    Leave { nth: usize, waiter: u32 },
    Adopt { nth: usize },
    End { nth: usize },
    Abandon { nth: usize },
    Supersede { key: u8 },
    SupersedeAll { below: u8 },
    Cancel { nth: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let (key, nth, waiter) = (|| 0..6_u8, || 0..8_usize, || 0..4_u32);
    prop_oneof![
        4 => key().prop_map(|key| Op::Begin { key }),
        2 => nth().prop_map(|nth| Op::Die { nth }),
        2 => (key(), nth()).prop_map(|(key, nth)| Op::Retry { key, nth }),
        3 => (nth(), waiter()).prop_map(|(nth, waiter)| Op::Join { nth, waiter }),
        1 => (nth(), waiter()).prop_map(|(nth, waiter)| Op::Leave { nth, waiter }),
        1 => nth().prop_map(|nth| Op::Adopt { nth }),
        3 => nth().prop_map(|nth| Op::End { nth }),
        1 => nth().prop_map(|nth| Op::Abandon { nth }),
        2 => key().prop_map(|key| Op::Supersede { key }),
        1 => key().prop_map(|below| Op::SupersedeAll { below }),
        1 => nth().prop_map(|nth| Op::Cancel { nth }),
    ]
}

/// What a flight is, in the plainest terms.
struct Flight {
    ticket: Ticket,
    key: u8,
    runner: u32,
    waiters: Waiters,
    superseded: bool,
    ended: bool,
}

impl Flight {
    fn is_wanted(&self) -> bool {
        !self.superseded && !self.ended
    }
}

struct Both {
    flights: Flights<u32, Waiters>,
    model: Vec<Flight>,
    dead: HashSet<u32>,
    runners: u32,
}

impl Both {
    fn nth(&mut self, nth: usize) -> Option<&mut Flight> {
        let len = self.model.len();
        (len > 0).then(|| &mut self.model[nth % len])
    }

    fn begin(&mut self, key: u8, after: Option<u64>) {
        self.runners += 1;
        let (me, dead) = (self.runners, &self.dead);
        let same = |bytes: &[u8]| bytes == [key];
        let begun = self
            .flights
            .begin(
                hash(key),
                || [key].into(),
                same,
                me,
                after,
                |runner| dead.contains(runner),
            )
            .unwrap();
        let current =
            (self.model.iter_mut()).find(|flight| flight.key == key && flight.is_wanted());
        if let Some(flight) = current {
            if after != Some(flight.ticket.id) || !dead.contains(&flight.runner) {
                let Begin::Wait { runner, id } = begun else {
                    panic!("two flights of one key");
                };
                assert_eq!((runner, id), (flight.runner, flight.ticket.id));
                return;
            }
            flight.superseded = true;
            flight.ended = true;
        }
        let Begin::Run(ticket) = begun else {
            panic!("there is nobody to wait for");
        };
        assert!(self.model.iter().all(|other| other.ticket.id != ticket.id));
        self.model.push(Flight {
            ticket,
            key,
            runner: me,
            waiters: Vec::new(),
            superseded: false,
            ended: false,
        });
    }

    fn supersede(&mut self, is: impl Fn(&Flight) -> bool) {
        for flight in &mut self.model {
            if flight.is_wanted() && is(flight) {
                flight.superseded = true;
            }
        }
    }

    fn step(&mut self, op: Op) -> Option<()> {
        match op {
            Op::Begin { key } => self.begin(key, None),
            Op::Retry { key, nth } => {
                let after = self.nth(nth).map(|flight| flight.ticket.id);
                self.begin(key, after);
            }
            Op::Die { nth } => {
                let runner = self.nth(nth)?.runner;
                self.dead.insert(runner);
            }
            Op::Join { nth, waiter } => {
                let id = self.nth(nth)?.ticket.id;
                let entered = self.flights.join(id, |waiters| waiters.push(waiter));
                let flight = self.nth(nth)?;
                assert_eq!(entered, Ok(flight.is_wanted().then_some(())));
                if flight.is_wanted() {
                    flight.waiters.push(waiter);
                }
            }
            Op::Leave { nth, waiter } => {
                let id = self.nth(nth)?.ticket.id;
                let go = |waiters: &mut Waiters| waiters.retain(|other| *other != waiter);
                let left = self.flights.leave(id, go);
                let flight = self.nth(nth)?;
                assert_eq!(left, Ok((!flight.ended).then_some(())));
                go(&mut flight.waiters);
            }
            Op::Adopt { nth } => {
                let id = self.nth(nth)?.ticket.id;
                self.runners += 1;
                let adopter = self.runners;
                let adopted = self.flights.adopt(id, adopter);
                let flight = self.nth(nth)?;
                assert_eq!(adopted, Ok(!flight.ended));
                flight.runner = adopter;
            }
            Op::End { nth } => {
                let id = self.nth(nth)?.ticket.id;
                let waiters = self.flights.end(id);
                let flight = self.nth(nth)?;
                assert_eq!(waiters, Ok((!flight.ended).then(|| flight.waiters.clone())));
                flight.ended = true;
            }
            Op::Abandon { nth } => {
                let id = self.nth(nth)?.ticket.id;
                self.flights.abandon(id);
                self.nth(nth)?.ended = true;
            }
            Op::Supersede { key } => {
                let same = |bytes: &[u8]| bytes == [key];
                self.flights.supersede(hash(key), same).unwrap();
                self.supersede(|flight| flight.key == key);
            }
            Op::SupersedeAll { below } => {
                self.flights.supersede_all(|key| key < &[below]).unwrap();
                self.supersede(|flight| flight.key < below);
            }
            Op::Cancel { nth } => {
                let id = self.nth(nth)?.ticket.id;
                let cancelled = self.flights.cancel(id, Vec::is_empty);
                let flight = self.nth(nth)?;
                let is_idle = flight.ended || flight.waiters.is_empty();
                assert_eq!(cancelled, Ok(is_idle));
                flight.ended |= is_idle;
            }
        }
        Some(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn does_what_the_model_does(parts in 1..5_usize, ops in prop::collection::vec(op(), 0..80)) {
        let mut both = Both {
            flights: Flights::new(parts),
            model: Vec::new(),
            dead: HashSet::new(),
            runners: 0,
        };
        for op in ops {
            let _ = both.step(op);
            for flight in &both.model {
                prop_assert_eq!(flight.ticket.mark.is_superseded(), flight.superseded);
            }
            let alive = both.model.iter().filter(|flight| !flight.ended).count();
            prop_assert_eq!(both.flights.len(), Ok(alive));
        }
    }
}

/// Tries until the lock is had, as the shell does by scheduling itself anew.
fn again<T, B>(mut attempt: impl FnMut() -> Result<T, B>) -> T {
    loop {
        if let Ok(answer) = attempt() {
            return answer;
        }
        std::thread::yield_now();
    }
}

/// Callers on several threads, some of which die while they run.
struct Callers {
    flights: Flights<u32, Waiters>,
    running: [AtomicUsize; Callers::KEYS as usize],
    runs: AtomicU64,
    answered: Mutex<HashSet<u32>>,
    dead: Mutex<HashSet<u32>>,
}

impl Callers {
    const KEYS: u32 = 3;

    fn is_dead(&self, caller: u32) -> bool {
        self.dead.lock().unwrap().contains(&caller)
    }

    fn run(&self, me: u32, ticket: &Ticket, dies: bool) {
        let running = &self.running[(me % Self::KEYS) as usize];
        assert_eq!(running.fetch_add(1, SeqCst), 0, "two run at once");
        self.runs.fetch_add(1, SeqCst);
        std::thread::yield_now();
        running.fetch_sub(1, SeqCst);
        if dies {
            self.dead.lock().unwrap().insert(me);
            self.flights.abandon(ticket.id);
        } else if let Some(waiters) = again(|| self.flights.end(ticket.id)) {
            self.answered.lock().unwrap().extend(waiters);
        }
    }

    /// Whether an answer came; otherwise the runner is dead.
    fn wait(&self, me: u32, runner: u32) -> bool {
        loop {
            let is_dead = self.is_dead(runner);
            // Answers that were sent before the death come before it.
            if self.answered.lock().unwrap().remove(&me) {
                return true;
            }
            if is_dead {
                return false;
            }
            std::thread::yield_now();
        }
    }

    fn fetch(&self, me: u32, dies: bool) {
        let key = [(me % Self::KEYS) as u8];
        let same = |bytes: &[u8]| bytes == key;
        let mut after = None;
        loop {
            let is_dead = |runner: &u32| self.is_dead(*runner);
            let begin = || {
                self.flights
                    .begin(hash(key[0]), || key.into(), same, me, after, is_dead)
            };
            match again(begin) {
                Begin::Run(ticket) => return self.run(me, &ticket, dies),
                Begin::Wait { runner, id } => {
                    let enter = |waiters: &mut Waiters| waiters.push(me);
                    after = match again(|| self.flights.join(id, enter)) {
                        None => None,
                        Some(()) if self.wait(me, runner) => return,
                        Some(()) => Some(id),
                    };
                }
            }
        }
    }
}

/// At most one runs a key at a time, whoever waits is answered or sees the death, and nothing
/// remains.
#[test]
fn many_threads() {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 4_000;
    let callers = Callers {
        flights: Flights::new(2),
        running: Default::default(),
        runs: AtomicU64::new(0),
        answered: Mutex::default(),
        dead: Mutex::default(),
    };
    let barrier = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (callers, barrier) = (&callers, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for round in 0..ROUNDS {
                    let me = round * THREADS + thread;
                    callers.fetch(me, me.is_multiple_of(7));
                }
            });
        }
    });
    callers.flights.sweep();
    assert_eq!(callers.flights.is_empty(), Ok(true));
    let runs = callers.runs.load(SeqCst);
    assert!(runs > 0 && runs <= u64::from(THREADS * ROUNDS));
}

/// What was read before a change of its key never remains after it.
#[test]
fn no_older_result_is_stored() {
    const ROUNDS: u64 = 20_000;
    let flights: Flights<u32, Waiters> = Flights::new(1);
    let source = AtomicU64::new(0);
    let cached: Mutex<Option<u64>> = Mutex::new(None);
    let done = AtomicBool::new(false);
    let same = |bytes: &[u8]| bytes == b"k";
    std::thread::scope(|scope| {
        for runner in 0..2 {
            let (flights, source, cached, done) = (&flights, &source, &cached, &done);
            scope.spawn(move || {
                while !done.load(SeqCst) {
                    let begin =
                        || flights.begin(1, || b"k"[..].into(), same, runner, None, |_| false);
                    let Begin::Run(ticket) = again(begin) else {
                        continue;
                    };
                    let value = source.load(SeqCst);
                    let mut cached = cached.lock().unwrap();
                    if !ticket.mark.is_superseded() {
                        *cached = Some(value);
                    }
                    drop(cached);
                    again(|| flights.end(ticket.id));
                }
            });
        }
        for round in 1..=ROUNDS {
            source.store(round, SeqCst);
            again(|| flights.supersede(1, same));
            *cached.lock().unwrap() = None;
            std::thread::yield_now();
            let seen = *cached.lock().unwrap();
            assert!(seen.is_none_or(|seen| seen >= round));
        }
        done.store(true, SeqCst);
    });
}

#[test]
fn keys_of_one_hash_have_flights_of_their_own() {
    let flights: Flights<u32, Waiters> = Flights::new(8);
    let runs = |key: &'static [u8]| {
        let begun = flights.begin(5, || key.into(), |other| other == key, 1, None, |_| false);
        matches!(begun.unwrap(), Begin::Run(_))
    };
    assert!(runs(b"a") && runs(b"b"));
    assert!(!runs(b"a") && !runs(b"b"));
    flights.supersede(5, |other| other == b"a").unwrap();
    assert!(runs(b"a") && !runs(b"b"));
    assert_eq!(flights.len(), Ok(3));
}
