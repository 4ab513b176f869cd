//! A coordinator that dies in the midst of a rebalance, at a chosen put: its group must go on with another one, soon,
//! and with all that was committed. Nothing else goes wrong in such a run.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ebb_metastore::command::Command;
use ebb_protocol::{
    ids::{AgentId, PartitionIndex},
    random::Random,
};
use tokio::time::{sleep, timeout};

use super::{
    admin,
    cluster::{Cluster, Running, slot_of},
    members::{self, Protocol, Team},
    network::Client,
    producers::{self, Closing},
    rest,
    wire::Doom,
    world::World,
};

/// Until members have settled down.
const SETTLED_MAX: Duration = Duration::from_secs(30);

/// The agent dies at a put that it makes within this time.
const DEATH_MAX: Duration = Duration::from_secs(10);

/// After so long the other agents have found out that one is dead, and put it out: three probes in vain.
const FOUND_OUT: Duration = Duration::from_secs(3);

/// A group is without coordinator for no longer than this.
const MOVED_MAX: Duration = Duration::from_secs(5);

/// The longest session time-out of members in these runs: some do not survive, as not all know what became of their
/// commits, and what they owned is free after that.
const SESSION_MAX: Duration = Duration::from_secs(6);

/// After that, members hear by heartbeats what is free now, and some have to give up something else first.
const HAND_OVER_MAX: Duration = Duration::from_secs(5);

/// When the coordinator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// When it is about to make its n-th put from the beginning of the rebalance on.
    AtRequest(u32),
    /// When its n-th put was done, and it has not learnt of that.
    AtAnswer(u32),
}

/// Which groups a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// All members speak the classic protocol.
    Classic,
    /// All members speak that of KIP-848.
    Consumer,
    /// Some speak the one and some the other.
    Mixed,
}

impl Speech {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Classic, Self::Consumer, Self::Mixed];

    fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::Classic => &[Protocol::Classic],
            Self::Consumer => &[Protocol::Consumer],
            Self::Mixed => &[Protocol::Classic, Protocol::Consumer],
        }
    }
}

/// Runs a group until it has settled down, lets a member join, and its coordinator die.
pub(super) async fn simulate(world: Arc<World>, seed: u64, speech: Speech, death: Death) {
    let random = Random::from_seed(seed);
    let cluster = Cluster::new(world.clone(), random.fork());
    for slot in 0..world.plan.agents {
        cluster.clone().start(slot, None).await;
    }
    let client = Client::new(cluster.clone(), random.fork());
    let topic = admin::create(&client, rest::TOPIC, world.plan.partitions).await.id;
    let (closing, calm) = (Arc::new(Closing::default()), Arc::new(Closing::default()));
    calm.set();
    let producer = Client::new(cluster.clone(), random.fork());
    let producer =
        tokio::spawn(producers::idempotent(producer, topic, world.plan.partitions, closing.clone()));
    let (team, mut members) =
        rest::group(&cluster, &random, topic, (0, "failover"), speech.protocols(), &calm);

    goes_on(&cluster, &team, &BTreeMap::new(), SETTLED_MAX).await;
    if let Some(coordinator) = coordinator(&cluster, &team) {
        coordinator.doom(Some(match death {
            Death::AtRequest(n) => Doom::AtRequest(n),
            Death::AtAnswer(n) => Doom::AtAnswer(n),
        }));
        let way = || Client::new(cluster.clone(), random.fork());
        members.spawn(members::run(team.clone(), way(), way(), None));
        if timeout(DEATH_MAX, coordinator.gate.dead()).await.is_err() {
            world.violation(format!("{} does not come to {death:?}", coordinator.name));
        }
        let before = committed(&cluster, &team);
        let id = coordinator.id;
        drop(coordinator);
        cluster.bury();
        sleep(FOUND_OUT).await;
        put_out(&client, id).await;
        goes_on(&cluster, &team, &before, MOVED_MAX - FOUND_OUT + SESSION_MAX + HAND_OVER_MAX).await;
    }
    closing.set();
    if producer.await.is_err() {
        world.violation("the producer panicked".to_owned());
    }
    rest::end_group(&cluster, &random, &team, members).await;
}

fn coordinator(cluster: &Cluster, team: &Team) -> Option<Arc<Running>> {
    let port =
        cluster.witness.read(|state| Some(state.coordinator(&team.offsets.group)?.kafka.as_ref()?.port))?;
    let running = cluster.at(slot_of(port));
    if running.is_none() {
        cluster.world.violation("the coordinator does not run".to_owned());
    }
    running
}

/// What the group has committed, as of the true state.
fn committed(cluster: &Cluster, team: &Team) -> BTreeMap<PartitionIndex, i64> {
    let offsets = &team.offsets;
    cluster.witness.read(|state| {
        let committed =
            |index| Some((index, state.committed(&offsets.group, offsets.topic, index)?.offset.0));
        (0..offsets.partitions).map(PartitionIndex).filter_map(committed).collect()
    })
}

/// Waits until the group has committed more than before of each partition, or all that there is.
async fn goes_on(cluster: &Cluster, team: &Team, before: &BTreeMap<PartitionIndex, i64>, longest: Duration) {
    let all = async {
        loop {
            let now = committed(cluster, team);
            let end = |index| cluster.witness.read(|state| state.head(team.offsets.topic, index));
            let is_at_end = |index, at| end(index).is_some_and(|head| head.high_watermark.0 == at);
            let is_on = |index: PartitionIndex| {
                let at = now.get(&index).copied();
                at.is_some_and(|at| Some(&at) > before.get(&index) || is_at_end(index, at))
            };
            if (0..team.offsets.partitions).map(PartitionIndex).all(is_on) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(longest, all).await.is_err() {
        let now = committed(cluster, team);
        cluster.world.violation(format!("the group does not go on from {before:?}: {now:?}"));
    }
}

/// Puts an agent out, by another one.
async fn put_out(client: &Client, agent: AgentId) {
    loop {
        client.leave();
        if matches!(client.submit(Command::SealAgent { agent }).await, Ok(Ok(_))) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}
