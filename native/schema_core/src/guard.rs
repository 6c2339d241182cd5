//! What one validation may use: steps of work, stack and reported errors.
//!
//! The validator recurses over schema and instance and has no limits of its own. It cannot look
//! at an instance without going through [`crate::node::Node`], and every such look passes here.
//! A limit that is hit unwinds with [`Stop`], which [`catch`] turns into a value.

use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

/// Why a validation was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// More work than allowed.
    Steps,
    /// More stack than allowed.
    Stack,
    /// More errors than are kept.
    Errors,
}

/// What some things cost, in steps, under one schema.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// Making an error.
    pub error: u64,
    /// Looking at 1024 bytes of a string.
    pub kilobyte: u64,
    /// Whether looking at a string costs with the square of its length.
    pub quadratic: bool,
}

pub struct Guard {
    steps: Cell<u64>,
    errors: Cell<u32>,
    costs: Costs,
    /// The lowest address that the stack may reach.
    floor: usize,
}

/// Unlimited; the crate asks for one where it makes a node without an instance.
impl Default for Guard {
    fn default() -> Self {
        Guard {
            steps: Cell::new(u64::MAX),
            errors: Cell::new(u32::MAX),
            costs: Costs::default(),
            floor: 0,
        }
    }
}

#[inline(always)]
fn stack_address() -> usize {
    let marker = 0u8;
    std::ptr::from_ref(std::hint::black_box(&marker)) as usize
}

impl Guard {
    /// Allows `steps` of work, `errors` errors, and `stack` bytes below the caller's frame.
    pub fn new(steps: u64, errors: u32, stack: usize, costs: Costs) -> Self {
        Guard {
            steps: Cell::new(steps),
            errors: Cell::new(errors),
            costs,
            floor: stack_address().saturating_sub(stack),
        }
    }

    #[inline(always)]
    pub fn step(&self, amount: u64) {
        let left = self.steps.get();
        if left < amount || stack_address() < self.floor {
            self.stop(left < amount);
        }
        self.steps.set(left - amount);
    }

    /// A look at a string of this many bytes, which may be matched against a pattern.
    #[inline]
    pub fn text(&self, length: usize) {
        let length = length as u64;
        self.step(1 + length.saturating_mul(self.costs.kilobyte) / 1024);
        if self.costs.quadratic {
            self.step(length.saturating_mul(length) / 16);
        }
    }

    #[cold]
    fn stop(&self, steps: bool) -> ! {
        resume_unwind(Box::new(if steps { Stop::Steps } else { Stop::Stack }))
    }

    pub fn error(&self) {
        self.step(self.costs.error);
        let left = self.errors.get();
        if left == 0 {
            resume_unwind(Box::new(Stop::Errors));
        }
        self.errors.set(left - 1);
    }

    pub fn steps_left(&self) -> u64 {
        self.steps.get()
    }
}

/// Runs `body`; `Err` says which limit stopped it. Other panics pass on.
pub fn catch<T>(body: impl FnOnce() -> T) -> Result<T, Stop> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| match payload.downcast::<Stop>() {
        Ok(stop) => *stop,
        Err(payload) => resume_unwind(payload),
    })
}
