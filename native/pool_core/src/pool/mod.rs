//! A pool: workers, who has them, and who waits for one.
//!
//! A state machine, of which each step takes the same short time however large the pool is (what goes
//! through many of something goes through so many at most, and goes on later).
//!
//! Who waits is not given a worker but told to look ([`Effect::Wake`]) and then claims it: none is
//! ever in a message. While those who wait have done so for less than `barging`, a worker that
//! comes back is for whoever comes first, and of those who wait as many are told to look as there
//! are workers; after that it is handed to the one that has waited longest.

mod cells;
mod queue;
mod workers;

use crate::choice::Strategy;
use crate::codel::Codel;
use crate::gradient::Gradient;
use crate::leases::Leases;
use cells::Cells;
use queue::{Link, Queue};
use sync_core::combining::Combine;

pub use workers::{HeldInfo, Page, Retired, WorkerInfo, WorkerState};

/// Those who wait are served by priority, the first of these first.
pub const PRIORITIES: usize = 4;

/// So many of those who wait are told something at once; they tell the next.
const AT_ONCE: u32 = 64;

/// So much of owners that have ended is kept for others.
const SPARE: usize = 256;

/// What whoever uses a pool fills in.
pub trait Shell {
    /// A worker, as it is given out.
    type Worker: Clone;
    /// What wakes somebody who waits.
    type Message: Copy;
    /// What is kept of an owner, such as what tells of its end.
    type Watch;
}

#[derive(Clone, Debug)]
pub struct Config {
    pub strategy: Strategy,
    /// Uses of a worker at the same time.
    pub concurrency: u32,
    /// Workers.
    pub max: u32,
    /// As many may wait.
    pub queue: u32,
    /// Nanoseconds for which those who wait may be passed.
    pub barging: u64,
    /// Target and interval.
    pub codel: Option<(u64, u64)>,
    /// Least, greatest and first limit of the uses of all workers.
    pub adaptive: Option<(u32, u32, u32)>,
    /// Whether a worker that is used by one at a time goes to its keeper when its user died.
    pub resets: bool,
    /// Nanoseconds in which a latency loses its weight.
    pub latency_decay: u64,
    /// Nanoseconds for which somebody waits who does not say.
    pub checkout_timeout: u64,
    pub seed: u64,
}

impl Default for Config {
    /// A worker to each, in the order in which they came back.
    fn default() -> Self {
        Config {
            strategy: Strategy::Fifo,
            concurrency: 1,
            max: 0,
            queue: u32::MAX,
            barging: 0,
            codel: None,
            adaptive: None,
            resets: true,
            latency_decay: 10_000_000_000,
            checkout_timeout: u64::MAX,
            seed: 0,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Open,
    /// Nobody is served, all wait.
    Suspended,
    /// Nobody comes any more; those who wait are served.
    Draining,
    Closed,
}

/// What somebody who wants a worker is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<W> {
    Granted {
        worker: W,
        lease: u64,
        /// How long it was waited for.
        waited: Option<u64>,
    },
    /// There is none now.
    Wait,
    /// In the queue, by this lease.
    Waiting(u64),
    /// A message has been sent, which is to be received before it is claimed.
    Woken,
    Overloaded,
    Timeout,
    Closed,
    /// No such lease.
    Stale,
    /// The owner has come to its end, or there are too many.
    Refused,
}

/// Why a worker goes to its keeper, who has it from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Who used it has died.
    Reset,
    /// Who used it says so.
    Broken,
    /// It was to retire, or its uses are used up.
    Retire,
}

/// What is to be done when the pool is not locked any more.
pub enum Effect<S: Shell> {
    Wake(S::Message),
    Keeper(S::Worker, u64, Why),
    /// More workers are wanted.
    Grow,
    /// Nothing is in use and nobody waits.
    Drained,
    /// It is closed and nobody needs it any more to be told so.
    Unused,
    /// To be dropped.
    Ended(Option<S::Watch>, Option<S::Worker>),
    /// An owner had so many leases that not all were taken back: go on.
    More(u64),
}

