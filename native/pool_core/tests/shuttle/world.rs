//! A pool with what is around it: who has its workers, the mailboxes of those who wait, a keeper.

use crate::combining::{Combine, Combining};
use pool_core::pool::{Answer, Config, Deferred, Effect, Mode, Pool, Shell, Want, Why};
use shuttle::sync::{Arc, Condvar, Mutex};
use std::sync::atomic::{AtomicU32, Ordering};

/// Time stands still.
pub const NOW: u64 = 1_000;

pub struct Model;

impl Shell for Model {
    type Worker = u32;
    /// Whose mailbox.
    type Message = u64;
    type Watch = ();
}

pub struct Locked(Pool<Model>);

impl Combine for Locked {
    type Deferred = Deferred;
    type Effect = Effect<Model>;

    fn apply(&mut self, deferred: Deferred) {
        sync_core::combining::Combine::apply(&mut self.0, deferred);
    }
    fn effects(&mut self) -> &mut Vec<Effect<Model>> {
        sync_core::combining::Combine::effects(&mut self.0)
    }
}

const MOST: usize = 8;
const NOBODY: u32 = u32::MAX;

#[derive(Default)]
struct Mailbox {
    messages: Mutex<u32>,
    comes: Condvar,
}

pub struct World {
    pool: Combining<Locked>,
    mailboxes: [Mailbox; MOST],
    /// By worker, who has it.
    hands: [AtomicU32; MOST],
    pub unused: AtomicU32,
}

pub enum Waited {
    Granted(u64),
    Waiting(u64),
}

impl World {
    pub fn new(config: Config, workers: u32) -> Arc<Self> {
        let max = workers;
        let mut pool = Pool::new(Config { max, ..config });
        for worker in 0..workers {
            assert!(pool.add(worker, u64::MAX, NOW).is_some());
        }
        Arc::new(World {
            pool: Combining::new(Locked(pool)),
            mailboxes: std::array::from_fn(|_| Mailbox::default()),
            hands: std::array::from_fn(|_| AtomicU32::new(NOBODY)),
            unused: AtomicU32::new(0),
        })
    }

    /// As a NIF does it: again and again until the lock is free; then the effects.
    pub fn call<R>(&self, body: impl Fn(&mut Pool<Model>) -> R) -> R {
        loop {
            if let Some((result, effects)) = self.pool.try_with(|locked| body(&mut locked.0)) {
                self.run(effects);
                return result;
            }
            shuttle::thread::yield_now();
        }
    }

    fn run(&self, effects: Vec<Effect<Model>>) {
        for effect in effects {
            match effect {
                Effect::Wake(to) => {
                    let mailbox = &self.mailboxes[to as usize];
                    *mailbox.messages.lock().unwrap() += 1;
                    mailbox.comes.notify_one();
                }
                Effect::Keeper(worker, number, Why::Reset) => {
                    self.put_back(worker);
                    self.call(|pool| assert!(pool.bring_back(number, NOW)));
                }
                Effect::Unused => {
                    self.unused.fetch_add(1, Ordering::Relaxed);
                }
                Effect::Keeper(..) | Effect::Drained | Effect::More(_) => unreachable!(),
                Effect::Grow | Effect::Ended(..) => (),
            }
        }
    }

    /// Takes a worker in hand; nobody else may have it.
    fn take(&self, owner: u64, answer: Answer<u32>) -> u64 {
        let Answer::Granted { worker, lease, .. } = answer else {
            panic!("not granted: {answer:?}");
        };
        let before = self.hands[worker as usize].swap(owner as u32, Ordering::Relaxed);
        assert_eq!(before, NOBODY, "{worker} is {owner}'s, too");
        lease
    }

    fn put_back(&self, worker: u32) {
        let before = self.hands[worker as usize].swap(NOBODY, Ordering::Relaxed);
        assert_ne!(before, NOBODY);
    }

