//! The native cache: its parts are in `cache_core`, here are its terms.

// Until the NIFs call them.
#![allow(dead_code, unused_imports)]

pub mod forms;
pub mod held;
