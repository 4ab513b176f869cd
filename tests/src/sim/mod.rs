//! The simulation: real brokers and metastore replicas, and clients, in one thread under simulated time, over a store
//! and a commit log that fail by seed. One seed fixes everything that happens; [`run`] gives the same digest for it
//! every time. Knows the broker's interface and no wire.
//!
//! A run draws its configuration, lets clients work while faults strike, ends the faults, and then demands that
//! everything can be written and read again. What clients saw goes to the checker ([`crate::check`]); what happened
//! in the bucket is watched as it happens ([`witness`]).

mod admin;
mod aged;
mod book;
mod bucket;
pub mod campaign;
mod chaos;
mod clock;
mod cluster;
mod engine;
mod failover;
mod faults;
mod gate;
mod keyed;
mod logs;
mod members;
mod network;
mod offsets;
mod plan;
mod probes;
mod producers;
mod readers;
mod rest;
mod values;
mod wire;
mod witness;
mod world;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use self::world::World;
pub use self::{
    failover::{Death, Speech},
    faults::Fault,
    plan::{Engine, Plan},
    probes::Probe,
};
use crate::check::{Op, check};

/// What came of one seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The configuration that it drew.
    pub plan: Plan,
    /// How much time passed in the simulation.
    pub simulated: Duration,
    /// A hash over every call of store and commit log and over the history, in their order.
    pub digest: u64,
    /// Calls of store and commit log.
    pub calls: u64,
    /// What clients saw.
    pub history: Vec<Op>,
    /// The faults that struck.
    pub faults: BTreeMap<Fault, u64>,
    /// The rare situations that came about.
    pub probes: BTreeMap<Probe, u64>,
    /// Every broken promise, in words. Empty when all is well.
    pub violations: Vec<String>,
}

/// Runs one seed. With `trace`, everything that goes into the digest is also written to standard error.
///
/// # Panics
/// When the runtime cannot be built.
#[must_use]
pub fn run(seed: u64, trace: bool) -> Report {
    play(seed, Plan::draw(seed), trace, |world| rest::simulate(seed, world))
}

/// Lets the coordinator of a group die in the midst of a rebalance, and nothing else go wrong.
///
/// # Panics
/// When the runtime cannot be built.
#[must_use]
pub fn fail_over(seed: u64, speech: Speech, death: Death, trace: bool) -> Report {
    play(seed, Plan::calm(), trace, |world| failover::simulate(world, seed, speech, death))
}

fn play<F: Future<Output = ()>>(
    seed: u64,
    plan: Plan,
    trace: bool,
    simulate: impl FnOnce(Arc<World>) -> F,
) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O can always be built");
    let world = {
        // Its time is the runtime's.
        let _entered = runtime.enter();
        Arc::new(World::new(plan.clone(), trace))
    };
    let (_, said) = logs::catch(|| {
        // A panic has been noted, and is a violation like others.
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(simulate(world.clone()))))
    });
    drop(runtime);
    let mut outcome = world.finish();
    outcome.violations.extend(said.wrong);
    if said.jumps > 0 {
        outcome.probes.insert(Probe::ReplicaJumped, said.jumps);
    }
    outcome.violations.extend(check(&outcome.history).iter().map(|violation| format!("{violation:?}")));
    Report {
        seed,
        plan,
        simulated: outcome.simulated,
        digest: outcome.digest,
        calls: outcome.calls,
        history: outcome.history,
        faults: outcome.faults,
        probes: outcome.probes,
        violations: outcome.violations,
    }
}
