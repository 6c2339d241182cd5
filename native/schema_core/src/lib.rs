//! JSON Schema, drafts 4 to 2020-12: compile once, check many, under caps.
//!
//! The `jsonschema` crate does the validation, over a tree of ours ([`instance`]) instead of its
//! own, so that an instance is built by events without recursion and every look at it is counted
//! ([`guard`]). No reference is ever fetched.
#![forbid(unsafe_code)]

mod branches;
pub mod bytes;
mod compile;
mod guard;
pub mod instance;
mod node;
mod number;
mod pattern;
mod stack;
mod unique;

pub use compile::{compile, CompileError, Document, Options};
pub use guard::Stop;
pub use jsonschema::Draft;

use guard::{catch, Costs, Guard};
use instance::Instance;
use node::{cut, Node, Tree};

/// Longer messages are cut.
const MAX_MESSAGE: usize = 1024;

/// With more errors than this, those of failed alternatives included, only the first is reported.
const MAX_COLLECTED: u32 = 10_000;

/// What making an error costs, in steps.
const ERROR_STEPS: u64 = 100;

/// What looking at 1024 bytes of a string costs, in steps, without a pattern.
const KILOBYTE_STEPS: u64 = 16;

/// Bytes that the paths in the errors of one validation may take.
const ERROR_PATHS: usize = 64 << 20;

/// Paths of a schema that cost as much as one look at the instance.
const PATHS_PER_STEP: u64 = 4;

/// With longer paths between two looks at the instance the guard sees the stack too late for a
/// scheduler's.
const SHORT_PATH: u64 = 64;

/// A compiled schema.
pub struct Schema {
    validator: jsonschema::Validator<Tree>,
    max_errors: usize,
    /// The values in the schema document; what freeing it costs grows with them.
    size: usize,
    branches: branches::Branches,
    patterns: pattern::Patterns,
}

/// One way in which an instance does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON Pointer into the instance.
    pub instance_path: String,
    /// JSON Pointer to the keyword in the schema.
    pub schema_path: String,
    pub keyword: String,
    pub message: String,
}

/// What one validation may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Looks at the instance, each some 10 ns.
    pub steps: u64,
    /// Bytes of stack below the caller; `None` for a thread with a large one.
    pub stack: Option<usize>,
}

/// What a validation has found, and the steps it took.
pub struct Verdict<T> {
    pub result: Result<T, Stop>,
    pub steps: u64,
}

impl Schema {
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn is_valid(&self, instance: Instance<'_>, limits: Limits) -> Verdict<bool> {
        self.run(limits, u32::MAX, &|guard| {
            self.validator.is_valid(Node {
                slot: instance.root,
                guard,
            })
        })
    }

    /// The violations, at most as many as the schema's `max_errors`; none when `instance` fits.
    pub fn violations(&self, instance: Instance<'_>, limits: Limits) -> Verdict<Vec<Violation>> {
        let collected = MAX_COLLECTED
            .min((ERROR_PATHS / (instance.longest_path + 1)) as u32)
            .max(1);
        let all = self.run(limits, collected, &|guard| {
            let node = Node {
                slot: instance.root,
                guard,
            };
            if self.validator.is_valid(node) {
                return Vec::new();
            }
            self.validator
                .iter_errors(node)
                .take(self.max_errors)
                .map(|error| Violation::new(&error))
                .collect()
        });
        if all.result != Err(Stop::Errors) {
            return all;
        }
        let first = self.run(limits, collected, &|guard| {
            let node = Node {
                slot: instance.root,
                guard,
            };
            match self.validator.validate(node) {
                Ok(()) => Vec::new(),
                Err(error) => vec![Violation::new(&error)],
            }
        });
        if first.result != Err(Stop::Errors) {
            return first;
        }
        Verdict {
            result: Ok(vec![Violation::unexplained()]),
            steps: first.steps,
        }
    }

    /// Whether a validation may take long whatever the instance: a scheduler's stack or time
    /// slice is then too small.
    pub fn is_heavy(&self) -> bool {
        self.patterns.backtrack || self.branches.length > SHORT_PATH
    }

    fn run<T: Send>(
        &self,
        limits: Limits,
        errors: u32,
        body: &(dyn Fn(&Guard) -> T + Sync),
    ) -> Verdict<T> {
        // Between two looks at the instance the validator may walk all paths of the schema.
        let weight = (self.branches.paths / PATHS_PER_STEP).max(1);
        let steps = limits.steps / weight;
        let costs = Costs {
            error: (ERROR_STEPS / weight).max(1),
            kilobyte: KILOBYTE_STEPS + self.patterns.size,
            quadratic: self.patterns.backtrack,
        };
        let guarded = |stack| {
            let guard = Guard::new(steps, errors, stack, costs);
            let result = catch(|| body(&guard));
            Verdict {
                result,
                steps: (steps - guard.steps_left()) * weight,
            }
        };
        match limits.stack {
            Some(stack) => guarded(stack),
            None => stack::on_large_stack(|| guarded(stack::LARGE_STACK_USE)).unwrap_or(Verdict {
                result: Err(Stop::Stack),
                steps: 0,
            }),
        }
    }

    /// Frees the schema, a large one on another thread.
    pub fn release(self) {
        if self.size > LARGE_SCHEMA {
            stack::drop_elsewhere(self);
        }
    }
}

/// Schemas with more values may take longer than a scheduler can spare to free.
/// Measured: 3 ms for 300 nested `not`, each of which keeps a copy of what is in it.
const LARGE_SCHEMA: usize = 100;

impl Violation {
    fn new(error: &jsonschema::ValidationError<'_>) -> Self {
        use serde_json::Value;
        // Arrays and objects are named, not shown.
        let mut message = match error.instance().as_ref() {
            Value::Array(_) => error.masked_with("array").to_string(),
            Value::Object(_) => error.masked_with("object").to_string(),
            _ => error.to_string(),
        };
        let kept = cut(&message, MAX_MESSAGE).len();
        message.truncate(kept);
        Violation {
            instance_path: error.instance_path().as_str().to_owned(),
            schema_path: error.schema_path().as_str().to_owned(),
            keyword: error.kind().keyword().to_owned(),
            message,
        }
    }

    /// Of an instance that does not fit in more ways than are listed, even for its first error.
    fn unexplained() -> Self {
        Violation {
            instance_path: String::new(),
            schema_path: String::new(),
            keyword: String::new(),
            message: format!("does not fit the schema, with more than {MAX_COLLECTED} errors"),
        }
    }
}
