//! The mirror of the archive in a foreign Iceberg catalog: its settings from flags, and its start. Knows nothing of
//! Iceberg.

use std::sync::Arc;

use ebb_agent::{
    Agent, Environment,
    mirror::{Mirror, MirrorConfig},
};
use ebb_metastore::Metastore;
use object_store::ObjectStore;
use tokio_util::task::AbortOnDropHandle;

use crate::{args::Mirroring, output::Failure};

/// The mirror of the store at `url`, if one is asked for.
pub(crate) fn new(
    metastore: Metastore,
    store: Arc<dyn ObjectStore>,
    environment: Environment,
    mirroring: Mirroring,
    url: &str,
) -> Result<Option<Mirror>, Failure> {
    let Some(catalog) = mirroring.archive_iceberg_catalog else { return Ok(None) };
    let config = MirrorConfig {
        catalog,
        warehouse: mirroring.archive_iceberg_warehouse,
        namespace: mirroring.archive_iceberg_namespace,
        token: mirroring.archive_iceberg_token,
    };
    let Environment { clock, random } = environment;
    Mirror::new(metastore, store, url, clock, random, config).map(Some).map_err(Failure::new)
}

/// Starts it on an agent's replica and store, with its figures on the metrics page. It stops when the handle is dropped.
pub(crate) fn beside(
    agent: &Agent,
    environment: Environment,
    mirroring: Mirroring,
    url: &str,
) -> Result<Option<AbortOnDropHandle<()>>, Failure> {
    let (metastore, store) = (agent.broker().metastore().clone(), agent.store().clone());
    let mirror = new(metastore, store, environment, mirroring, url)?;
    Ok(mirror.map(|mirror| {
        agent.add_figures(mirror.figures());
        AbortOnDropHandle::new(tokio::spawn(mirror.run()))
    }))
}
