//! A pool's workers, as their keepers and the pool's manager see them.

use super::cells::{Cell, State};
use super::{Effect, Mode, Pool, Shell, Why};

/// What became of a worker that is to retire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retired {
    /// Nobody had it: it is gone.
    Removed,
    /// Its keeper will be told.
    Retiring,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkerState {
    Idle,
    InUse,
    Away,
    Retiring,
}

pub struct WorkerInfo<W> {
    pub number: u64,
    pub worker: W,
    pub state: WorkerState,
    pub uses: u64,
    pub in_use: u32,
    /// Smoothed nanoseconds of a use, where the strategy needs it.
    pub latency: u64,
    /// Nanoseconds for which nobody has used it.
    pub idle: u64,
}

/// A lease that is held.
pub struct HeldInfo<W> {
    pub lease: u64,
    pub owner: u64,
    pub worker: W,
    /// Nanoseconds.
    pub held: u64,
}

/// Some of many, and where to go on.
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<u32>,
}

/// So many are gone through at once.
const PAGE: u32 = 512;

impl<S: Shell> Pool<S> {
    /// A new worker, by its number from now on; `None` where there are enough.
    pub fn add(&mut self, worker: S::Worker, most_uses: u64, now: u64) -> Option<u64> {
        if self.mode == Mode::Closed {
            return None;
        }
        let cell = self.cells.add(worker, self.config.max, most_uses, now)?;
        self.serve(now);
        Some(self.cells.number(cell))
    }

    /// Its worker has ended; whether it was there.
    pub fn remove(&mut self, number: u64, now: u64) -> bool {
        let Some(cell) = self.cells.find(number) else {
            return false;
        };
        self.remove_cell(cell, now);
        true
    }

    fn remove_cell(&mut self, cell: u32, now: u64) {
        let worker = self.cells.remove(cell);
        self.effects.push(Effect::Ended(None, worker));
        if self.waiting() > 0 {
            self.ask_for_growth();
        }
        // Fewer in use than before is room under a limit that adapts.
        self.serve(now);
        self.settle_down();
    }

    /// Nobody is to get it any more.
    pub fn retire(&mut self, number: u64, now: u64) -> Option<Retired> {
        let cell = self.cells.find(number)?;
        if self.cells.get(cell).in_use > 0 {
            self.cells.retire(cell);
            return Some(Retired::Retiring);
        }
        self.remove_cell(cell, now);
        Some(Retired::Removed)
    }

    /// Takes an idle worker away from those that may be given out, if nobody wants it.
    /// Whether it is away now; `None` where it is gone.
    pub fn take_away(&mut self, number: u64) -> Option<bool> {
        let cell = self.cells.find(number)?;
        let is_spare = self.cells.get(cell).is_idle() && self.waiting() == 0;
        if is_spare {
            self.cells.set_away(cell);
        }
        Some(is_spare)
    }

    /// As [`Self::take_away`], if it has been idle for longer than so many nanoseconds.
    pub fn take_away_if_idle(&mut self, number: u64, longer: u64, now: u64) -> bool {
        let is_due = |cell: &Cell<_>| now.saturating_sub(cell.idle_since) > longer;
        let cell = self.cells.find(number);
        cell.is_some_and(|cell| is_due(self.cells.get(cell)))
            && self.take_away(number) == Some(true)
    }

    /// A worker is back from being away; whether it was there.
    pub fn bring_back(&mut self, number: u64, now: u64) -> bool {
        let Some(cell) = self.cells.find(number) else {
            return false;
        };
        if self.cells.get(cell).state == State::Away {
            self.cells.set_up(cell);
            self.retire_if_due(cell);
            self.serve(now);
        }
        true
    }

    /// A worker that nobody may use again, and nobody uses, goes to its keeper.
    #[inline]
    pub(super) fn retire_if_due(&mut self, cell: u32) {
        let it = self.cells.get(cell);
        let is_done = it.is_retiring || it.uses >= it.most_uses;
        if is_done && it.is_idle() {
            self.cells.set_away(cell);
            self.tell_keeper(cell, Why::Retire);
        }
    }

    pub(super) fn tell_keeper(&mut self, cell: u32, why: Why) {
        let number = self.cells.number(cell);
        if let Some(worker) = self.cells.get(cell).worker.clone() {
            self.effects.push(Effect::Keeper(worker, number, why));
        }
    }

    /// More may be added, or no more than so many.
    pub fn resize(&mut self, max: u32) {
        self.config.max = max;
        self.is_growing = false;
        if self.waiting() > 0 {
            self.ask_for_growth();
        }
    }

    /// How many wait, or found none since this was asked and would not wait, beyond the uses that
    /// could begin; growth is asked for again when the next one comes.
    pub fn demand(&mut self) -> u32 {
        self.is_growing = false;
        let missed = std::mem::take(&mut self.missed);
        let room = u32::try_from(self.cells.room).unwrap_or(u32::MAX);
        self.waiting().saturating_add(missed).saturating_sub(room)
    }

    pub fn workers(&self, from: u32, now: u64) -> Page<WorkerInfo<S::Worker>> {
        let (cells, next) = self.cells.page(from, PAGE);
        let info = |index| {
            let cell = self.cells.get(index);
            let state = match cell.state {
                State::Away | State::Vacant => WorkerState::Away,
                State::Up if cell.is_retiring => WorkerState::Retiring,
                State::Up if cell.in_use > 0 => WorkerState::InUse,
                State::Up => WorkerState::Idle,
            };
            Some(WorkerInfo {
                number: self.cells.number(index),
                worker: cell.worker.clone()?,
                state,
                uses: cell.uses,
                in_use: cell.in_use,
                latency: self.cells.latency(index, now),
                idle: match state {
                    WorkerState::Idle => now.saturating_sub(cell.idle_since),
                    _ => 0,
                },
            })
        };
        let items = cells.filter_map(info).collect();
        Page { items, next }
    }

    /// Leases that are held for longer than so many nanoseconds.
    pub fn held(&self, from: u32, longer: u64, now: u64) -> Page<HeldInfo<S::Worker>> {
        let (leases, next) = self.lent.page(from, PAGE);
        let info = |index| {
            let lent = &self.lent[index];
            let held = now.saturating_sub(lent.since);
            if lent.state != super::types::State::Held || held <= longer {
                return None;
            }
            let cell = self.cells.find(lent.worker)?;
            Some(HeldInfo {
                lease: self.lent.number(index),
                owner: self.lent.owner(index),
                worker: self.cells.get(cell).worker.clone()?,
                held,
            })
        };
        let items = leases.filter_map(info).collect();
        Page { items, next }
    }

    pub fn size(&self) -> u32 {
        self.cells.count()
    }

    pub fn idle(&self) -> u32 {
        self.cells.idle
    }

    pub fn away(&self) -> u32 {
        self.cells.away
    }

    pub fn in_use(&self) -> u64 {
        self.cells.in_use
    }
}
