//! Ends before the end, and what is left in the directory.

use crate::support::*;
use cache_core::snapshot::{read, write, Control, Error, Records};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn a_cancelled_save_leaves_the_old_file_and_nothing_else() {
    let scratch = Scratch::new();
    let old = numbered(50);
    save(&scratch.file(), &old, 10, 1);
    let control = Control::new(2);
    let mut given = 0u32;
    let result = write(
        &scratch.file(),
        &HEAD,
        &control,
        || {
            given += 1;
            if given == 100 {
                control.cancel();
            }
            Some(given) // without end
        },
        |n, out: &mut Records| out.push(&numbered(n % 3 + 1)[0].lend()),
    );
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_whole(&scratch.file(), &old, 1);
    assert_eq!(scratch.names(), ["cache.snapshot"]);
}

#[test]
fn a_cancelled_load_stops_early() {
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(10_000), 10, 1);
    let control = Control::new(1);
    let mut found = 0;
    let result = read(
        &scratch.file(),
        &control,
        |_, chunk| chunk.count(),
        |_| {
            found += 1;
            if found == 100 {
                control.cancel();
            }
        },
    );
    assert!(matches!(result, Err(Error::Cancelled)));
    assert!(found < 1_000);
}

#[test]
fn a_panic_while_encoding_leaves_the_old_file() {
    let scratch = Scratch::new();
    let old = numbered(5);
    save(&scratch.file(), &old, 10, 1);
    let panicked = std::panic::catch_unwind(|| {
        let mut batches = 0..10;
        write(
            &scratch.file(),
            &HEAD,
            &Control::new(2),
            || batches.next(),
            |n, _: &mut Records| assert!(n != 5, "on purpose"),
        )
    });
    assert!(panicked.is_err());
    assert_whole(&scratch.file(), &old, 1);
    assert_eq!(scratch.names(), ["cache.snapshot"]);
}

#[test]
fn two_writers_of_a_file_do_not_mix() {
    let scratch = Scratch::new();
    let records = numbered(1);
    let mut first = true;
    write(
        &scratch.file(),
        &HEAD,
        &Control::new(1),
        || {
            let other = write(
                &scratch.file(),
                &HEAD,
                &Control::new(1),
                || None,
                |(), _| (),
            );
            assert!(matches!(other, Err(Error::Busy)));
            std::mem::take(&mut first).then_some(())
        },
        |(), out: &mut Records| out.push(&records[0].lend()),
    )
    .unwrap();
    assert_whole(&scratch.file(), &records, 1);
}

#[test]
fn what_cannot_be_written_is_an_error_and_leaves_no_litter() {
    let scratch = Scratch::new();
    let save_to = |path: &Path| write(path, &HEAD, &Control::new(1), || None, |(), _| ());
    assert!(matches!(save_to(&scratch.0), Err(Error::Io(_)))); // a directory
    assert!(matches!(
        save_to(&scratch.0.join("none/cache.snapshot")),
        Err(Error::Io(_))
    ));
    assert!(scratch.names().is_empty());
    // Nothing is written through a link that was left there.
    let other = scratch.0.join("other");
    fs::write(&other, b"precious").unwrap();
    std::os::unix::fs::symlink(&other, scratch.0.join("cache.snapshot.tmp")).unwrap();
    assert!(matches!(save_to(&scratch.file()), Err(Error::Io(_))));
    assert_eq!(fs::read(&other).unwrap(), b"precious");
}

#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    save(&scratch.file(), &numbered(1), 1, 1);
    let mode = fs::metadata(scratch.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Not a test by itself: what [`killed_in_the_middle`] runs in a process of its own.
#[test]
fn writes_long_when_asked_to() {
    let Some(path) = std::env::var_os("SNAPSHOT_TO_BE_KILLED") else {
        return;
    };
    let records = numbered(1_000);
    let mut batches = 0..10_000; // a minute, lest a failed test's child fill the disk
    let _ = write(
        Path::new(&path),
        &HEAD,
        &Control::new(1),
        || batches.next(),
        |_, out: &mut Records| {
            std::thread::sleep(Duration::from_millis(5));
            records.iter().for_each(|record| out.push(&record.lend()));
        },
    );
    panic!("should have been killed");
}

#[test]
fn killed_in_the_middle() {
    let scratch = Scratch::new();
    let temporary = scratch.0.join("cache.snapshot.tmp");
    let old = numbered(100);
    save(&scratch.file(), &old, 10, 1);
    for _ in 0..3 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "files::writes_long_when_asked_to"])
            .env("SNAPSHOT_TO_BE_KILLED", scratch.file())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // The one before left a file of that size, which this one begins with emptying.
        let begun = |least| fs::metadata(&temporary).is_ok_and(|found| found.len() > least);
        while !begun(100_000) {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_whole(&scratch.file(), &old, 1);
        assert_eq!(scratch.names(), ["cache.snapshot", "cache.snapshot.tmp"]);
        assert!(load(&temporary, 1).0.is_err());
    }
    // What was left is taken over.
    let new = numbered(7);
    save(&scratch.file(), &new, 2, 1);
    assert_whole(&scratch.file(), &new, 1);
    assert_eq!(scratch.names(), ["cache.snapshot"]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_threads_end_with_the_call() {
    let named = || {
        fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("erlmcp_snap_"))
            .count()
    };
    // In a process of its own, since the other tests use such threads at the same time.
    if std::env::var_os("SNAPSHOT_THREADS").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "files::the_threads_end_with_the_call"])
            .env("SNAPSHOT_THREADS", "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let scratch = Scratch::new();
    let mut during = 0;
    let mut batches = 0..50;
    write(
        &scratch.file(),
        &HEAD,
        &Control::new(3),
        || {
            std::thread::sleep(Duration::from_millis(2)); // they may be slow to start
            during = during.max(named());
            batches.next()
        },
        |_, out: &mut Records| numbered(9).iter().for_each(|one| out.push(&one.lend())),
    )
    .unwrap();
    assert_eq!(during, 3);
    // They have been joined, but the kernel may list them a moment longer.
    let deadline = Instant::now() + Duration::from_secs(5);
    while named() > 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
}
