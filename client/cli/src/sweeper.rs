//! The sweeper and retention beside an agent: their start. Knows all of them, which do not know each other.

use std::sync::Arc;

use ebb_agent::{Agent, Environment};
use ebb_compactor::{
    retention::{Retention, RetentionConfig},
    sweeper::{Sweeper, SweeperConfig},
};
use tokio_util::task::AbortOnDropHandle;

use crate::figures::Swept;

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
