//! A pool as its contract says it, of flat lists that are gone through for everything.

use pool_core::choice::Ready;
use pool_core::codel::Codel;
use pool_core::gradient::Gradient;
use pool_core::latency::Latency;
use pool_core::leases;
use pool_core::pool::{Answer, Config, Counts, Mode, Want, Why};
use std::collections::BTreeSet;

/// So many of those who wait are told something in one step.
pub const AT_ONCE: usize = 64;

pub struct Worker {
    pub number: u64,
    pub worker: u32,
    pub is_away: bool,
    pub is_retiring: bool,
    pub uses: u64,
    pub most_uses: u64,
    pub in_use: u32,
    pub idle_since: u64,
    pub latency: Latency,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Held,
    Waiting,
    /// Told to look.
    Woken,
    /// Has a worker, and told to look.
    Granted,
    /// Turned away, and told to look.
    Dropped,
    /// Out of time, not told.
    Expired,
}

#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub number: u64,
    pub owner: u64,
    pub state: State,
    pub priority: u8,
    pub key: u64,
    pub since: u64,
    pub deadline: u64,
    /// For whoever waits.
    pub message: u64,
    /// The number of its worker.
    pub worker: u64,
}

/// What somebody is to be told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Told {
    Wake(u64),
    /// A worker's keeper, and why, as a number.
    Keeper(u32, u64, u8),
    Grow,
    Drained,
    Unused,
    /// A worker is not needed any more.
    Ended(u32),
}

pub struct Naive {
    pub config: Config,
    pub mode: Mode,
    pub workers: Vec<Worker>,
    pub leases: Vec<Lease>,
    /// Those that are watched.
    pub owners: BTreeSet<u64>,
    /// What was kept of owners that have ended, and the last that was given to another.
    spare: Vec<u64>,
    pub given: Option<u64>,
    pub counts: Counts,
    pub told: Vec<Told>,
    ready: Ready,
    codel: Option<Codel>,
    pub adaptive: Option<Gradient>,
    pub is_growing: bool,
    pub missed: u32,
    pub is_told: bool,
}

impl Worker {
    pub fn is_idle(&self) -> bool {
        !self.is_away && self.in_use == 0
    }
}

pub fn why(why: Why) -> u8 {
    why as u8
}

impl Naive {
    pub fn new(config: Config) -> Self {
        Naive {
            mode: Mode::Open,
            workers: Vec::new(),
            leases: Vec::new(),
            owners: BTreeSet::new(),
            spare: Vec::new(),
            given: None,
            counts: Counts::default(),
            told: Vec::new(),
            ready: Ready::new(config.strategy, config.seed),
            codel: config
                .codel
                .map(|(target, interval)| Codel::new(target, interval)),
            adaptive: config
                .adaptive
                .map(|(min, max, initial)| Gradient::new(min, max, initial)),
            is_growing: false,
            missed: 0,
            is_told: false,
            config,
        }
    }

    pub fn find(&self, lease: u64) -> Option<usize> {
        self.leases.iter().position(|it| it.number == lease)
    }

    pub fn find_worker(&self, number: u64) -> Option<usize> {
        self.workers.iter().position(|it| it.number == number)
    }

    pub fn in_use(&self) -> u64 {
        self.workers.iter().map(|it| u64::from(it.in_use)).sum()
    }

    pub fn count(&self, state: State) -> usize {
        self.leases.iter().filter(|it| it.state == state).count()
    }

    pub fn waiting(&self) -> usize {
        self.count(State::Waiting) + self.count(State::Woken)
    }

    /// Leases that are neither held nor at their end.
    pub fn unsettled(&self) -> usize {
        self.leases.len() - self.count(State::Held)
    }

    pub fn room_of(&self, worker: &Worker) -> u64 {
        if worker.is_away || worker.is_retiring {
            return 0;
        }
        let places = self.config.concurrency - worker.in_use;
        u64::from(places).min(worker.most_uses - worker.uses)
    }

    fn limit(&self) -> u64 {
        let limit = self.adaptive.as_ref().map(Gradient::limit);
        limit.map_or(u64::MAX, u64::from)
    }

    /// Uses that could begin.
    pub fn room(&self) -> u64 {
        let room: u64 = self.workers.iter().map(|it| self.room_of(it)).sum();
        room.min(self.limit().saturating_sub(self.in_use()))
    }

    /// The next to be served: by priority, then by the time since which it waits.
    pub fn head(&self) -> Option<usize> {
        let is_waiting = |index: &usize| self.leases[*index].state == State::Waiting;
        let order = |index: &usize| (self.leases[*index].priority, self.leases[*index].since);
        (0..self.leases.len()).filter(is_waiting).min_by_key(order)
    }