    pub fn wait(&self, owner: u64) -> Waited {
        let want = Want {
            owner,
            priority: 1,
            key: 0,
        };
        let watch = |_| Some(());
        match self.call(|pool| pool.wait(want, owner, u64::MAX, NOW, watch)) {
            Answer::Waiting(lease) => Waited::Waiting(lease),
            answer => Waited::Granted(self.take(owner, answer)),
        }
    }

    fn receive(&self, owner: u64) {
        let mailbox = &self.mailboxes[owner as usize];
        let mut messages = mailbox.messages.lock().unwrap();
        while *messages == 0 {
            messages = mailbox.comes.wait(messages).unwrap();
        }
        *messages -= 1;
    }

    /// Waits for as long as it takes.
    pub fn granted(&self, owner: u64, waited: Waited) -> u64 {
        match waited {
            Waited::Granted(lease) => lease,
            Waited::Waiting(lease) => loop {
                self.receive(owner);
                match self.call(|pool| pool.claim(lease, Some(owner), NOW)) {
                    Answer::Wait => (),
                    answer => return self.take(owner, answer),
                }
            },
        }
    }

    /// The time of one who waits is over. It may have got a worker by then.
    pub fn timed_out(&self, owner: u64, waited: Waited) -> Option<u64> {
        let lease = match waited {
            Waited::Granted(lease) => return Some(lease),
            Waited::Waiting(lease) => lease,
        };
        match self.call(|pool| pool.cancel(lease, NOW)) {
            Answer::Timeout => return None,
            answer => assert_eq!(answer, Answer::Woken),
        }
        self.receive(owner);
        match self.call(|pool| pool.claim(lease, None, NOW)) {
            Answer::Timeout => None,
            answer => Some(self.take(owner, answer)),
        }
    }

    /// Waits until it is told that the pool is closed, unless it gets a worker before.
    pub fn closed(&self, owner: u64, lease: u64) -> Option<u64> {
        self.receive(owner);
        match self.call(|pool| pool.claim(lease, Some(owner), NOW)) {
            Answer::Closed => None,
            answer => Some(self.take(owner, answer)),
        }
    }

    pub fn checkin(&self, owner: u64, lease: u64) {
        let mine = |hand: &&AtomicU32| hand.load(Ordering::Relaxed) == owner as u32;
        let hand = self.hands.iter().find(mine).expect("it has one");
        hand.store(NOBODY, Ordering::Relaxed);
        assert!(self.call(|pool| pool.checkin(lease, false, NOW)));
    }

    /// What it has is with the keeper from now on, where there is one, or free.
    pub fn dies(&self, owner: u64, resets: bool) {
        for hand in &self.hands {
            if hand.load(Ordering::Relaxed) == owner as u32 && !resets {
                hand.store(NOBODY, Ordering::Relaxed);
            }
        }
        let effects = self.pool.defer(Deferred::Died { owner, now: NOW });
        self.run(effects);
    }

    pub fn close(&self) {
        let effects = self.pool.defer(Deferred::Close { now: NOW });
        self.run(effects);
    }

    /// All is as it was at first; of the dead nobody may have a message.
    pub fn is_at_rest(&self, workers: u32, dead: &[u64]) {
        self.call(|pool| {
            assert_eq!((pool.idle(), pool.in_use()), (workers, 0));
            assert_eq!((pool.waiting(), pool.away()), (0, 0));
            assert_eq!(pool.held(0, 0, NOW + 1).items.len(), 0);
        });
        let nobody = |hand: &AtomicU32| hand.load(Ordering::Relaxed) == NOBODY;
        assert!(self.hands.iter().all(nobody));
        for (owner, mailbox) in (0..).zip(&self.mailboxes) {
            let messages = *mailbox.messages.lock().unwrap();
            assert!(messages == 0 || dead.contains(&owner), "a late message");
        }
    }

    pub fn mode(&self) -> Mode {
        self.call(|pool| pool.mode())
    }
}
