//! What goes into a pool, and what comes out of it.

use super::queue::Link;
use crate::choice::Strategy;

/// What whoever uses a pool fills in.
pub trait Shell {
    /// A worker, as it is given out.
    type Worker: Clone;
    /// What wakes somebody who waits.
    type Message: Copy;
    /// What is kept of an owner, such as what tells of its end.
    type Watch;
}

#[derive(Clone, Debug)]
pub struct Config {
    pub strategy: Strategy,
    /// Uses of a worker at the same time.
    pub concurrency: u32,
    /// Workers.
    pub max: u32,
    /// As many may wait.
    pub queue: u32,
    /// Nanoseconds for which those who wait may be passed.
    pub barging: u64,
    /// Target and interval.
    pub codel: Option<(u64, u64)>,
    /// Least, greatest and first limit of the uses of all workers.
    pub adaptive: Option<(u32, u32, u32)>,
    /// Whether a worker that is used by one at a time goes to its keeper when its user died.
    pub resets: bool,
    /// Nanoseconds in which a latency loses its weight.
    pub latency_decay: u64,
    /// Nanoseconds for which somebody waits who does not say.
    pub checkout_timeout: u64,
    pub seed: u64,
}

impl Default for Config {
    /// A worker to each, in the order in which they came back.
    fn default() -> Self {
        Config {
            strategy: Strategy::Fifo,
            concurrency: 1,
            max: 0,
            queue: u32::MAX,
            barging: 0,
            codel: None,
            adaptive: None,
            resets: true,
            latency_decay: 10_000_000_000,
            checkout_timeout: u64::MAX,
            seed: 0,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Open,
    /// Nobody is served, all wait.
    Suspended,
    /// Nobody comes any more; those who wait are served.
    Draining,
    Closed,
}

/// What somebody who wants a worker is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<W> {
    Granted {
        worker: W,
        lease: u64,
        /// How long it was waited for.
        waited: Option<u64>,
    },
    /// There is none now.
    Wait,
    /// In the queue, by this lease.
    Waiting(u64),
    /// A message has been sent, which is to be received before it is claimed.
    Woken,
    Overloaded,
    Timeout,
    Closed,
    /// No such lease.
    Stale,
    /// The owner has come to its end, or there are too many.
    Refused,
}

/// Why a worker goes to its keeper, who has it from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Who used it has died.
    Reset,
    /// Who used it says so.
    Broken,
    /// It was to retire, or its uses are used up.
    Retire,
}

/// What is to be done when the pool is not locked any more.
pub enum Effect<S: Shell> {
    Wake(S::Message),
    Keeper(S::Worker, u64, Why),
    /// More workers are wanted.
    Grow,
    /// Nothing is in use and nobody waits.
    Drained,
    /// It is closed and nobody needs it any more to be told so.
    Unused,
    /// To be dropped.
    Ended(Option<S::Watch>, Option<S::Worker>),
    /// An owner had so many leases that not all were taken back: go on.
    More(u64),
}

/// Counts since the pool was made.
#[derive(Default, Clone, Copy, Debug)]
pub struct Counts {
    pub checkouts: u64,
    /// Of those, the ones that had waited.
    pub waited: u64,
    pub timeouts: u64,
    /// Turned away at once.
    pub overloads: u64,
    /// Turned away while they waited.
    pub dropped: u64,
    /// Taken back from owners that died.
    pub reclaimed: u64,
    pub broken: u64,
    /// Handed to the first who waited, past all newcomers.
    pub handed_over: u64,
    /// Given to a newcomer while others waited.
    pub barged: u64,
}

/// What a lease is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    #[default]
    Held,
    /// In the queue of its priority.
    Waiting,
    /// Told to look.
    Woken,
    /// Has a worker, and was told to look.
    Granted,
    /// Turned away by overload or because the pool was closed, and told to look.
    Dropped,
    /// Its time is over; nobody was told.
    Expired,
}

/// What a lease stands for.
pub struct Lent<M> {
    pub(super) state: State,
    pub(super) priority: u8,
    pub(super) cell: u32,
    /// The cell's number: another where its worker is gone.
    pub(super) worker: u64,
    /// When it was given, or asked for.
    pub(super) since: u64,
    pub(super) deadline: u64,
    pub(super) key: u64,
    pub(super) link: Link,
    pub(super) message: Option<M>,
}

impl<M> Default for Lent<M> {
    fn default() -> Self {
        Lent {
            state: State::Held,
            priority: 0,
            cell: 0,
            worker: 0,
            since: 0,
            deadline: 0,
            key: 0,
            link: Link::default(),
            message: None,
        }
    }
}

/// What is wanted.
#[derive(Clone, Copy)]
pub struct Want {
    /// The number of whoever wants it.
    pub owner: u64,
    /// Below [`PRIORITIES`].
    pub priority: u8,
    /// Of the strategy by keys.
    pub key: u64,
}

/// What has to happen although the pool may be locked.
#[derive(Clone, Copy)]
pub enum Deferred {
    /// An owner has ended.
    Died {
        owner: u64,
        now: u64,
    },
    Close {
        now: u64,
    },
}
