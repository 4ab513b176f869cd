//! `ebb compactor`, and the rewriter inside `ebb dev`: their start, and their figures on the metrics page. Knows the
//! agent and the compactor, which do not know each other.

use std::sync::Arc;

use ebb_agent::{Agent, Environment, Figure, Figures, Storage, config::AgentConfig};
use ebb_compactor::{
    Member,
    retention::{Retention, RetentionConfig},
    rewriter::{KeyCompactionConfig, KeyCompactor, KeyCounters, RewriteCounters, Rewriter, RewriterConfig},
    sweeper::{Sweeper, SweeperConfig},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    agent::{environment, is_local},
    args::{CompactorArgs, Rewriting},
    output::{self, Failure},
};

/// Requests a second that archiving may make to a store in a directory.
const LOCAL_REQUESTS_PER_SECOND: f64 = 5_000.0;

/// Runs a compactor until a signal asks it to stop.
pub(crate) async fn run(args: CompactorArgs) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::with("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::with("signals"))?;
    let (member, storage) = join(&args.store).await?;
    let Environment { clock, random } = environment();
    let metastore = member.metastore().clone();
    let sweeper = Sweeper::start(
        metastore.clone(),
        storage.store.clone(),
        clock.clone(),
        random.fork(),
        SweeperConfig::default(),
    );
    let retention =
        Retention::new(metastore.clone(), clock.clone(), random.fork(), RetentionConfig::default());
    let keys = KeyCompactor::new(
        member.id(),
        metastore.clone(),
        storage.store.clone(),
        clock.clone(),
        random.fork(),
        key_settings(&args.rewriting, &args.store),
    );
    let rewriter = Rewriter::new(
        member.id(),
        metastore,
        storage.store,
        clock,
        random,
        settings(&args.rewriting, &args.store),
    );
    output::note(format_args!("ready {}", args.store));
    let ousted = tokio::select! {
        biased;
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = member.ousted() => true,
        () = rewriter.run() => true,
        () = retention.run() => true,
        () = keys.run() => true,
    };
    sweeper.shutdown().await;
    member.leave().await;
    if ousted {
        return Err(Failure::new("this compactor was put out of the cluster: start it again to join anew"));
    }
    Ok(())
}

/// Joins the cluster in a bucket as one that looks after its objects.
pub(crate) async fn join(store: &str) -> Result<(Member, Storage), Failure> {
    let environment = environment();
    let config = AgentConfig::new(store, std::path::PathBuf::new());
    let storage = Storage::open(&config, &environment).await.map_err(Failure::new)?;
    let Environment { clock, random } = environment;
    let joined = Member::join(storage.store.clone(), storage.log.clone(), clock, &random).await;
    Ok((joined.map_err(Failure::new)?, storage))
}

/// Starts a rewriter and key compaction on an agent's replica and store. They stop when the handle is dropped, before
/// the agent does.
pub(crate) fn beside(
    agent: &Agent,
    environment: Environment,
    rewriting: &Rewriting,
    url: &str,
) -> AbortOnDropHandle<()> {
    let Environment { clock, random } = environment;
    let (metastore, store) = (agent.broker().metastore().clone(), agent.store().clone());
    let keys = KeyCompactor::new(
        agent.id(),
        metastore.clone(),
        store.clone(),
        clock.clone(),
        random.fork(),
        key_settings(rewriting, url),
    );
    let rewriter = Rewriter::new(agent.id(), metastore, store, clock, random, settings(rewriting, url));
    agent.add_figures(Arc::new(Rewritten(rewriter.counters())));
    agent.add_figures(Arc::new(Compacted(keys.counters())));
    AbortOnDropHandle::new(tokio::spawn(async {
        tokio::join!(rewriter.run(), keys.run());
    }))
}

/// The settings of key compaction from flags.
fn key_settings(rewriting: &Rewriting, store: &str) -> KeyCompactionConfig {
    let default = KeyCompactionConfig::default();
    let table_bytes = rewriting.compaction_table_bytes.map_or(default.table_bytes, |size| size.as_u64());
    KeyCompactionConfig { rewriter: settings(rewriting, store), table_bytes, ..default }
}

/// The rewriter's settings from flags, for this store.
pub(crate) fn settings(rewriting: &Rewriting, store: &str) -> RewriterConfig {
    let default = RewriterConfig::default();
    // As for flushes: a request to a directory costs nothing, and there may be a thousand new objects a second.
    let requests = if is_local(store) { LOCAL_REQUESTS_PER_SECOND } else { default.requests_per_second_max };
    RewriterConfig {
        window_bytes: rewriting.archive_window_bytes.map_or(default.window_bytes, |size| size.as_u64()),
        window_age: rewriting.archive_window_age.unwrap_or(default.window_age),
        cpu_percent_max: rewriting.archive_cpu_percent.unwrap_or(default.cpu_percent_max),
        requests_per_second_max: rewriting.archive_requests_per_second.unwrap_or(requests),
        ..default
    }
}

#[derive(Debug)]
struct Rewritten(Arc<RewriteCounters>);

impl Figures for Rewritten {
    fn figures(&self) -> Vec<Figure> {
        let counts = self.0.counts();
        let counter = |name, help, value| Figure { name, is_counter: true, help, value };
        vec![
            counter("ebb_archive_windows_total", "Windows whose files were published.", counts.windows),
            counter(
                "ebb_archive_windows_failed_total",
                "Windows that could not be archived and are tried again.",
                counts.windows_failed,
            ),
            counter("ebb_archive_files_total", "Archive files published.", counts.files),
            counter("ebb_archive_file_bytes_total", "Bytes of archive files published.", counts.file_bytes),
            counter(
                "ebb_archive_source_bytes_total",
                "Bytes of record batches archived.",
                counts.source_bytes,
            ),
            counter("ebb_archive_records_total", "Records archived.", counts.records),
            counter(
                "ebb_archive_files_refused_total",
                "Archive files that came too late and are deleted.",
                counts.files_refused,
            ),
        ]
    }
}

#[derive(Debug)]
struct Compacted(Arc<KeyCounters>);

impl Figures for Compacted {
    fn figures(&self) -> Vec<Figure> {
        let counts = self.0.counts();
        let counter = |name, help, value| Figure { name, is_counter: true, help, value };
        vec![
            counter("ebb_compaction_passes_total", "Passes of key compaction over a topic.", counts.passes),
            counter(
                "ebb_compaction_passes_failed_total",
                "Passes of key compaction that failed and are tried again.",
                counts.passes_failed,
            ),
            counter("ebb_compaction_files_total", "Archive files that were compacted.", counts.files),
            counter(
                "ebb_compaction_records_dropped_total",
                "Records that were dropped by key compaction.",
                counts.records_dropped,
            ),
            counter(
                "ebb_compaction_tombstones_dropped_total",
                "Tombstones that were dropped because their time was over.",
                counts.tombstones_dropped,
            ),
        ]
    }
}
