//! JSON Schema, drafts 4 to 2020-12: compile once, check many, under caps.
//!
//! The `jsonschema` crate does the validation, over a tree of ours ([`instance`]) instead of its
//! own, so that an instance is built by events without recursion and every look at it is counted
//! ([`guard`]). No reference is ever fetched.
#![forbid(unsafe_code)]

pub mod bytes;
mod compile;
mod guard;
pub mod instance;
mod node;
mod number;
mod stack;
mod unique;

pub use compile::{compile, CompileError, Document, Options};
pub use guard::Stop;
pub use jsonschema::Draft;

use guard::{catch, Guard};
use instance::Instance;
use node::{cut, Node, Tree};

/// Longer messages are cut.
const MAX_MESSAGE: usize = 1024;

/// With more errors than this only the first is reported.
const MAX_COLLECTED: u32 = 10_000;

/// A compiled schema.
pub struct Schema {
    validator: jsonschema::Validator<Tree>,
    max_errors: usize,
    /// The values in the schema document; what freeing it costs grows with them.
    size: usize,
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
        let all = self.run(limits, MAX_COLLECTED, &|guard| {
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
        self.run(limits, u32::MAX, &|guard| {
            let node = Node {
                slot: instance.root,
                guard,
            };
            match self.validator.validate(node) {
                Ok(()) => Vec::new(),
                Err(error) => vec![Violation::new(&error)],
            }
        })
    }

    fn run<T: Send>(
        &self,
        limits: Limits,
        errors: u32,
        body: &(dyn Fn(&Guard) -> T + Sync),
    ) -> Verdict<T> {
        let guarded = |stack| {
            let guard = Guard::new(limits.steps, errors, stack);
            let result = catch(|| body(&guard));
            Verdict {
                result,
                steps: limits.steps - guard.steps_left(),
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

/// Schemas with more values take longer than a scheduler can spare to free.
const LARGE_SCHEMA: usize = 1_000;

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
}