    pub fn change(&mut self, index: usize, change: impl FnOnce(&mut Worker)) {
        let (room, load) = (
            self.room_of(&self.workers[index]),
            self.workers[index].in_use,
        );
        change(&mut self.workers[index]);
        let now = &self.workers[index];
        let (cell, now_room, now_load) =
            (leases::parts(now.number).1, self.room_of(now), now.in_use);
        match (room > 0, now_room > 0) {
            (false, true) => self.ready.insert(cell, now_load),
            (true, false) => self.ready.remove(cell),
            (true, true) if now_load > load => self.ready.taken(cell, now_load),
            (true, true) if now_load < load => self.ready.returned(cell, now_load),
            _ => (),
        }
    }

    /// Begins a use of the worker that the strategy chooses.
    fn begin_use(&mut self, key: u64, now: u64) -> Option<usize> {
        let of_cell = |cell| {
            let mut workers = self.workers.iter();
            workers.position(|it| leases::parts(it.number).1 == cell)
        };
        let cell = self.ready.pick(key, |cell| {
            let worker = &self.workers[of_cell(cell).expect("it is there")];
            worker
                .latency
                .score(now, self.config.latency_decay, worker.in_use)
        })?;
        let index = of_cell(cell).expect("a worker that is there is chosen");
        self.change(index, |it| {
            it.in_use += 1;
            it.uses += 1;
        });
        Some(index)
    }

    fn wait_or_overloaded(&mut self) -> Answer<u32> {
        if self.waiting() >= self.config.queue as usize {
            self.counts.overloads += 1;
            return Answer::Overloaded;
        }
        Answer::Wait
    }

    /// Whether whoever comes now may have a worker although others wait: those who were told to look
    /// may be passed until they come.
    pub fn may_pass(&self, now: u64) -> bool {
        let mut waiting = self.leases.iter().filter(|it| it.state == State::Waiting);
        waiting.all(|it| now - it.since < self.config.barging)
    }

    /// `lease` is the number that it gets, if it gets one; a new owner can be watched or not.
    pub fn checkout(&mut self, want: Want, now: u64, is_alive: bool, lease: u64) -> Answer<u32> {
        match self.mode {
            Mode::Draining | Mode::Closed => return Answer::Closed,
            Mode::Suspended => return self.wait_or_overloaded(),
            Mode::Open => (),
        }
        if self.in_use() >= self.limit() {
            self.counts.overloads += 1;
            return Answer::Overloaded;
        }
        let others_wait = self.waiting() > 0;
        if others_wait && !self.may_pass(now) || self.ready.is_empty() {
            return self.wait_or_overloaded();
        }
        if !self.watch(want.owner, is_alive) {
            return Answer::Refused;
        }
        let worker = self.begin_use(want.key, now).expect("one is ready");
        self.counts.checkouts += 1;
        self.counts.barged += u64::from(others_wait);
        self.leases.push(Lease {
            number: lease,
            owner: want.owner,
            state: State::Held,
            priority: want.priority,
            key: want.key,
            since: now,
            deadline: 0,
            message: 0,
            worker: self.workers[worker].number,
        });
        Answer::Granted {
            worker: self.workers[worker].worker,
            lease,
            waited: None,
        }
    }

    /// A new owner gets what was kept of one that has ended.
    fn watch(&mut self, owner: u64, is_alive: bool) -> bool {
        if self.owners.contains(&owner) {
            return true;
        }
        self.given = self.spare.pop();
        is_alive && self.owners.insert(owner)
    }

    pub fn wait(
        &mut self,
        want: Want,
        (message, deadline): (u64, u64),
        now: u64,
        is_alive: bool,
        lease: u64,
    ) -> Answer<u32> {
        match self.checkout(want, now, is_alive, lease) {
            Answer::Wait => (),
            answer => return answer,
        }
        if deadline <= now {
            self.counts.timeouts += 1;
            self.missed += 1;
            self.ask_for_growth();
            return Answer::Timeout;
        }
        if !self.watch(want.owner, is_alive) {
            return Answer::Refused;
        }
        self.leases.push(Lease {
            number: lease,
            owner: want.owner,
            state: State::Waiting,
            priority: want.priority,
            key: want.key,
            since: now,
            deadline,
            message,
            worker: 0,
        });
        self.ask_for_growth();
        self.serve(now);
        Answer::Waiting(lease)
    }

