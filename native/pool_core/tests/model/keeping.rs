//! The naive pool, as keepers and the manager see it.

use super::naive::{Naive, Told, Worker};
use pool_core::latency::Latency;
use pool_core::pool::{Mode, Retired};

impl Naive {
    pub fn add(&mut self, worker: u32, most_uses: u64, now: u64, number: u64) -> bool {
        if self.mode == Mode::Closed || self.workers.len() >= self.config.max as usize {
            return false;
        }
        self.workers.push(Worker {
            number,
            worker,
            is_away: true,
            is_retiring: false,
            uses: 0,
            most_uses,
            in_use: 0,
            idle_since: now,
            latency: Latency::default(),
        });
        self.change(self.workers.len() - 1, |it| it.is_away = false);
        self.serve(now);
        true
    }

    pub fn remove(&mut self, number: u64, now: u64) -> bool {
        let Some(index) = self.find_worker(number) else {
            return false;
        };
        self.change(index, |it| it.is_away = true);
        let worker = self.workers.remove(index);
        self.told.push(Told::Ended(worker.worker));
        if self.waiting() > 0 {
            self.ask_for_growth();
        }
        self.serve(now);
        self.settle();
        true
    }

    pub fn retire(&mut self, number: u64, now: u64) -> Option<Retired> {
        let index = self.find_worker(number)?;
        if self.workers[index].in_use > 0 {
            self.change(index, |it| it.is_retiring = true);
            return Some(Retired::Retiring);
        }
        self.remove(number, now);
        Some(Retired::Removed)
    }

    pub fn take_away(&mut self, number: u64) -> Option<bool> {
        let index = self.find_worker(number)?;
        if !self.workers[index].is_idle() || self.waiting() > 0 {
            return Some(false);
        }
        self.change(index, |it| it.is_away = true);
        Some(true)
    }

    pub fn take_away_if_idle(&mut self, number: u64, longer: u64, now: u64) -> bool {
        let index = self.find_worker(number);
        let is_due = index.is_some_and(|index| now - self.workers[index].idle_since > longer);
        is_due && self.take_away(number) == Some(true)
    }

    pub fn bring_back(&mut self, number: u64, now: u64) -> bool {
        let Some(index) = self.find_worker(number) else {
            return false;
        };
        if self.workers[index].is_away {
            self.change(index, |it| it.is_away = false);
            self.retire_if_due(index);
            self.serve(now);
        }
        true
    }

    pub fn set_mode(&mut self, mode: Mode, now: u64) {
        if self.mode != Mode::Closed {
            self.mode = mode;
            self.is_told = false;
            self.serve(now);
            self.settle();
        }
    }

    pub fn resize(&mut self, max: u32) {
        self.config.max = max;
        self.is_growing = false;
        if self.waiting() > 0 {
            self.ask_for_growth();
        }
    }

    pub fn demand(&mut self) -> u32 {
        self.is_growing = false;
        let wanted = self.waiting() as u32 + std::mem::take(&mut self.missed);
        let room: u64 = self.workers.iter().map(|it| self.room_of(it)).sum();
        wanted.saturating_sub(room as u32)
    }
}
