//! The simulation in the gate: the same seed gives the same run, and no seed breaks a promise.

use std::thread;

use ebb_tests::sim::{self, Death, Speech, campaign};

/// Seeds that every run of the tests goes through.
const SEEDS: u64 = 100;

/// A coordinator dies at each of so many puts from the beginning of a rebalance on.
const PUTS: u32 = 20;

/// Without this, no other result means anything, so it is part of the same test and comes first.
fn same_seed_same_run() {
    for seed in 0..6 {
        let (first, second) = (sim::run(seed, false), sim::run(seed, false));
        assert_eq!(first.history, second.history, "the histories of seed {seed} differ");
        assert_eq!(first.digest, second.digest, "the traces of seed {seed} differ");
    }
    assert_ne!(sim::run(0, false).digest, sim::run(1, false).digest, "seeds make a difference");
}

#[test]
fn no_seed_breaks_a_promise() {
    same_seed_same_run();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let totals = campaign::run_all(0..SEEDS, threads, |_| {});
    assert!(totals.failures.is_empty(), "{totals}");
    let missed: Vec<_> = totals.missed().into_iter().filter(|probe| !probe.is_rare()).collect();
    assert_eq!(missed, [], "these situations never came about:\n{totals}");
}

#[test]
fn a_group_goes_on_wherever_in_a_rebalance_its_coordinator_dies() {
    for (seed, speech) in (1..).zip(Speech::ALL) {
        for death in (1..=PUTS).flat_map(|n| [Death::AtRequest(n), Death::AtAnswer(n)]) {
            let report = sim::fail_over(seed, speech, death, false);
            assert!(report.violations.is_empty(), "{speech:?}, {death:?}: {:#?}", report.violations);
        }
    }
}