    pub fn ask_for_growth(&mut self) {
        if !self.is_growing && self.workers.len() < self.config.max as usize {
            self.is_growing = true;
            self.told.push(Told::Grow);
        }
    }

    fn tell(&mut self, index: usize, state: State) {
        self.leave_queue(index, state);
        self.told.push(Told::Wake(self.leases[index].message));
    }

    /// Becomes something else than one who waits, or comes to wait anew.
    fn leave_queue(&mut self, index: usize, state: State) {
        let was_in = matches!(self.leases[index].state, State::Waiting | State::Woken);
        self.leases[index].state = State::Held;
        if was_in && self.waiting() == 0 {
            if let Some(codel) = &mut self.codel {
                codel.emptied();
            }
        }
        self.leases[index].state = state;
    }

    pub fn serve(&mut self, now: u64) {
        for _ in 0..AT_ONCE {
            let Some(head) = self.head() else {
                return;
            };
            if self.mode == Mode::Closed {
                self.tell(head, State::Dropped);
                continue;
            }
            if self.mode == Mode::Suspended || self.room() <= self.count(State::Woken) as u64 {
                return;
            }
            let Lease {
                since,
                deadline,
                key,
                ..
            } = self.leases[head];
            let waited = now - since;
            let is_last = self.count(State::Waiting) == 1;
            if deadline <= now {
                self.leave_queue(head, State::Expired);
            } else if !is_last && self.codel.as_mut().is_some_and(|it| it.drops(waited, now)) {
                self.counts.dropped += 1;
                self.tell(head, State::Dropped);
            } else if waited < self.config.barging {
                self.tell(head, State::Woken);
            } else {
                let worker = self.begin_use(key, now).expect("there is room");
                self.counts.handed_over += 1;
                self.leases[head].worker = self.workers[worker].number;
                self.tell(head, State::Granted);
            }
        }
    }

    /// Is there one in the queue that is to be served before this one?
    pub fn is_behind(&self, index: usize, now: u64) -> bool {
        let it = &self.leases[index];
        let is_before = |other: &Lease| {
            other.state == State::Waiting
                && (other.priority, other.since) < (it.priority, it.since)
                && now - other.since >= self.config.barging
        };
        self.leases.iter().any(is_before)
    }

    pub fn claim(&mut self, lease: u64, message: Option<u64>, now: u64) -> Answer<u32> {
        let Some(index) = self.find(lease) else {
            return Answer::Stale;
        };
        let is_serving = matches!(self.mode, Mode::Open | Mode::Draining);
        let is_behind = self.is_behind(index, now);
        let state = self.leases[index].state;
        if state != State::Held {
            self.leave_queue(index, State::Expired);
        }
        let answer = match state {
            State::Held => return Answer::Stale,
            State::Dropped if self.mode == Mode::Closed => self.end(index, Answer::Closed),
            State::Dropped => self.end(index, Answer::Overloaded),
            State::Expired => self.end(index, Answer::Timeout),
            State::Granted => match self.find_worker(self.leases[index].worker) {
                Some(worker) if self.mode == Mode::Closed => {
                    self.undo_use(worker);
                    self.end(index, Answer::Closed)
                }
                // Broken by somebody else in the meantime.
                Some(worker) if self.workers[worker].is_away => {
                    self.undo_use(worker);
                    self.go_on_waiting(index, message, now)
                }
                Some(worker) => self.hold(index, worker, now),
                None => self.go_on_waiting(index, message, now),
            },
            State::Woken if is_serving && self.room() > 0 && !is_behind => {
                let worker = self.begin_use(self.leases[index].key, now);
                self.hold(index, worker.expect("there is room"), now)
            }
            State::Woken | State::Waiting => self.go_on_waiting(index, message, now),
        };
        self.serve(now);
        self.settle();
        answer
    }

    fn hold(&mut self, index: usize, worker: usize, now: u64) -> Answer<u32> {
        let lease = &mut self.leases[index];
        let waited = now - lease.since;
        lease.state = State::Held;
        lease.since = now;
        lease.worker = self.workers[worker].number;
        self.counts.checkouts += 1;
        self.counts.waited += 1;
        Answer::Granted {
            worker: self.workers[worker].worker,
            lease: lease.number,
            waited: Some(waited),
        }
    }

    fn go_on_waiting(&mut self, index: usize, message: Option<u64>, now: u64) -> Answer<u32> {
        if self.mode == Mode::Closed {
            return self.end(index, Answer::Closed);
        }
        let lease = &mut self.leases[index];
        match message {
            Some(message) if now < lease.deadline => {
                lease.state = State::Waiting;
                lease.message = message;
                Answer::Wait
            }
            _ => self.end(index, Answer::Timeout),
        }
    }

