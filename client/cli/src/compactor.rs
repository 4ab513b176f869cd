//! `ebb compactor`, and the rewriter inside `ebb dev`: their start. Knows the agent and the compactor, which do not know
//! each other.

use std::{sync::Arc, time::Duration};

use ebb_agent::{Agent, Environment, Figures, StatusListener, Storage, config::AgentConfig, mirror::Mirror};
use ebb_compactor::{
    Member,
    retention::{Retention, RetentionConfig},
    rewriter::{KeyCompactionConfig, KeyCompactor, MergeConfig, Merger, Rewriter, RewriterConfig},
    sweeper::{Sweeper, SweeperConfig},
};
use ebb_metastore::Metastore;
use ebb_protocol::{clock::SharedClock, ids::AgentId, random::Random};
use object_store::ObjectStore;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    agent::{environment, is_local},
    args::{CompactorArgs, Rewriting},
    figures::{Compacted, Merged, Rewritten, Swept, Waiting},
    mirror,
    output::{self, Failure},
};

/// Requests a second that archiving may make to a store in a directory.
const LOCAL_REQUESTS_PER_SECOND: f64 = 5_000.0;

/// The log is looked at so many times in the age of a window, within bounds: what is new is seen in time, and an idle
/// cluster costs a few requests a minute.
const LOOKS_PER_WINDOW: u32 = 20;
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(100);
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Runs a compactor until a signal asks it to stop.
pub(crate) async fn run(args: CompactorArgs) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::with("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::with("signals"))?;
    // The port first: one that is in use costs no request.
    let listener = args.http.map(StatusListener::bind).transpose().map_err(Failure::new)?;
    let http = listener.as_ref().map(StatusListener::address).transpose().map_err(Failure::new)?;
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
    let (rewriting, url) = (&args.rewriting, &args.store);
    let mirroring = environment();
    let mirror = mirror::new(metastore.clone(), storage.store.clone(), mirroring, args.mirroring, url)?;
    let age = settings(rewriting, url).window_age;
    let every = (age / LOOKS_PER_WINDOW).clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL_MAX);
    let archiving =
        Archiving::new(member.id(), metastore.clone(), storage.store, clock.clone(), &random, rewriting, url);
    let mut figures = archiving.figures(&metastore, &clock);
    figures.push(Arc::new(Swept(sweeper.counters())));
    figures.extend(mirror.as_ref().map(Mirror::figures));
    let _status = listener.map(|listener| listener.serve(member.id(), metastore, figures, storage.requests));
    let _mirror = mirror.map(|mirror| AbortOnDropHandle::new(tokio::spawn(mirror.run())));
    let http = http.map(|http| format!(" http://{http}"));
    output::note(format_args!("ready {}{}", args.store, http.unwrap_or_default()));
    let ousted = tokio::select! {
        biased;
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = member.ousted() => true,
        () = archiving.run() => true,
        () = member.follow(every) => true,
        () = retention.run() => true,
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

/// Starts archiving on an agent's replica and store. It stops when the handle is dropped, before the agent does.
pub(crate) fn beside(
    agent: &Agent,
    environment: Environment,
    rewriting: &Rewriting,
    url: &str,
) -> AbortOnDropHandle<()> {
    let Environment { clock, random } = environment;
    let (metastore, store) = (agent.broker().metastore().clone(), agent.store().clone());
    let archiving =
        Archiving::new(agent.id(), metastore.clone(), store, clock.clone(), &random, rewriting, url);
    archiving.figures(&metastore, &clock).into_iter().for_each(|figures| agent.add_figures(figures));
    AbortOnDropHandle::new(tokio::spawn(archiving.run()))
}

/// What makes archive files, and makes them anew. All of it shares one rate of requests and one share of a core.
pub(crate) struct Archiving {
    pub(crate) rewriter: Rewriter,
    pub(crate) keys: KeyCompactor,
    merger: Merger,
}

impl Archiving {
    /// On a replica whose agent `me` is registered. `url` is that of the store.
    pub(crate) fn new(
        me: AgentId,
        metastore: Metastore,
        store: Arc<dyn ObjectStore>,
        clock: SharedClock,
        random: &Random,
        rewriting: &Rewriting,
        url: &str,
    ) -> Self {
        let (random, config) = (|| random.fork(), settings(rewriting, url));
        let rewriter =
            Rewriter::new(me, metastore.clone(), store.clone(), clock.clone(), random(), config.clone());
        let default = KeyCompactionConfig::default();
        let table_bytes = rewriting.compaction_table_bytes.map_or(default.table_bytes, |size| size.as_u64());
        let keys = KeyCompactionConfig { rewriter: config.clone(), table_bytes, ..default };
        let keys = KeyCompactor::new(me, metastore.clone(), store.clone(), clock.clone(), random(), keys);
        let default = MergeConfig::default();
        let file_bytes = rewriting.archive_file_bytes.map_or(default.file_bytes, |size| size.as_u64());
        let merging = MergeConfig { rewriter: config, file_bytes, ..default };
        let merger = Merger::new(me, metastore, store, clock, random(), merging);
        Self { keys: keys.sharing(&rewriter), merger: merger.sharing(&rewriter), rewriter }
    }

    /// What it counts, and how far it is behind.
    fn figures(&self, metastore: &Metastore, clock: &SharedClock) -> Vec<Arc<dyn Figures>> {
        vec![
            Arc::new(Rewritten(self.rewriter.counters())),
            Arc::new(Compacted(self.keys.counters())),
            Arc::new(Merged(self.merger.counters())),
            Arc::new(Waiting { metastore: metastore.clone(), clock: clock.clone() }),
        ]
    }

    /// Ends when this process can write no more entries.
    async fn run(self) {
        tokio::select! {
            biased;
            () = self.rewriter.run() => {}
            () = self.keys.run() => {}
            () = self.merger.run() => {}
        }
    }
}

/// The rewriter's settings from flags, for this store.
fn settings(rewriting: &Rewriting, store: &str) -> RewriterConfig {
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
