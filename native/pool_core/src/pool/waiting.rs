//! Those who wait: until they are told to look, turned away, or out of time.

use super::queue::Queue;
use super::types::{Lent, State};
use super::{cells, Answer, Effect, Mode, Pool, Shell, Want, PRIORITIES};

/// So many of those who wait are told something at once; they tell the next.
const AT_ONCE: u32 = 64;

/// So many who were told to look may not have come yet. Those who come in vain find their place in
/// the queue among as many.
const MOST_WOKEN: u32 = 1024;

impl<S: Shell> Pool<S> {
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
            self.missed = self.missed.saturating_add(1);
            self.ask_for_growth();
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
        self.ask_for_growth();
        self.serve(now);
        Answer::Waiting(self.lent.number(lease))
    }

    /// Where there may be more workers.
    pub(super) fn ask_for_growth(&mut self) {
        if !self.is_growing && self.cells.count() < self.config.max {
            self.is_growing = true;
            self.effects.push(Effect::Grow);
        }
    }

    fn enqueue(&mut self, lease: u32, message: S::Message, at_front: bool) {
        let lent = &mut self.lent[lease];
        lent.state = State::Waiting;
        lent.message = Some(message);
        let queue = &mut self.queues[usize::from(lent.priority)];
        queue.insert::<S>(&mut self.lent, lease, at_front);
    }

    /// Takes one out of its queue, or from among those that were told to look.
    pub(super) fn dequeue(&mut self, lease: u32) {
        let lent = &self.lent[lease];
        if lent.state == State::Woken {
            self.woken -= 1;
        } else {
            let queue = &mut self.queues[usize::from(lent.priority)];
            queue.remove::<S>(&mut self.lent, lease);
        }
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
    pub(super) fn serve(&mut self, now: u64) {
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
            if self.woken >= MOST_WOKEN || self.room() <= u64::from(self.woken) {
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
                self.woken += 1;
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
            State::Waiting => match message {
                // Nobody told it: it stays where it is in the queue.
                Some(message) if self.may_go_on(lease, now) => {
                    self.lent[lease].message = Some(message);
                    Answer::Wait
                }
                _ => {
                    self.dequeue(lease);
                    self.go_on_waiting(lease, None, now)
                }
            },
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

    fn may_go_on(&self, lease: u32, now: u64) -> bool {
        self.mode != Mode::Closed && now < self.lent[lease].deadline
    }

    fn go_on_waiting(
        &mut self,
        lease: u32,
        message: Option<S::Message>,
        now: u64,
    ) -> Answer<S::Worker> {
        match message {
            _ if self.mode == Mode::Closed => self.finish(lease, Answer::Closed),
            Some(message) if self.may_go_on(lease, now) => {
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
}