/// Counts since the pool was made.
#[derive(Default, Clone, Copy, Debug)]
pub struct Counts {
    pub checkouts: u64,
    /// Of those, the ones that had waited.
    pub waited: u64,
    pub timeouts: u64,
    /// Turned away at once.
    pub overloads: u64,
    /// Turned away while they waited.
    pub dropped: u64,
    /// Taken back from owners that died.
    pub reclaimed: u64,
    pub broken: u64,
    /// Handed to the first who waited, past all newcomers.
    pub handed_over: u64,
    /// Given to a newcomer while others waited.
    pub barged: u64,
}

/// What a lease is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Held,
    /// In the queue of its priority.
    Waiting,
    /// Told to look; among those that were.
    Woken,
    /// Has a worker, and was told to look.
    Granted,
    /// Turned away by overload or because the pool was closed, and told to look.
    Dropped,
    /// Its time is over; nobody was told.
    Expired,
}

/// What a lease stands for.
pub struct Lent<M> {
    state: State,
    priority: u8,
    cell: u32,
    /// The cell's number: another where its worker is gone.
    worker: u64,
    /// When it was given, or asked for.
    since: u64,
    deadline: u64,
    key: u64,
    link: Link,
    message: Option<M>,
}

impl<M> Default for Lent<M> {
    fn default() -> Self {
        Lent {
            state: State::Held,
            priority: 0,
            cell: 0,
            worker: 0,
            since: 0,
            deadline: 0,
            key: 0,
            link: Link::default(),
            message: None,
        }
    }
}

/// What is wanted.
#[derive(Clone, Copy)]
pub struct Want {
    /// The number of whoever wants it.
    pub owner: u64,
    /// Below [`PRIORITIES`].
    pub priority: u8,
    /// Of the strategy by keys.
    pub key: u64,
}

/// What has to happen although the pool may be locked.
#[derive(Clone, Copy)]
pub enum Deferred {
    /// An owner has ended.
    Died {
        owner: u64,
        now: u64,
    },
    Close {
        now: u64,
    },
}

pub struct Pool<S: Shell> {
    config: Config,
    mode: Mode,
    cells: Cells<S::Worker>,
    lent: Leases<Lent<S::Message>, S::Watch>,
    queues: [Queue; PRIORITIES],
    /// Those that were told to look, by the time since which they wait.
    woken: Queue,
    /// Leases that are neither held nor ended.
    unsettled: u32,
    codel: Option<Codel>,
    adaptive: Option<Gradient>,
    /// Whether growth was asked for and the answer has not come.
    is_growing: bool,
    /// Whether it was told that it is drained, or unused.
    is_told: bool,
    /// Of owners that have ended, for others.
    spare: Vec<S::Watch>,
    pub counts: Counts,
    effects: Vec<Effect<S>>,
}

impl<S: Shell> Combine for Pool<S> {
    type Deferred = Deferred;
    type Effect = Effect<S>;

    fn apply(&mut self, deferred: Deferred) {
        match deferred {
            Deferred::Died { owner, now } => self.died(owner, now),
            Deferred::Close { now } => self.set_mode(Mode::Closed, now),
        }
    }

    #[inline]
    fn effects(&mut self) -> &mut Vec<Effect<S>> {
        &mut self.effects
    }
}

impl<S: Shell> Pool<S> {
    pub fn new(config: Config) -> Self {
        Pool {
            mode: Mode::Open,
            cells: Cells::new(
                config.strategy,
                config.concurrency,
                config.latency_decay,
                config.seed,
            ),
            lent: Leases::new(config.seed as u32),
            queues: [const { Queue::new() }; PRIORITIES],
            woken: Queue::new(),
            unsettled: 0,
            codel: config
                .codel
                .map(|(target, interval)| Codel::new(target, interval)),
            adaptive: config
                .adaptive
                .map(|(min, max, initial)| Gradient::new(min, max, initial)),
            is_growing: false,
            is_told: false,
            spare: Vec::new(),
            counts: Counts::default(),
            effects: Vec::new(),
            config,
        }
    }

    /// Those in the queues.
    fn queued(&self) -> u32 {
        self.queues.iter().map(Queue::len).sum()
    }

