//! Rate limits: how much of something a key may use in a time.
//!
//! A [`Meter`] is what is remembered of one key, and says whether it may go on: [`bucket`] by a
//! rate and a burst, [`window`] by what there was in the last while, [`held`] by what is in use. A
//! [`shard`] holds the meters of many keys in bounded memory, and shuts keys out that do not
//! listen.

pub mod bucket;
pub mod hash;
pub mod held;
pub mod shard;
pub mod table;
pub mod window;

/// The most that may be allowed, and asked for at once. Nothing below overflows with it.
pub const LARGEST: u64 = 1_000_000_000;

/// The longest time for which a limit may be, in nanoseconds: some 36 years.
pub const LONGEST: u64 = 1 << 60;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// From 1 to [`LARGEST`].
    pub cost: u64,
    /// So much must be left for those who are more important.
    pub floor: u64,
    /// Goes on whatever the meter says, but is counted.
    pub bypass: bool,
}

impl Ask {
    /// For one, by one to whom all is open.
    pub const ONE: Ask = Ask {
        cost: 1,
        floor: 0,
        bypass: false,
    };
}

/// There is no time after which it would be otherwise.
pub const NEVER: u64 = u64::MAX;

/// What a meter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Taken {
        /// How much could be taken at the same moment by one who asks likewise.
        left: u64,
        /// How much is before this one, in units of the meter's plan: see
        /// [`bucket::Plan::nanoseconds`].
        ahead: u128,
    },
    Refused {
        /// After so many nanoseconds it would be taken if nobody else came, or [`NEVER`].
        wait: u64,
    },
}

/// What is remembered of a key. A new one is the default.
pub trait Meter: Copy + Default + Send + 'static {
    /// What is allowed, the same for all keys.
    type Plan;

    /// Whether a key may be forgotten while there is something to remember of it.
    const FORGETTABLE: bool;

    /// Takes what is asked for, or says why not. Times may go back a little, as those of different
    /// cores do: nothing more is allowed then.
    fn take(&mut self, plan: &Self::Plan, now: u64, ask: &Ask) -> Verdict;

    /// When it will be like a new one if nobody comes, on the scale of [`Self::rank_of`]. It never
    /// gets less by taking.
    fn rank(&self, plan: &Self::Plan) -> u128;

    /// A time on the scale of ranks. What has a rank up to that of now is like a new one.
    fn rank_of(plan: &Self::Plan, time: u64) -> u128;
}
