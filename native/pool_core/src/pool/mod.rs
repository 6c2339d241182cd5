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
mod types;
mod waiting;
mod workers;

use crate::codel::Codel;
use crate::gradient::Gradient;
use crate::leases::Leases;
use cells::Cells;
use queue::Queue;
use sync_core::combining::Combine;
use types::{Lent, State};

pub use types::{Answer, Config, Counts, Deferred, Effect, Mode, Shell, Want, Why};
pub use workers::{HeldInfo, Page, Retired, WorkerInfo, WorkerState};

/// Those who wait are served by priority, the first of these first.
pub const PRIORITIES: usize = 4;

/// So much of owners that have ended is kept for others.
const SPARE: usize = 256;

pub struct Pool<S: Shell> {
    config: Config,
    mode: Mode,
    cells: Cells<S::Worker>,
    lent: Leases<Lent<S::Message>, S::Watch>,
    queues: [Queue; PRIORITIES],
    /// Those that were told to look, and have not yet.
    woken: u32,
    /// Leases that are neither held nor ended.
    unsettled: u32,
    codel: Option<Codel>,
    adaptive: Option<Gradient>,
    /// Whether growth was asked for and the answer has not come.
    is_growing: bool,
    /// Those who found no worker since then and did not wait.
    missed: u32,
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
            woken: 0,
            unsettled: 0,
            codel: config
                .codel
                .map(|(target, interval)| Codel::new(target, interval)),
            adaptive: config
                .adaptive
                .map(|(min, max, initial)| Gradient::new(min, max, initial)),
            is_growing: false,
            missed: 0,
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
        self.queued() + self.woken
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
        /// Some hundred microseconds, together with the messages to those who get what comes back.
        const AT_ONCE: u32 = 1_000;
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