    /// Those in the queues and those told to look.
    pub fn waiting(&self) -> u32 {
        self.queued() + self.woken.len()
    }

    /// Uses that may begin now.
    #[inline]
    fn room(&self) -> u64 {
        match &self.adaptive {
            None => self.cells.room,
            Some(adaptive) => {
                let limit = u64::from(adaptive.limit());
                self.cells.room.min(limit.saturating_sub(self.cells.in_use))
            }
        }
    }

    /// Whether a newcomer may take a worker although others wait. Those who were told to look may be
    /// passed in any case: until they come nobody knows for how long, and they are first in the
    /// queue again if they find nothing.
    #[inline(never)]
    fn may_pass(&self, now: u64) -> bool {
        let first = |queue: &Queue| queue.first().map(|index| self.lent[index].since);
        let oldest = self.queues.iter().filter_map(first).min();
        oldest.is_none_or(|oldest| now.saturating_sub(oldest) < self.config.barging)
    }

    /// A worker, if there is one for whoever wants it now. `watch` is asked where the owner is new,
    /// and given what was kept of one that has ended, if there is such a thing.
    #[inline]
    pub fn checkout(
        &mut self,
        want: Want,
        now: u64,
        watch: impl FnOnce(Option<S::Watch>) -> Option<S::Watch>,
    ) -> Answer<S::Worker> {
        if self.mode != Mode::Open {
            return match self.mode {
                Mode::Suspended => self.wait_if_there_is_room(),
                _ => Answer::Closed,
            };
        }
        if let Some(adaptive) = &self.adaptive {
            if self.cells.in_use >= u64::from(adaptive.limit()) {
                self.counts.overloads += 1;
                return Answer::Overloaded;
            }
        }
        let others_wait = self.unsettled > 0 && self.waiting() > 0;
        if others_wait && !self.may_pass(now) {
            return self.wait_if_there_is_room();
        }
        if self.cells.room == 0 {
            return self.wait_if_there_is_room();
        }
        let spare = &mut self.spare;
        let Some(lease) = self.lent.take(want.owner, || watch(spare.pop())) else {
            return Answer::Refused;
        };
        let Some(cell) = self.cells.take(want.key, now) else {
            self.lent.end(lease);
            return self.wait_if_there_is_room();
        };
        self.counts.barged += u64::from(others_wait);
        self.counts.checkouts += 1;
        self.hold(lease, cell, now);
        self.granted(lease, None)
    }

    #[inline]
    fn wait_if_there_is_room(&mut self) -> Answer<S::Worker> {
        if self.waiting() >= self.config.queue {
            self.counts.overloads += 1;
            return Answer::Overloaded;
        }
        Answer::Wait
    }

    #[inline]
    fn hold(&mut self, lease: u32, cell: u32, now: u64) {
        let worker = self.cells.number(cell);
        let lent = &mut self.lent[lease];
        lent.state = State::Held;
        lent.cell = cell;
        lent.worker = worker;
        lent.since = now;
    }

    #[inline]
    fn granted(&self, lease: u32, waited: Option<u64>) -> Answer<S::Worker> {
        match &self.cells.get(self.lent[lease].cell).worker {
            Some(worker) => Answer::Granted {
                worker: worker.clone(),
                lease: self.lent.number(lease),
                waited,
            },
            None => Answer::Stale,
        }
    }

    /// As [`Self::checkout`]; where there is none, the owner waits until the deadline.
    pub fn wait(
        &mut self,
        want: Want,
        message: S::Message,
        deadline: u64,
        now: u64,
        mut watch: impl FnMut(Option<S::Watch>) -> Option<S::Watch>,
    ) -> Answer<S::Worker> {
        match self.checkout(want, now, &mut watch) {
            Answer::Wait => (),
            answer => return answer,
        }
        if deadline <= now {
            self.counts.timeouts += 1;
            return Answer::Timeout;
        }
        let spare = &mut self.spare;
        let Some(lease) = self.lent.take(want.owner, || watch(spare.pop())) else {
            return Answer::Refused;
        };
        let lent = &mut self.lent[lease];
        lent.priority = want.priority.min(PRIORITIES as u8 - 1);
        lent.key = want.key;
        lent.since = now;
        lent.deadline = deadline;
        self.unsettled += 1;
        self.enqueue(lease, message, false);
        if !self.is_growing && self.cells.count() < self.config.max {
            self.is_growing = true;
            self.effects.push(Effect::Grow);
        }
        self.serve(now);
        Answer::Waiting(self.lent.number(lease))
    }

