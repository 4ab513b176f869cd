//! `ebb fsck`: opens the store, reads the metastore without changing it, and checks that both agree. It may run beside
//! live agents: objects that are younger than its look at the metastore are not its business.

mod archives;
mod objects;
mod partitions;

use std::sync::Arc;

use ebb_metastore::{log::CommitLog, state::State};
use object_store::ObjectStore;
use serde::Serialize;

use crate::{
    args::FsckArgs,
    bucket::Opened,
    output::{self, Failure},
    progress::Progress,
};

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// The position of the next entry of the commit log.
    position: u64,
    topics: usize,
    partitions: usize,
    records: i64,
    /// Objects that the state refers to, and their bytes.
    objects: usize,
    bytes: u64,
    /// Segments and archive files that nothing refers to: left by a killed agent or a failed append, or dead and within their grace.
    unreferenced: u64,
    unreferenced_bytes: u64,
    /// Those of them that were never committed and are so old that the next sweep deletes them.
    orphans: u64,
    orphans_bytes: u64,
    /// What is wrong, each naming the thing.
    problems: Vec<String>,
}

pub(crate) async fn run(args: FsckArgs) -> Result<(), Failure> {
    let Opened { url, store, log, state } = Opened::open(&args.bucket).await?;
    let report = check(&store, &log, &state).await?;
    if args.json {
        output::json(&report)?;
    } else {
        print(&url, &report)?;
    }
    match report.problems.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{url}: {count} problems found"))),
    }
}

async fn check(
    store: &Arc<dyn ObjectStore>,
    log: &Arc<dyn CommitLog>,
    state: &State,
) -> Result<Report, Failure> {
    let mut report = summary(state);
    let expected = partitions::check(state, &mut report.problems);
    let mut progress = Progress::bytes(Some(report.bytes));
    objects::check(state, store, log, expected, &mut report, &mut progress).await?;
    progress.finish();
    Ok(report)
}

fn summary(state: &State) -> Report {
    let summary = state.summary();
    let bytes = state.references().objects.values().map(|used| used.bytes).sum();
    Report {
        position: summary.position.0,
        topics: summary.topics,
        partitions: summary.partitions,
        records: summary.records,
        objects: summary.objects_referenced,
        bytes,
        ..Report::default()
    }
}

fn print(url: &str, report: &Report) -> Result<(), Failure> {
    let Report { position, topics, partitions, records, objects, bytes, .. } = report;
    output::line(format_args!("store         {url}"))?;
    output::line(format_args!("commit log    {position} entries"))?;
    output::line(format_args!("topics        {topics} with {partitions} partitions and {records} records"))?;
    output::line(format_args!("objects       {objects} referenced, {bytes} bytes"))?;
    output::line(format_args!(
        "unreferenced  {} objects, {} bytes; to be swept: {} objects, {} bytes",
        report.unreferenced, report.unreferenced_bytes, report.orphans, report.orphans_bytes
    ))?;
    for problem in &report.problems {
        output::line(format_args!("problem       {problem}"))?;
    }
    if report.problems.is_empty() { output::line("The log is sound.") } else { Ok(()) }
}
