//! Circuit breakers: who may call what has failed of late.

pub mod gate;
pub mod machine;
pub mod settings;
mod window;

pub use gate::Gate;
pub use machine::{Cause, Change, Counts, Entry, Left, Machine, Outcome, Report, StateName, Token};
pub use settings::{Settings, Span, Wait};
pub use window::Tally;
