//! Values to JSON text, into a buffer whose storage the caller chooses.
//!
//! The text is what OTP's `json` writes: the same escapes with upper-case hexadecimal digits,
//! and floats as `float_to_binary(F, [short])` prints them.

mod buffer;
mod escape;
mod number;

pub use buffer::{Buffer, Heap, Storage};
pub use escape::{Escape, InvalidUtf8};
