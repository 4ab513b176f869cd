//! Campaigns: many seeds on several threads, and their figures.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{Fault, Probe, Report, run};

/// What a campaign came to.
#[derive(Debug, Default)]
pub struct Totals {
    /// Seeds that were run.
    pub seeds: u64,
    /// Time that passed in the simulations.
    pub simulated: Duration,
    /// Calls of stores and commit logs.
    pub calls: u64,
    /// Operations of clients.
    pub operations: u64,
    /// Faults that struck.
    pub faults: BTreeMap<Fault, u64>,
    /// Situations that came about.
    pub probes: BTreeMap<Probe, u64>,
    /// Seeds that broke a promise, and which.
    pub failures: BTreeMap<u64, Vec<String>>,
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.simulated += report.simulated;
        self.calls += report.calls;
        self.operations += report.history.len() as u64;
        for (fault, count) in report.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        for (probe, count) in report.probes {
            *self.probes.entry(probe).or_default() += count;
        }
        if !report.violations.is_empty() {
            self.failures.insert(report.seed, report.violations);
        }
    }

    /// Situations that never came about.
    #[must_use]
    pub fn missed(&self) -> Vec<Probe> {
        Probe::ALL.into_iter().filter(|probe| !self.probes.contains_key(probe)).collect()
    }
}

/// Runs all seeds of a range. `progress` is told after each how many are done.
#[must_use]
pub fn run_all(seeds: Range<u64>, threads: usize, progress: impl Fn(u64) + Sync) -> Totals {
    let (next, end) = (AtomicU64::new(seeds.start), seeds.end);
    let totals = Mutex::new(Totals::default());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = run(seed, false);
                    let mut totals = totals.lock();
                    totals.add(report);
                    progress(totals.seeds);
                }
            });
        }
    });
    totals.into_inner()
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated.as_secs_f64() / 3600.0;
        writeln!(f, "seeds            {}", self.seeds)?;
        writeln!(f, "simulated hours  {hours:.1}")?;
        writeln!(f, "store calls      {}", self.calls)?;
        writeln!(f, "operations       {}", self.operations)?;
        writeln!(f, "faults           {}", self.faults.values().sum::<u64>())?;
        for (fault, count) in &self.faults {
            writeln!(f, "  {:<20} {count}", format!("{fault:?}"))?;
        }
        writeln!(f, "situations")?;
        for probe in Probe::ALL {
            let count = self.probes.get(&probe).copied().unwrap_or(0);
            writeln!(f, "  {:<20} {count}", format!("{probe:?}"))?;
        }
        writeln!(f, "violations       {}", self.failures.len())?;
        for (seed, violations) in &self.failures {
            writeln!(f, "  seed {seed}: {} in all, first:", violations.len())?;
            for violation in violations.iter().take(4) {
                writeln!(f, "    {violation}")?;
            }
        }
        Ok(())
    }
}
