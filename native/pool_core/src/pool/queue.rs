//! Those who wait: lists that run through the leases.

use super::types::{Lent, Shell};
use crate::leases::Leases;
use crate::slab::NONE;

/// In the order in which they came.
pub struct Queue {
    first: u32,
    last: u32,
    len: u32,
}

/// A lease's place in the list that it is in.
#[derive(Clone, Copy)]
pub struct Link {
    next: u32,
    previous: u32,
}

impl Default for Link {
    fn default() -> Self {
        Link {
            next: NONE,
            previous: NONE,
        }
    }
}

type Of<S> = Leases<Lent<<S as Shell>::Message>, <S as Shell>::Watch>;

impl Queue {
    pub const fn new() -> Self {
        Queue {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }

    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// By the time since which it waits, which mostly is at the end that `from_front` tells.
    pub fn insert<S: Shell>(&mut self, lent: &mut Of<S>, index: u32, from_front: bool) {
        let since = lent[index].since;
        let (mut previous, mut next);
        if from_front {
            (previous, next) = (NONE, self.first);
            while next != NONE && lent[next].since < since {
                (previous, next) = (next, lent[next].link.next);
            }
        } else {
            (previous, next) = (self.last, NONE);
            while previous != NONE && lent[previous].since > since {
                (previous, next) = (lent[previous].link.previous, previous);
            }
        }
        lent[index].link = Link { next, previous };
        match previous {
            NONE => self.first = index,
            _ => lent[previous].link.next = index,
        }
        match next {
            NONE => self.last = index,
            _ => lent[next].link.previous = index,
        }
        self.len += 1;
    }

    pub fn remove<S: Shell>(&mut self, lent: &mut Of<S>, index: u32) {
        let Link { next, previous } = std::mem::take(&mut lent[index].link);
        match previous {
            NONE => self.first = next,
            _ => lent[previous].link.next = next,
        }
        match next {
            NONE => self.last = previous,
            _ => lent[next].link.previous = previous,
        }
        self.len -= 1;
    }
}