    fn enqueue(&mut self, lease: u32, message: S::Message, at_front: bool) {
        let lent = &mut self.lent[lease];
        lent.state = State::Waiting;
        lent.message = Some(message);
        let queue = &mut self.queues[usize::from(lent.priority)];
        queue.insert::<S>(&mut self.lent, lease, at_front);
    }

    /// Takes one out of its queue.
    fn dequeue(&mut self, lease: u32) {
        let lent = &self.lent[lease];
        let queue = match lent.state {
            State::Woken => &mut self.woken,
            _ => &mut self.queues[usize::from(lent.priority)],
        };
        queue.remove::<S>(&mut self.lent, lease);
        if self.waiting() == 0 {
            if let Some(codel) = &mut self.codel {
                codel.emptied();
            }
        }
    }

    /// Tells it to look, as what it has become.
    fn tell(&mut self, lease: u32, state: State) {
        let lent = &mut self.lent[lease];
        lent.state = state;
        if let Some(message) = lent.message.take() {
            self.effects.push(Effect::Wake(message));
        }
    }

    /// Gives workers to those who wait, or tells them to look. If that are many, those told go on
    /// with it when they come.
    #[inline]
    fn serve(&mut self, now: u64) {
        if self.unsettled > 0 {
            self.serve_waiting(now);
        }
    }

    #[inline(never)]
    fn serve_waiting(&mut self, now: u64) {
        match self.mode {
            Mode::Suspended => return,
            Mode::Closed => return self.turn_away(),
            Mode::Open | Mode::Draining => (),
        }
        for _ in 0..AT_ONCE {
            if self.room() <= u64::from(self.woken.len()) {
                return;
            }
            let Some(first) = self.queues.iter().find_map(Queue::first) else {
                return;
            };
            let lent = &self.lent[first];
            let waited = now.saturating_sub(lent.since);
            let is_last = self.queued() == 1;
            if lent.deadline <= now {
                self.dequeue(first);
                self.lent[first].state = State::Expired;
            } else if !is_last
                && self
                    .codel
                    .as_mut()
                    .is_some_and(|codel| codel.drops(waited, now))
            {
                self.counts.dropped += 1;
                self.dequeue(first);
                self.tell(first, State::Dropped);
            } else if waited < self.config.barging {
                self.dequeue(first);
                self.tell(first, State::Woken);
                self.woken.insert::<S>(&mut self.lent, first, false);
            } else if let Some(cell) = self.cells.take(lent.key, now) {
                self.counts.handed_over += 1;
                self.dequeue(first);
                self.lent[first].cell = cell;
                self.lent[first].worker = self.cells.number(cell);
                self.tell(first, State::Granted);
            } else {
                return;
            }
        }
    }

