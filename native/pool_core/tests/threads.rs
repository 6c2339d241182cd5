//! Threads that use a pool at once, and die at any point: none gets what another has, none waits
//! in vain, and everything comes back.

use pool_core::choice::Strategy;
use pool_core::pool::{Answer, Config, Deferred, Effect, Pool, Shell, Want};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::{Duration, Instant};
use sync_core::combining::Combining;

struct Test;

/// Which thread, and the number of what it waits for.
type Message = (usize, u64);

impl Shell for Test {
    type Worker = usize;
    type Message = Message;
    type Watch = ();
}

const THREADS: usize = 6;
const WORKERS: usize = 3;
const ROUNDS: u64 = 20_000;
/// Nobody.
const FREE: u64 = 0;

struct Shared {
    pool: Combining<Pool<Test>>,
    began: Instant,
    /// Who has each worker.
    users: [AtomicU64; WORKERS],
    mailboxes: Vec<Sender<u64>>,
}

impl Shared {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// As a NIF that runs again when the pool is locked.
    fn with<R>(&self, mut body: impl FnMut(&mut Pool<Test>, u64) -> R) -> R {
        loop {
            if let Some((result, effects)) = self.pool.try_with(|pool| body(pool, self.now())) {
                self.run(effects);
                return result;
            }
            std::thread::yield_now();
        }
    }

    fn run(&self, effects: Vec<Effect<Test>>) {
        let mut resets = Vec::new();
        for effect in effects {
            match effect {
                // Who has come to its end gets none.
                Effect::Wake((thread, number)) => drop(self.mailboxes[thread].send(number)),
                Effect::Keeper(_, worker, _) => resets.push(worker),
                _ => (),
            }
        }
        for worker in resets {
            self.with(|pool, now| pool.bring_back(worker, now));
        }
    }

    fn got(&self, worker: usize, owner: u64) {
        let before = self.users[worker].swap(owner, Ordering::SeqCst);
        assert_eq!(before, FREE, "given twice");
    }

    fn gives_back(&self, worker: usize, owner: u64) {
        let before = self.users[worker].swap(FREE, Ordering::SeqCst);
        assert_eq!(before, owner);
    }

    fn dies(&self, owner: u64) {
        let now = self.now();
        self.run(self.pool.defer(Deferred::Died { owner, now }));
    }
}

/// A process after another, as long as each lives.
struct Process<'a> {
    shared: &'a Shared,
    thread: usize,
    owner: u64,
    mailbox: Receiver<u64>,
    number: u64,
    rng: fastrand::Rng,
    granted: u64,
}

impl Process<'_> {
    fn dies_now(&mut self) -> bool {
        self.rng.u32(..20) == 0
    }

    fn dies(&mut self) {
        self.shared.dies(self.owner);
        self.owner += THREADS as u64;
    }

    fn want(&mut self) -> Want {
        Want {
            owner: self.owner,
            priority: self.rng.u8(..4),
            key: 0,
        }
    }

    fn message(&mut self) -> Message {
        self.number += 1;
        (self.thread, self.number)
    }

    /// Until the message comes, which must not take for ever.
    fn receive(&self, until: Option<u64>) -> bool {
        loop {
            let pause = until.map(|until| until.saturating_sub(self.shared.now()));
            let pause = pause.map_or(Duration::from_secs(60), Duration::from_nanos);
            match self.mailbox.recv_timeout(pause) {
                Ok(number) if number == self.number => return true,
                // For one who has died.
                Ok(_) => (),
                Err(_) => {
                    assert!(until.is_some(), "forgotten");
                    return false;
                }
            }
        }
    }

    /// The worker that it has got, and by which lease, if it lived.
    fn wait(&mut self, deadline: Option<u64>) -> Option<(usize, u64)> {
        let (want, message) = (self.want(), self.message());
        let until = deadline.unwrap_or(u64::MAX);
        let answer = self
            .shared
            .with(|pool, now| pool.wait(want, message, until, now, |_| Some(())));
        let lease = match answer {
            Answer::Granted { worker, lease, .. } => return Some((worker, lease)),
            Answer::Waiting(lease) => lease,
            Answer::Timeout => return None,
            answer => panic!("{answer:?}"),
        };
        loop {
            if self.dies_now() {
                self.dies();
                return None;
            }
            let mut message = None;
            if self.receive(deadline) {
                if self.dies_now() {
                    self.dies();
                    return None;
                }
                message = Some(self.message());
            } else {
                match self.shared.with(|pool, now| pool.cancel(lease, now)) {
                    Answer::Timeout => return None,
                    Answer::Woken => assert!(self.receive(None)),
                    answer => panic!("{answer:?}"),
                }
            }
            match self
                .shared
                .with(|pool, now| pool.claim(lease, message, now))
            {
                Answer::Granted { worker, lease, .. } => return Some((worker, lease)),
                Answer::Wait => (),
                Answer::Timeout => return None,
                answer => panic!("{answer:?}"),
            }
        }
    }

    fn live(mut self) -> u64 {
        for _ in 0..ROUNDS {
            let deadline = match self.rng.u32(..3) {
                0 => Some(self.shared.now() + self.rng.u64(..200_000)),
                _ => None,
            };
            let Some((worker, lease)) = self.wait(deadline) else {
                continue;
            };
            self.granted += 1;
            self.shared.got(worker, self.owner);
            if self.rng.bool() {
                std::thread::yield_now();
            }
            self.shared.gives_back(worker, self.owner);
            if self.dies_now() {
                self.dies();
            } else {
                let was_lent = self
                    .shared
                    .with(|pool, now| pool.checkin(lease, false, now));
                assert!(was_lent, "taken away");
            }
        }
        self.dies();
        self.granted
    }
}

#[test]
fn threads_that_die_at_any_point() {
    for (strategy, barging) in [
        (Strategy::Lifo, 100_000),
        (Strategy::LeastLoaded, 0),
        (Strategy::P2c, 1_000_000),
    ] {
        let mut pool = Pool::new(Config {
            strategy,
            max: WORKERS as u32,
            barging,
            ..Config::default()
        });
        (0..WORKERS).for_each(|worker| assert!(pool.add(worker, u64::MAX, 0).is_some()));
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
        let shared = Shared {
            pool: Combining::new(pool),
            began: Instant::now(),
            users: [const { AtomicU64::new(FREE) }; WORKERS],
            mailboxes: senders,
        };
        let granted: u64 = std::thread::scope(|scope| {
            let shared = &shared;
            let processes = receivers
                .into_iter()
                .enumerate()
                .map(|(thread, mailbox)| Process {
                    shared,
                    thread,
                    owner: thread as u64 + 1,
                    mailbox,
                    number: 0,
                    rng: fastrand::Rng::with_seed(thread as u64),
                    granted: 0,
                });
            let threads: Vec<_> = processes
                .map(|process| scope.spawn(|| process.live()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        shared.with(|pool, _| {
            assert_eq!(pool.counts.checkouts, granted);
            assert!(pool.counts.reclaimed > 0);
            assert_eq!((pool.in_use(), pool.waiting(), pool.owners()), (0, 0, 0));
            assert_eq!((pool.idle(), pool.away()), (WORKERS as u32, 0));
        });
    }
}
