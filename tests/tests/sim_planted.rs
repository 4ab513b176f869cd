//! Every planted bug is found within a few seeds. Run with
//! `cargo test --release -p ebb-tests --features planted-bugs --test sim_planted`.
#![expect(clippy::print_stdout, reason = "how fast each bug is found is of interest")]

use std::thread;

use ebb_protocol::planted::{Bug, plant};
use ebb_tests::sim;
use parking_lot::Mutex;

/// Each bug is found within this many seeds.
const SEEDS_MAX: u64 = 50;

/// Bugs of the archive that the simulation does not find: tests of their own do,
/// `cargo test -p ebb-metastore -p ebb-compactor --features planted-bugs planted`.
const ELSEWHERE: [Bug; 2] = [Bug::PublishUnchecked, Bug::ArchiveGraceIgnored];

/// The first seed that finds the bug, and how.
fn hunt(bug: Bug) -> Option<(u64, String)> {
    plant(Some(bug));
    let found = (0..SEEDS_MAX).find_map(|seed| {
        let report = sim::run(seed, false);
        Some((seed, report.violations.into_iter().next()?))
    });
    plant(None);
    found
}

#[test]
fn every_planted_bug_is_found() {
    let simulated: Vec<_> = Bug::ALL.into_iter().filter(|bug| !ELSEWHERE.contains(bug)).collect();
    let (left, missed) = (Mutex::new(simulated), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(bug) = { left.lock().pop() } {
                    match hunt(bug) {
                        Some((seed, how)) => println!("{bug:?}: found after {} seeds: {how}", seed + 1),
                        None => missed.lock().push(bug),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner();
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:?}");
}