    /// Tells some of those who wait that the pool is closed.
    fn turn_away(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(first) = self.queues.iter().find_map(Queue::first) else {
                break;
            };
            self.dequeue(first);
            self.tell(first, State::Dropped);
        }
    }

    /// What has become of one that was told to look. Without a message it does not go on waiting.
    pub fn claim(
        &mut self,
        lease: u64,
        message: Option<S::Message>,
        now: u64,
    ) -> Answer<S::Worker> {
        let Some(lease) = self.lent.find(lease) else {
            return Answer::Stale;
        };
        let answer = match self.lent[lease].state {
            State::Held => return Answer::Stale,
            State::Granted => self.claim_granted(lease, message, now),
            State::Woken => {
                self.dequeue(lease);
                let is_served = matches!(self.mode, Mode::Open | Mode::Draining);
                let cell = if is_served && self.room() > 0 && !self.is_behind(lease, now) {
                    self.cells.take(self.lent[lease].key, now)
                } else {
                    None
                };
                match cell {
                    Some(cell) => self.settle(lease, cell, now),
                    None => self.go_on_waiting(lease, message, now),
                }
            }
            State::Waiting => {
                self.dequeue(lease);
                self.go_on_waiting(lease, message, now)
            }
            State::Dropped => self.finish(lease, Answer::Overloaded),
            State::Expired => self.finish(lease, Answer::Timeout),
        };
        self.serve(now);
        self.settle_down();
        answer
    }

    /// Is one in the queues, who may not be passed any more, to be served before it?
    fn is_behind(&self, lease: u32, now: u64) -> bool {
        let lent = &self.lent[lease];
        let heads = self.queues[..=usize::from(lent.priority)].iter();
        heads.filter_map(Queue::first).any(|head| {
            let head = &self.lent[head];
            (head.priority, head.since) < (lent.priority, lent.since)
                && now.saturating_sub(head.since) >= self.config.barging
        })
    }

    fn claim_granted(
        &mut self,
        lease: u32,
        message: Option<S::Message>,
        now: u64,
    ) -> Answer<S::Worker> {
        let Lent { cell, worker, .. } = self.lent[lease];
        if self.cells.find(worker).is_none() {
            // It died in the meantime.
            self.go_on_waiting(lease, message, now)
        } else if self.mode == Mode::Closed {
            self.undo_use(cell);
            self.finish(lease, Answer::Closed)
        } else if self.cells.get(cell).state != cells::State::Up {
            // Somebody else who uses it has found it broken in the meantime.
            self.undo_use(cell);
            self.go_on_waiting(lease, message, now)
        } else {
            self.settle(lease, cell, now)
        }
    }

    fn settle(&mut self, lease: u32, cell: u32, now: u64) -> Answer<S::Worker> {
        let waited = now.saturating_sub(self.lent[lease].since);
        self.unsettled -= 1;
        self.counts.checkouts += 1;
        self.counts.waited += 1;
        self.hold(lease, cell, now);
        self.granted(lease, Some(waited))
    }

    fn go_on_waiting(
        &mut self,
        lease: u32,
        message: Option<S::Message>,
        now: u64,
    ) -> Answer<S::Worker> {
        match message {
            _ if self.mode == Mode::Closed => self.finish(lease, Answer::Closed),
            Some(message) if now < self.lent[lease].deadline => {
                self.enqueue(lease, message, true);
                Answer::Wait
            }
            _ => self.finish(lease, Answer::Timeout),
        }
    }

    /// Ends a lease that came to nothing.
    fn finish(&mut self, lease: u32, answer: Answer<S::Worker>) -> Answer<S::Worker> {
        self.lent.end(lease);
        self.unsettled -= 1;
        self.counts.timeouts += u64::from(matches!(answer, Answer::Timeout));
        match answer {
            Answer::Overloaded if self.mode == Mode::Closed => Answer::Closed,
            answer => answer,
        }
    }

    /// Ends the wait of one whose time is over, unless it has been told to look.
    pub fn cancel(&mut self, lease: u64, now: u64) -> Answer<S::Worker> {
        let Some(lease) = self.lent.find(lease) else {
            return Answer::Stale;
        };
        match self.lent[lease].state {
            State::Held => return Answer::Stale,
            State::Woken | State::Granted | State::Dropped => return Answer::Woken,
            State::Waiting => self.dequeue(lease),
            State::Expired => (),
        }
        let answer = self.finish(lease, Answer::Timeout);
        self.serve(now);
        self.settle_down();
        answer
    }

    /// The worker comes back; whether it was still lent.
    #[inline]
    pub fn checkin(&mut self, lease: u64, is_broken: bool, now: u64) -> bool {
        let was_lent = self.give_back(lease, is_broken.then_some(Why::Broken), now);
        self.counts.broken += u64::from(was_lent && is_broken);
        was_lent
    }

    /// As [`Self::checkin`], of a worker that is as if its user had died.
    pub fn checkin_to_reset(&mut self, lease: u64, now: u64) -> bool {
        let why = self.resets().then_some(Why::Reset);
        self.give_back(lease, why, now)
    }

    fn resets(&self) -> bool {
        self.config.resets && self.config.concurrency == 1
    }

    #[inline]
    fn give_back(&mut self, lease: u64, why: Option<Why>, now: u64) -> bool {
        let Some(lease) = self.lent.find(lease) else {
            return false;
        };
        let Lent {
            state,
            cell,
            worker,
            since,
            ..
        } = self.lent[lease];
        if state != State::Held {
            return false;
        }
        self.lent.end(lease);
        self.end_use(cell, worker, since, why, now);
        true
    }

    /// A use ends, after which the worker may have to go to its keeper.
    #[inline]
    fn end_use(&mut self, cell: u32, worker: u64, since: u64, why: Option<Why>, now: u64) {
        // Otherwise the worker had gone before, and its uses with it.
        if self.cells.find(worker).is_some() {
            if let Some(adaptive) = &mut self.adaptive {
                let in_use = u32::try_from(self.cells.in_use).unwrap_or(u32::MAX);
                adaptive.sample(now.saturating_sub(since), in_use, now);
            }
            match why {
                None => self.cells.end_use(cell, since, now),
                Some(why) => {
                    let was_up = self.cells.get(cell).state == cells::State::Up;
                    self.cells.set_away(cell);
                    self.cells.end_use(cell, since, now);
                    if was_up {
                        self.tell_keeper(cell, why);
                    }
                }
            }
            self.retire_if_due(cell);
            self.serve(now);
        }
        self.settle_down();
    }

    /// A use that was handed over and never began.
    fn undo_use(&mut self, cell: u32) {
        self.cells.undo_use(cell);
        self.retire_if_due(cell);
    }

    /// Tells what is due when it has come to rest.
    #[inline]
    fn settle_down(&mut self) {
        if self.mode != Mode::Open && !self.is_told && self.unsettled == 0 {
            let effect = match self.mode {
                Mode::Draining if self.cells.in_use == 0 => Effect::Drained,
                Mode::Closed => Effect::Unused,
                _ => return,
            };
            self.is_told = true;
            self.effects.push(effect);
        }
    }

    /// An owner has ended: what it has comes back, what it waits for is not waited for any more.
    pub fn died(&mut self, owner: u64, now: u64) {
        /// Some hundred microseconds.
        const AT_ONCE: u32 = 4_000;
        for _ in 0..AT_ONCE {
            let Some(lease) = self.lent.first_of(owner) else {
                match self.lent.leave(owner) {
                    Some(watch) if self.spare.len() < SPARE => self.spare.push(watch),
                    Some(watch) => self.effects.push(Effect::Ended(Some(watch), None)),
                    None => (),
                }
                return self.settle_down();
            };
            self.take_back(lease, now);
        }
        self.effects.push(Effect::More(owner));
    }

    fn take_back(&mut self, lease: u32, now: u64) {
        let Lent {
            state,
            cell,
            worker,
            since,
            ..
        } = self.lent[lease];
        if matches!(state, State::Waiting | State::Woken) {
            self.dequeue(lease);
        }
        self.lent.end(lease);
        if state == State::Held {
            self.counts.reclaimed += 1;
            let why = self.resets().then_some(Why::Reset);
            return self.end_use(cell, worker, since, why, now);
        }
        self.unsettled -= 1;
        if state == State::Granted && self.cells.find(worker).is_some() {
            self.undo_use(cell);
        }
        self.serve(now);
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A closed pool stays closed.
    pub fn set_mode(&mut self, mode: Mode, now: u64) {
        if self.mode != Mode::Closed {
            self.mode = mode;
            self.is_told = false;
            self.serve(now);
            self.settle_down();
        }
    }

    pub fn memory(&self) -> usize {
        self.lent.memory() + self.cells.memory()
    }

    /// For how long somebody waits who does not say.
    pub fn checkout_timeout(&self) -> u64 {
        self.config.checkout_timeout
    }

    pub fn owners(&self) -> u32 {
        self.lent.owners()
    }

    /// The limit that adapts.
    pub fn limit(&self) -> Option<u32> {
        self.adaptive.as_ref().map(Gradient::limit)
    }
}
