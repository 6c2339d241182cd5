//! Threads for the time of a call.

use super::{Control, Error};
use std::io;

/// Gives `body` a pool of its own, whose threads have ended when this returns.
pub fn with_pool<R>(
    control: &Control,
    body: impl FnOnce(&rayon::ThreadPool) -> Result<R, Error>,
) -> Result<R, Error> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(control.threads)
        .thread_name(|index| format!("erlmcp_snap_{index}")) // the kernel keeps 15 bytes
        .build_scoped(|thread| thread.run(), body)
        .map_err(|error| Error::Io(io::Error::other(error)))?
}
