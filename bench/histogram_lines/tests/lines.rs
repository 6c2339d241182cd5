//! What the record path promises.

use erlmcp_bench_histogram_lines::{count, Kind, KINDS};

const RECORDS: usize = 20_000;

fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).expect("a kind")
}

#[test]
fn a_record_takes_no_line_from_another() {
    for name in ["histogram", "rate"] {
        let kind = kind(name);
        for threads in [2, 64] {
            let counts = count(&*(kind.make)(threads), threads, RECORDS, 0);
            assert_eq!(counts.shared_writes, 0, "{name} {threads}: {counts:?}");
            assert_eq!(counts.fetches, 0, "{name} {threads}: {counts:?}");
            assert!(
                counts.writes >= RECORDS as u64,
                "{name} {threads}: {counts:?}"
            );
        }
    }
}

/// Threads beyond those foreseen share a part.
#[test]
fn a_part_that_is_shared_moves() {
    let histogram = (kind("histogram").make)(2);
    let counts = count(&*histogram, 8, RECORDS, 0);
    assert!(counts.shared_writes > RECORDS as u64 / 2, "{counts:?}");
}

#[test]
fn who_reads_makes_each_line_move_once() {
    let histogram = (kind("histogram").make)(8);
    let counts = count(&*histogram, 8, RECORDS, RECORDS / 2);
    assert!(counts.shared_writes > 0, "{counts:?}");
    assert!(counts.shared_writes < RECORDS as u64 / 4, "{counts:?}");
}

#[test]
fn one_atomic_moves_at_each_record() {
    let counts = count(&*(kind("one atomic").make)(8), 8, RECORDS, 0);
    assert!(counts.hottest > RECORDS as u64 * 8 / 10, "{counts:?}");
    let counts = count(&*(kind("16 atomics").make)(16), 16, RECORDS, 0);
    assert_eq!(counts.shared_writes, 0, "{counts:?}");
}
