//! Runs the simulation: `sim --seeds 1000` a campaign, `sim --seed 7` one seed with its plan, `--trace` with every
//! call. Ends with 1 when a promise was broken or, in a campaign, a situation never came about.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line tool")]

use std::{fs::File, process::ExitCode, thread};

use ebb_tests::{
    check::write_jsonl,
    sim::{self, campaign},
};

/// A campaign of fewer seeds than this need not meet every situation.
const SEEDS_FOR_ALL_PROBES: u64 = 500;

const USAGE: &str =
    "usage: sim --seeds COUNT [--from SEED] [--threads N] | sim --seed SEED [--trace] [--history FILE]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str| value(name).and_then(|value| value.parse::<u64>().ok());
    let trace = arguments.iter().any(|argument| argument == "--trace");
    match (number("--seed"), number("--seeds")) {
        (Some(seed), None) => one(seed, trace, value("--history")),
        (None, Some(count)) => {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            let threads = number("--threads").and_then(|n| usize::try_from(n).ok()).unwrap_or(cores);
            many(number("--from").unwrap_or(0), count, threads)
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64, trace: bool, history: Option<String>) -> ExitCode {
    let report = sim::run(seed, trace);
    println!("seed {seed}: {:#?}", report.plan);
    println!(
        "digest {:016x}, {:.1} s simulated, {} calls, {} operations",
        report.digest,
        report.simulated.as_secs_f64(),
        report.calls,
        report.history.len()
    );
    println!("faults {:?}\nsituations {:?}", report.faults, report.probes);
    if let Some(path) = history {
        let written = File::create(&path).and_then(|mut file| write_jsonl(&report.history, &mut file));
        if let Err(error) = written {
            eprintln!("{path} cannot be written: {error}");
        }
    }
    for violation in &report.violations {
        println!("{violation}");
    }
    ExitCode::from(u8::from(!report.violations.is_empty()))
}

fn many(from: u64, count: u64, threads: usize) -> ExitCode {
    let totals = campaign::run_all(from..from + count, threads, |done| {
        if done % 50 == 0 {
            eprintln!("{done} of {count} seeds");
        }
    });
    print!("{totals}");
    let missed = totals.missed();
    if count >= SEEDS_FOR_ALL_PROBES && !missed.is_empty() {
        println!("never came about: {missed:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::from(!totals.failures.is_empty()))
}
