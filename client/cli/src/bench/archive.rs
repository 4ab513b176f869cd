//! `ebb bench archive`: what archiving costs, what its files come to, and what reading them costs an agent. Everything
//! runs in processes of its own: an agent that takes the events, a compactor, and agents that serve them, from segments
//! for the baseline and from archive files.

use std::{path::Path, time::Duration};

use ebbtide::{Client, Compression, Record};
use tokio::time::{Instant, sleep};

use super::{
    MEGABYTE, Report, consume, ensure_topic,
    events::Events,
    megabytes_per_second, print,
    server::{Process, Server, Usage},
};
use crate::{
    args::{ArchiveBenchArgs, Bucket, Connection},
    bucket::Opened,
    connect::with_client,
    output::Failure,
    progress::Progress,
};

/// Batches are about as large as the baseline of the files' size has it.
const BATCH_BYTES: usize = 128 << 10;
/// How long it may take until everything is archived.
const ARCHIVED_MAX: Duration = Duration::from_secs(3_600);
/// How often the state is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Agents whose rewriter must not begin: the compactor is measured alone.
const NEVER: [&str; 4] = ["--archive-window-age", "365days", "--archive-window-bytes", "1EiB"];
/// What the compactor is told: to wait for nothing. Its pace of requests is for stores that take money for them.
const AT_ONCE: [&str; 6] = [
    "--archive-cpu-percent",
    "100",
    "--archive-window-age",
    "0s",
    "--archive-requests-per-second",
    "1000000",
];

/// What one run gave.
struct Run {
    rewritten: f64,
    ratio: f64,
    compactor_megabytes: f64,
    from_segments: f64,
    from_archive: f64,
    gets: f64,
}

/// What the state says of the archive.
#[derive(Clone, Copy, Default)]
struct Archived {
    file_bytes: u64,
    waiting_bytes: u64,
}

pub(super) async fn run(args: ArchiveBenchArgs) -> Result<(), Failure> {
    let mut runs = Vec::with_capacity(args.report.runs);
    // Written once, read twice.
    let mut progress = Progress::bytes(Some(3 * args.megabytes * MEGABYTE * args.report.runs as u64));
    for _ in 0..args.report.runs {
        let parent = args.directory.clone().unwrap_or_else(std::env::temp_dir);
        let directory = tempfile::tempdir_in(&parent).map_err(Failure::with(parent.display()))?;
        runs.push(once(directory.path(), &args, &mut progress).await?);
    }
    progress.finish();
    let report = |what, unit, pick: fn(&Run) -> f64| Report::new(what, unit, runs.iter().map(pick).collect());
    let reports = [
        report("archiving, by the compactor's computing time", "MB/s and core", |run| run.rewritten),
        report("the compactor's memory at the peak", "MB", |run| run.compactor_megabytes),
        report("archive files, of their batches' bytes", "x", |run| run.ratio),
        report("reading archive files, by the agent's computing time", "MB/s and core", |run| {
            run.from_archive
        }),
        report("baseline, reading segments", "MB/s and core", |run| run.from_segments),
        report("GETs for 64 MiB of archive files", "GETs", |run| run.gets),
    ];
    print(&reports, args.report.json)
}

