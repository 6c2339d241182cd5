//! Which thread's cache has which line of memory, as the usual protocols (MESI) keep it: a write
//! takes the line away from all others, a read from a thread that has it not fetches it.

pub mod atomics;

use std::cell::RefCell;
use std::collections::HashMap;

/// Bytes.
pub const LINE: usize = 64;
/// Threads are bits of a word.
pub const MAX_THREADS: usize = 64;
/// What moving a line from one core's cache to another's takes: 25 ns between neighbours, 100 to
/// 150 between sockets.
pub const TRANSFER_NS: f64 = 100.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Stores and read-modify-writes.
    pub writes: u64,
    /// Those to a line that another thread had since this one last wrote it.
    pub shared_writes: u64,
    /// Reads of a line that another thread has written since this one last had it.
    pub fetches: u64,
    /// Shared writes to the line that had the most.
    pub hottest: u64,
}

#[derive(Clone, Copy, Default)]
struct Line {
    /// Who has it, and who has ever had it: bits.
    holders: u64,
    met: u64,
}

#[derive(Default)]
struct Lines {
    is_counting: bool,
    thread: u32,
    lines: HashMap<usize, Line>,
    counts: Counts,
    shared_writes: HashMap<usize, u64>,
}

thread_local! {
    static LINES: RefCell<Lines> = RefCell::default();
}

/// What follows is done by this thread.
pub fn switch_to(thread: usize) {
    LINES.with_borrow_mut(|lines| lines.thread = thread as u32);
}

/// Forgets the counts, not who has what.
pub fn start() {
    LINES.with_borrow_mut(|lines| {
        lines.is_counting = true;
        lines.counts = Counts::default();
        lines.shared_writes.clear();
    });
}

/// Counts no more, forgets everything, and tells what was counted.
pub fn stop() -> Counts {
    let lines = LINES.take();
    Counts {
        hottest: lines.shared_writes.into_values().max().unwrap_or(0),
        ..lines.counts
    }
}

pub fn read<T>(of: &T) {
    LINES.with_borrow_mut(|lines| {
        let me = 1 << lines.thread;
        let line = std::ptr::from_ref(of).addr() / LINE;
        let line = lines.lines.entry(line).or_default();
        // Who meets a line for the first time waits for it once, not with each operation.
        let is_fetch = line.holders & me == 0 && line.met & me != 0;
        line.holders |= me;
        line.met |= me;
        lines.counts.fetches += u64::from(lines.is_counting && is_fetch);
    });
}

pub fn write<T>(of: &T) {
    LINES.with_borrow_mut(|lines| {
        let me = 1 << lines.thread;
        let address = std::ptr::from_ref(of).addr() / LINE;
        let line = lines.lines.entry(address).or_default();
        let others = line.holders & !me;
        line.holders = me;
        line.met |= me;
        if lines.is_counting {
            lines.counts.writes += 1;
            if others != 0 {
                lines.counts.shared_writes += 1;
                *lines.shared_writes.entry(address).or_default() += 1;
            }
        }
    });
}

/// How many times the rate of one thread that many can have at most: each line that moves is
/// waited for, and the line that moves the most can be in one place at a time.
pub fn rate_over_one(counts: Counts, operations: usize, alone_ns: f64, threads: usize) -> f64 {
    let per_operation = |count: u64| count as f64 / operations as f64;
    let moved = per_operation(counts.shared_writes + counts.fetches);
    let waited = threads as f64 * alone_ns / (alone_ns + moved * TRANSFER_NS);
    let one_place = alone_ns / (per_operation(counts.hottest) * TRANSFER_NS);
    waited.min(one_place).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(64))]
    struct Alone(#[allow(dead_code)] u64);

    #[test]
    fn a_line_of_one_thread_is_not_shared() {
        let line = Alone(0);
        switch_to(3);
        start();
        for _ in 0..10 {
            read(&line);
            write(&line);
        }
        let counts = stop();
        assert_eq!(
            counts,
            Counts {
                writes: 10,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn writers_take_turns_and_readers_fetch() {
        let (line, other) = (Alone(0), Alone(0));
        switch_to(2);
        read(&line);
        switch_to(0);
        write(&line);
        start();
        // The other's line: one of it is nothing to the first.
        switch_to(1);
        write(&other);
        write(&line);
        write(&line);
        switch_to(2);
        read(&line);
        read(&line);
        switch_to(1);
        read(&line);
        write(&line);
        let counts = stop();
        assert_eq!(
            counts,
            Counts {
                writes: 4,
                shared_writes: 2,
                fetches: 1,
                hottest: 2
            }
        );
    }

    #[test]
    fn neighbours_in_a_line_are_one() {
        #[repr(align(64))]
        struct Two([u64; 2]);
        let line = Two([0; 2]);
        switch_to(0);
        start();
        write(&line.0[0]);
        switch_to(1);
        write(&line.0[1]);
        assert_eq!(stop().shared_writes, 1);
    }
}
