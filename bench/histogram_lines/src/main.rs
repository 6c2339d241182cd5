//! Prints the counts for each kind of target and number of threads.

use erlmcp_bench_histogram_lines::{count, Kind, KINDS};
use erlmcp_bench_lines::{rate_over_one, LINE, TRANSFER_NS};

const RECORDS: usize = 100_000;
const THREADS: [usize; 6] = [1, 2, 8, 16, 32, 64];
/// Records between two readings of everything, 0 for none: a rate of a million a second that is
/// read once in 100 ms.
const READ_EVERY: [usize; 2] = [0, 100_000];

fn report(kind: &Kind, read_every: usize) {
    for threads in THREADS {
        let counts = count(&*(kind.make)(threads), threads, RECORDS, read_every);
        let by_record = |count: u64| count as f64 / RECORDS as f64;
        println!(
            "{:<26}{threads:>8}{:>10.3}{:>10.3}{:>10.3}{:>10.4}{:>12.1}",
            kind.name,
            by_record(counts.writes),
            by_record(counts.shared_writes),
            by_record(counts.fetches),
            by_record(counts.hottest),
            rate_over_one(counts, RECORDS, kind.alone_ns, threads)
        );
    }
}

fn main() {
    println!(
        "by record: atomic writes, those that take a line of {LINE} bytes from another thread's\n\
         cache, reads that fetch again what another has written, writes of the first kind to the\n\
         one line that has the most; and how many times the rate of one thread there can be at\n\
         most, where a line takes {TRANSFER_NS} ns from core to core."
    );
    for read_every in READ_EVERY {
        match read_every {
            0 => println!("\nnobody reads"),
            _ => println!("\neverything is read once in {read_every} records"),
        }
        println!(
            "{:<26}{:>8}{:>10}{:>10}{:>10}{:>10}{:>12}",
            "", "threads", "writes", "shared", "fetches", "hottest", "rate <="
        );
        for kind in &KINDS {
            report(kind, read_every);
        }
    }
}
