//! Prints the counts for each kind of target and number of threads, and what a choice takes one
//! thread alone.

use erlmcp_bench_lines::{rate_over_one, Counts, LINE, TRANSFER_NS};
use erlmcp_bench_pool_lines::{count, Kind, KINDS};
use pool_core::choice::Strategy;
use pool_core::pool::{Answer, Config, Pool, Shell, Want};
use std::time::Instant;

const OPERATIONS: usize = 2_000;
const THREADS: [usize; 6] = [1, 2, 8, 16, 32, 64];

/// How many times the rate of one thread there can be, where an operation waits for the lines that
/// move one after the other, and where for all at once. Under one lock nobody else goes on meanwhile.
fn rates(kind: &Kind, counts: Counts, threads: usize) -> [f64; 2] {
    if !kind.is_serial {
        return [rate_over_one(counts, OPERATIONS, kind.alone_ns, threads); 2];
    }
    [counts.shared_writes + counts.fetches, counts.hottest].map(|moves| {
        let waited = moves as f64 / OPERATIONS as f64 * TRANSFER_NS;
        kind.alone_ns / (kind.alone_ns + waited)
    })
}

fn report(kind: &Kind) {
    for threads in THREADS {
        let counts = count(&mut *(kind.make)(threads), threads, OPERATIONS);
        let by_operation = |count: u64| count as f64 / OPERATIONS as f64;
        let [in_turn, at_once] = rates(kind, counts, threads);
        println!(
            "{:<28}{threads:>8}{:>10.3}{:>10.3}{:>10.4}{in_turn:>10.2}{at_once:>10.2}",
            kind.name,
            by_operation(counts.writes),
            by_operation(counts.shared_writes),
            by_operation(counts.hottest)
        );
    }
}

struct Nothing;

impl Shell for Nothing {
    type Worker = u64;
    type Message = ();
    type Watch = ();
}

const PAIRS: u32 = 200_000;
const ROUNDS: usize = 21;

/// Nanoseconds of a checkout and the checkin: the median of the rounds.
fn pair_ns(strategy: Strategy, workers: u32) -> f64 {
    let mut pool: Pool<Nothing> = Pool::new(Config {
        strategy,
        max: workers,
        seed: 1,
        ..Config::default()
    });
    for worker in 0..workers {
        assert!(pool.add(worker.into(), u64::MAX, 0).is_some());
    }
    let want = Want {
        owner: 1,
        priority: 1,
        key: 1,
    };
    let mut now = 0;
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..PAIRS {
                now += 100;
                let Answer::Granted { lease, .. } = pool.checkout(want, now, |_| Some(())) else {
                    panic!("a worker is free");
                };
                assert!(pool.checkin(lease, false, now));
            }
            start.elapsed().as_nanos() as f64 / f64::from(PAIRS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn main() {
    println!(
        "by operation: writes of lines of {LINE} bytes, those that take a line from another thread's\n\
         cache, writes of this kind to the one line that has the most; and how many times the rate of\n\
         one thread there can be, where a line takes {TRANSFER_NS} ns from core to core and an operation\n\
         waits for one after the other, or for all that move at once.\n"
    );
    println!(
        "{:<28}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "threads", "writes", "shared", "hottest", "in turn", "at once"
    );
    KINDS.iter().for_each(report);
    println!("\na checkout and the checkin in pool_core alone, ns by pair");
    println!(
        "{:<14}{:>10}{:>10}{:>10}",
        "workers", "10", "1,000", "10,000"
    );
    for (name, strategy) in [
        ("lifo", Strategy::Lifo),
        ("fifo", Strategy::Fifo),
        ("round_robin", Strategy::RoundRobin),
        ("random", Strategy::Random),
        ("least_loaded", Strategy::LeastLoaded),
        ("p2c", Strategy::P2c),
        ("hash", Strategy::Hash),
    ] {
        let [ten, thousand, many] = [10, 1_000, 10_000].map(|workers| pair_ns(strategy, workers));
        println!("{name:<14}{ten:>10.1}{thousand:>10.1}{many:>10.1}");
    }
}