#[expect(clippy::cast_precision_loss, reason = "figures need no more than 52 bits")]
async fn once(directory: &Path, args: &ArchiveBenchArgs, progress: &mut Progress) -> Result<Run, Failure> {
    let topics: Vec<String> = (0..args.topics.max(1)).map(|topic| format!("events-{topic}")).collect();
    let bucket = Bucket { store: None, data_dir: directory.to_owned() };
    let mut flags = vec!["--data-dir".to_owned(), directory.display().to_string()];
    flags.extend(NEVER.map(str::to_owned));

    let server = Server::start_with(&flags).await?;
    let bytes = with_client(&to(&server), async |client| fill(client, args, &topics, progress).await).await?;
    server.stop().await?;
    let batches = archived(&bucket).await?.waiting_bytes;

    let (from_segments, _) = consumed(Server::start_with(&flags).await?, &topics, progress).await?;
    let usage = compact(&bucket).await?;
    let file_bytes = archived(&bucket).await?.file_bytes;
    let (from_archive, gets) = consumed(Server::start_with(&flags).await?, &topics, progress).await?;
    Ok(Run {
        rewritten: megabytes_per_second(bytes, usage.cpu),
        ratio: file_bytes as f64 / batches as f64,
        compactor_megabytes: usage.peak_bytes as f64 / MEGABYTE as f64,
        from_segments,
        from_archive,
        gets: gets as f64 / (file_bytes as f64 / f64::from(64 << 20)),
    })
}

/// Over TCP: what encryption costs is not the question.
fn to(server: &Server) -> Connection {
    Connection { server: server.kafka.clone(), ca: None }
}

/// Produces events. Gives the bytes of their keys and values.
async fn fill(
    client: &Client,
    args: &ArchiveBenchArgs,
    topics: &[String],
    progress: &mut Progress,
) -> Result<u64, Failure> {
    for topic in topics {
        ensure_topic(client, topic, args.partitions).await?;
    }
    let mut events = Events::new(1);
    let producer = client
        .producer()
        .compression(Compression::Lz4)
        .batch_bytes_max(BATCH_BYTES)
        // Batches are to become full.
        .linger(Duration::from_millis(500))
        .build()
        .map_err(Failure::new)?;
    let mut sent = 0;
    for topic in topics.iter().cycle() {
        if sent >= args.megabytes * MEGABYTE {
            break;
        }
        let (key, value) = events.next();
        let size = (key.len() + value.len()) as u64;
        sent += size;
        progress.add(size);
        let record = Record::new(value).key(key);
        drop(producer.send(topic, record).await.map_err(Failure::new)?);
    }
    producer.close().await.map_err(Failure::new)?;
    Ok(sent)
}

/// Reads everything from an agent. Gives the rate by its computing time, and its GETs.
async fn consumed(server: Server, topics: &[String], progress: &mut Progress) -> Result<(f64, u64), Failure> {
    let before = server.usage()?;
    let read = async |client: &Client| consume::read(client, topics, u64::MAX, progress).await;
    let (bytes, _) = with_client(&to(&server), read).await?;
    let cpu = server.usage()?.cpu - before.cpu;
    let gets = server.figure("ebb_cache_gets_total").await?;
    server.stop().await?;
    Ok((megabytes_per_second(bytes, cpu), gets))
}

/// Runs a compactor until everything is archived.
async fn compact(bucket: &Bucket) -> Result<Usage, Failure> {
    let url = bucket.url()?;
    let mut words = vec!["compactor", "--store", &url];
    words.extend(AT_ONCE);
    let mut compactor = Process::start(&words.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let started = Instant::now();
    while archived(bucket).await?.waiting_bytes > 0 {
        if compactor.has_ended()? {
            return Err(Failure::new(format!("ebb {} ended: run it to see why", words.join(" "))));
        }
        if started.elapsed() > ARCHIVED_MAX {
            return Err(Failure::new(format!("not everything was archived within {ARCHIVED_MAX:?}")));
        }
        sleep(LOOK_INTERVAL).await;
    }
    let usage = compactor.usage()?;
    compactor.stop().await?;
    Ok(usage)
}

async fn archived(bucket: &Bucket) -> Result<Archived, Failure> {
    let state = Opened::open(bucket).await?.state;
    let statuses = state.topics().filter_map(|topic| state.archive_status(topic.id));
    Ok(statuses.fold(Archived::default(), |sum, status| Archived {
        file_bytes: sum.file_bytes + status.file_bytes,
        waiting_bytes: sum.waiting_bytes + status.waiting_bytes,
    }))
}