    fn end(&mut self, index: usize, answer: Answer<u32>) -> Answer<u32> {
        self.leases.remove(index);
        self.counts.timeouts += u64::from(answer == Answer::Timeout);
        answer
    }

    pub fn cancel(&mut self, lease: u64, now: u64) -> Answer<u32> {
        let Some(index) = self.find(lease) else {
            return Answer::Stale;
        };
        match self.leases[index].state {
            State::Held => return Answer::Stale,
            State::Woken | State::Granted | State::Dropped => return Answer::Woken,
            State::Waiting | State::Expired => (),
        }
        self.leave_queue(index, State::Expired);
        let answer = self.end(index, Answer::Timeout);
        self.serve(now);
        self.settle();
        answer
    }

    pub fn checkin(&mut self, lease: u64, is_broken: bool, now: u64) -> bool {
        let was_held = self.give_back(lease, is_broken.then_some(Why::Broken), now);
        self.counts.broken += u64::from(is_broken && was_held);
        was_held
    }

    pub fn checkin_to_reset(&mut self, lease: u64, now: u64) -> bool {
        self.give_back(lease, self.reset(), now)
    }

    /// Why a worker goes to its keeper when its user has died, if it does.
    fn reset(&self) -> Option<Why> {
        (self.config.resets && self.config.concurrency == 1).then_some(Why::Reset)
    }

    fn give_back(&mut self, lease: u64, reason: Option<Why>, now: u64) -> bool {
        let index = self.find(lease);
        let Some(index) = index.filter(|index| self.leases[*index].state == State::Held) else {
            return false;
        };
        let lease = self.leases.remove(index);
        self.end_use(&lease, reason, now);
        true
    }

    fn end_use(&mut self, lease: &Lease, reason: Option<Why>, now: u64) {
        if let Some(worker) = self.find_worker(lease.worker) {
            let in_use = self.in_use() as u32;
            if let Some(adaptive) = &mut self.adaptive {
                adaptive.sample(now - lease.since, in_use, now);
            }
            let decay = self.config.latency_decay;
            if let Some(reason) = reason.filter(|_| !self.workers[worker].is_away) {
                self.tell_keeper(worker, reason);
            }
            self.change(worker, |it| {
                it.is_away |= reason.is_some();
                it.in_use -= 1;
                it.idle_since = now;
                it.latency.observe(now, now - lease.since, decay);
            });
            self.retire_if_due(worker);
            self.serve(now);
        }
        self.settle();
    }

    fn undo_use(&mut self, worker: usize) {
        self.change(worker, |it| {
            it.in_use -= 1;
            it.uses -= 1;
        });
        self.retire_if_due(worker);
    }

    pub fn retire_if_due(&mut self, worker: usize) {
        let it = &self.workers[worker];
        if (it.is_retiring || it.uses >= it.most_uses) && it.is_idle() {
            self.change(worker, |it| it.is_away = true);
            self.tell_keeper(worker, Why::Retire);
        }
    }

    fn tell_keeper(&mut self, worker: usize, reason: Why) {
        let it = &self.workers[worker];
        let told = Told::Keeper(it.worker, it.number, why(reason));
        self.told.push(told);
    }

    pub fn settle(&mut self) {
        if self.is_told || self.unsettled() > 0 {
            return;
        }
        let told = match self.mode {
            Mode::Draining if self.in_use() == 0 => Told::Drained,
            Mode::Closed => Told::Unused,
            _ => return,
        };
        self.told.push(told);
        self.is_told = true;
    }

    /// The leases of the owner, the newest first, end.
    pub fn died(&mut self, owner: u64, now: u64) {
        while let Some(index) = self.newest_of(owner) {
            let lease = self.leases[index];
            self.leave_queue(index, State::Expired);
            self.leases.remove(index);
            match lease.state {
                State::Held => {
                    self.counts.reclaimed += 1;
                    self.end_use(&lease, self.reset(), now);
                    continue;
                }
                State::Granted => {
                    if let Some(worker) = self.find_worker(lease.worker) {
                        self.undo_use(worker);
                    }
                }
                State::Waiting | State::Woken | State::Dropped | State::Expired => (),
            }
            self.serve(now);
        }
        if self.owners.remove(&owner) {
            self.spare.push(owner);
        }
        self.settle();
    }

    fn newest_of(&self, owner: u64) -> Option<usize> {
        self.leases.iter().rposition(|it| it.owner == owner)
    }
}
