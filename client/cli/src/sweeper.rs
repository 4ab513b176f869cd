//! The sweeper and retention beside an agent: their start, and the sweeper's figures on the agent's metrics page. Knows
//! all of them, which do not know each other.

use std::sync::Arc;

use ebb_agent::{Agent, Environment, Figure, Figures};
use ebb_compactor::{
    retention::{Retention, RetentionConfig},
    sweeper::{SweepCounters, Sweeper, SweeperConfig},
};
use tokio_util::task::AbortOnDropHandle;

/// Starts a sweeper on an agent's replica and store. It stops before the agent does.
pub(crate) fn start(agent: &Agent, environment: Environment) -> Sweeper {
    let Environment { clock, random } = environment;
    let (metastore, store) = (agent.broker().metastore().clone(), agent.store().clone());
    let sweeper = Sweeper::start(metastore, store, clock, random, SweeperConfig::default());
    agent.add_figures(Arc::new(Swept(sweeper.counters())));
    sweeper
}

/// Starts retention on an agent's replica. It stops when the handle is dropped, before the agent does.
pub(crate) fn keep(agent: &Agent, environment: Environment) -> AbortOnDropHandle<()> {
    let Environment { clock, random } = environment;
    let metastore = agent.broker().metastore().clone();
    let retention = Retention::new(metastore, clock, random, RetentionConfig::default());
    AbortOnDropHandle::new(tokio::spawn(retention.run()))
}

#[derive(Debug)]
struct Swept(Arc<SweepCounters>);

impl Figures for Swept {
    fn figures(&self) -> Vec<Figure> {
        let counts = self.0.counts();
        let counter = |name, help, value| Figure { name, is_counter: true, help, value };
        let gauge = |name, help, value| Figure { name, is_counter: false, help, value };
        vec![
            counter(
                "ebb_sweep_listings_total",
                "Complete listings of the segments and archive files.",
                counts.listings,
            ),
            counter("ebb_sweep_dead_deleted_total", "Dead objects deleted.", counts.dead_deleted),
            counter("ebb_sweep_orphans_deleted_total", "Orphans deleted.", counts.orphans_deleted),
            counter(
                "ebb_sweep_projections_deleted_total",
                "Metadata for readers of Iceberg deleted.",
                counts.projections_deleted,
            ),
            counter("ebb_sweep_deleted_bytes_total", "Bytes of all that was deleted.", counts.bytes_deleted),
            counter(
                "ebb_sweep_failures_total",
                "Deletions that failed and are tried again.",
                counts.deletions_failed,
            ),
            gauge(
                "ebb_segments_referenced_bytes",
                "Bytes of segments in use, as of the last listing.",
                counts.bytes_referenced,
            ),
            gauge(
                "ebb_segments_unreferenced_bytes",
                "Bytes of segments that nothing refers to, as of the last listing.",
                counts.bytes_unreferenced,
            ),
            gauge(
                "ebb_archive_referenced_bytes",
                "Bytes of archive files in use, as of the last listing.",
                counts.archive_bytes_referenced,
            ),
            gauge(
                "ebb_archive_unreferenced_bytes",
                "Bytes of archive files that nothing refers to, as of the last listing.",
                counts.archive_bytes_unreferenced,
            ),
        ]
    }
}
