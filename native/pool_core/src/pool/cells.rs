//! The places of a pool's workers.

use crate::choice::{Ready, Strategy, CELLS};
use crate::latency::Latency;
use crate::leases;
use crate::slab::Slab;

/// One worker, or none.
pub struct Cell<W> {
    pub worker: Option<W>,
    pub generation: u32,
    pub state: State,
    /// Not to be given out again.
    pub is_retiring: bool,
    pub in_use: u32,
    pub uses: u64,
    pub most_uses: u64,
    /// When it was last given back, or came.
    pub idle_since: u64,
    pub latency: Latency,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    #[default]
    Vacant,
    Up,
    /// With its keeper: being reset, checked or ended.
    Away,
}

impl<W> Default for Cell<W> {
    fn default() -> Self {
        Cell {
            worker: None,
            generation: 0,
            state: State::Vacant,
            is_retiring: false,
            in_use: 0,
            uses: 0,
            most_uses: u64::MAX,
            idle_since: 0,
            latency: Latency::default(),
        }
    }
}

impl<W> Cell<W> {
    /// Uses that may begin now.
    fn room(&self, concurrency: u32) -> u32 {
        if self.state != State::Up || self.is_retiring {
            return 0;
        }
        let uses_left = self.most_uses - self.uses;
        (concurrency - self.in_use).min(u32::try_from(uses_left).unwrap_or(u32::MAX))
    }

    pub fn is_idle(&self) -> bool {
        self.state == State::Up && self.in_use == 0
    }
}

/// All of them, and which have room.
pub struct Cells<W> {
    cells: Slab<Cell<W>>,
    ready: Ready,
    concurrency: u32,
    latency_decay: u64,
    keeps_latency: bool,
    /// Of all that are ready.
    pub room: u64,
    pub in_use: u64,
    pub idle: u32,
    pub away: u32,
}

impl<W: Clone> Cells<W> {
    pub fn new(strategy: Strategy, concurrency: u32, latency_decay: u64, seed: u64) -> Self {
        Cells {
            cells: Slab::default(),
            ready: Ready::new(strategy, seed),
            concurrency,
            latency_decay,
            keeps_latency: matches!(strategy, Strategy::P2c),
            room: 0,
            in_use: 0,
            idle: 0,
            away: 0,
        }
    }

    /// Those that are there.
    pub fn count(&self) -> u32 {
        self.cells.used()
    }

    #[inline]
    pub fn get(&self, index: u32) -> &Cell<W> {
        &self.cells[index]
    }

    #[inline]
    pub fn number(&self, index: u32) -> u64 {
        leases::number(self.cells[index].generation, index)
    }

    /// The cell of a number.
    pub fn find(&self, number: u64) -> Option<u32> {
        let (generation, index) = leases::parts(number);
        let cell = self.cells.get(index)?;
        (cell.state != State::Vacant && u64::from(cell.generation) == generation).then_some(index)
    }

    /// Changes a cell and keeps count of what depends on it.
    #[inline]
    fn change(&mut self, index: u32, change: impl FnOnce(&mut Cell<W>)) {
        let cell = &mut self.cells[index];
        let (room, was_idle) = (cell.room(self.concurrency), cell.is_idle());
        let (in_use, was_away) = (cell.in_use, cell.state == State::Away);
        change(cell);
        let (now, is_idle) = (cell.room(self.concurrency), cell.is_idle());
        let (used, is_away) = (cell.in_use, cell.state == State::Away);
        self.idle = self.idle + u32::from(is_idle) - u32::from(was_idle);
        self.away = self.away + u32::from(is_away) - u32::from(was_away);
        self.in_use = self.in_use + u64::from(used) - u64::from(in_use);
        self.room = self.room + u64::from(now) - u64::from(room);
        match (room > 0, now > 0) {
            (false, true) => self.ready.insert(index, used),
            (true, false) => self.ready.remove(index),
            (true, true) if used > in_use => self.ready.taken(index, used),
            (true, true) if used < in_use => self.ready.returned(index, used),
            _ => (),
        }
    }

    /// Of those with room, the one that the strategy chooses is used once more.
    #[inline]
    pub fn take(&mut self, key: u64, now: u64) -> Option<u32> {
        let (cells, decay) = (&self.cells, self.latency_decay);
        let index = self.ready.pick(key, |index| {
            let cell = &cells[index];
            cell.latency.score(now, decay, cell.in_use)
        })?;
        self.change(index, |cell| {
            cell.in_use += 1;
            cell.uses += 1;
        });
        Some(index)
    }

    /// Takes one that nobody uses away from those that may be given out.
    pub fn set_away(&mut self, index: u32) {
        self.change(index, |cell| cell.state = State::Away);
    }

    /// A use ends that began at `since`.
    #[inline]
    pub fn end_use(&mut self, index: u32, since: u64, now: u64) {
        let (keeps_latency, decay) = (self.keeps_latency, self.latency_decay);
        self.change(index, |cell| {
            cell.in_use -= 1;
            cell.idle_since = now;
            if keeps_latency {
                cell.latency.observe(now, now.saturating_sub(since), decay);
            }
        });
    }

    /// A use that was not one after all.
    pub fn undo_use(&mut self, index: u32) {
        self.change(index, |cell| {
            cell.in_use -= 1;
            cell.uses -= 1;
        });
    }

    pub fn retire(&mut self, index: u32) {
        self.change(index, |cell| cell.is_retiring = true);
    }

    /// `None` where there are `most` of them.
    pub fn add(&mut self, worker: W, most: u32, most_uses: u64, now: u64) -> Option<u32> {
        if self.count() >= most {
            return None;
        }
        let index = self.cells.take(CELLS)?;
        self.cells[index] = Cell {
            worker: Some(worker),
            generation: self.cells[index].generation,
            most_uses,
            idle_since: now,
            ..Cell::default()
        };
        self.change(index, |cell| cell.state = State::Up);
        Some(index)
    }

    /// Back from being away.
    pub fn set_up(&mut self, index: u32) {
        self.change(index, |cell| cell.state = State::Up);
    }

    /// The worker is gone. It is given, to be dropped elsewhere.
    pub fn remove(&mut self, index: u32) -> Option<W> {
        self.change(index, |cell| {
            cell.state = State::Vacant;
            cell.in_use = 0;
        });
        let cell = &mut self.cells[index];
        cell.generation = cell.generation.wrapping_add(1);
        let worker = cell.worker.take();
        self.cells.release(index);
        worker
    }

    /// The cells among the indices from here on, of which so many are looked at; and where to
    /// go on.
    pub fn page(&self, from: u32, most: u32) -> (impl Iterator<Item = u32> + '_, Option<u32>) {
        let end = self.cells.made().min(from.saturating_add(most));
        let indices = (from..end).filter(|&index| self.cells[index].state != State::Vacant);
        (indices, (end < self.cells.made()).then_some(end))
    }

    pub fn latency(&self, index: u32, now: u64) -> u64 {
        self.cells[index].latency.value(now, self.latency_decay)
    }

    pub fn memory(&self) -> usize {
        self.cells.memory()
    }
}
