//! Committed offsets as anybody may commit, read and delete them, with the history that the checker wants of it; and
//! consumers that stand alone: they are in no group, and only keep their offsets in one.

use std::sync::Arc;

use ebb_agent::{
    broker::Broker,
    groups::{Committer, Groups},
};
use ebb_coordinator::GroupError;
use ebb_metastore::command::CommittedOffset;
use ebb_protocol::ids::{GroupId, Offset, PartitionIndex, TopicId};
use futures::future::BoxFuture;
use tokio::time::sleep;

use super::{
    cluster::slot_of,
    network::{Client, Lost},
    plan::millis,
    probes::Probe,
    producers::Closing,
    witness::Era,
};
use crate::check::{Action, Commit, Committed, DeleteOffset, Outcome};

/// The longest pause of somebody who uses offsets from outside a group, in milliseconds.
const PAUSE_MS_MAX: u64 = 600;

/// A group's committed offsets of one topic.
#[derive(Clone, Debug)]
pub(super) struct GroupOffsets {
    pub(super) group: GroupId,
    /// The history's number of the group.
    pub(super) number: u32,
    pub(super) topic: TopicId,
    pub(super) partitions: i32,
}

/// What to commit, for each partition.
pub(super) type Positions = Vec<(PartitionIndex, i64)>;

/// An answer; the outer error is of a request without one.
pub(super) type Answer<T> = Result<Result<T, GroupError>, Lost>;

/// Whoever is in no group.
pub(super) fn outsider() -> Committer {
    Committer { member: String::new(), instance: None, generation: -1 }
}

/// Looks for the group's coordinator by any agent, and talks to that from now on.
pub(super) async fn find(client: &Client, group: &GroupId) {
    client.leave();
    let group = group.clone();
    let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
        let found = broker.metastore().read(|state| Some(state.coordinator(&group)?.kafka.as_ref()?.port));
        Box::pin(async move { found })
    };
    if let Ok(Some(port)) = client.call(ask).await {
        client.talk_to(slot_of(port));
    }
}

impl GroupOffsets {
    /// Asks for a committed offset. `taking` is the generation of a member that begins to own the partition.
    pub(super) async fn read(
        &self,
        client: &Client,
        process: u32,
        index: PartitionIndex,
        committer: Committer,
        taking: Option<i32>,
    ) -> Answer<Option<i64>> {
        let world = &client.cluster.world;
        let invoked = world.moment();
        let (group, topic) = (self.group.clone(), self.topic);
        let ask = move |broker: Arc<Broker>, groups: Arc<Groups>| -> BoxFuture<'static, _> {
            Box::pin(async move {
                groups.look_at_tail().await?;
                groups.check_reader(&group, &committer)?;
                Ok(broker.metastore().read(|state| state.committed(&group, topic, index).cloned()))
            })
        };
        let found = match client.call_groups(ask).await? {
            Ok(found) => found.map(|found| (found.offset.0, found.metadata)),
            Err(error) => return Ok(Err(error)),
        };
        let offset = found.as_ref().map(|found| found.0);
        let partition = world.partition(topic, index);
        let read = Committed { group: self.number, partition, taking, found };
        world.record(process, invoked, Outcome::Ok, Action::Committed(read));
        Ok(Ok(offset))
    }

    /// Commits offsets, and says what is known of that.
    pub(super) async fn commit(
        &self,
        client: &Client,
        process: u32,
        committer: Committer,
        era: Era,
        positions: &Positions,
    ) -> (Outcome, Answer<()>) {
        let world = &client.cluster.world;
        let offset = |(index, at): &(PartitionIndex, i64)| {
            let metadata = format!("c{}", world.values(1).first().copied().unwrap_or_default());
            (self.topic, *index, CommittedOffset { offset: Offset(*at), leader_epoch: -1, metadata })
        };
        let offsets: Vec<_> = positions.iter().map(offset).collect();
        let (invoked, sent, group) = (world.moment(), offsets.clone(), self.group.clone());
        let generation = era.of(committer.generation);
        let ask = move |_: Arc<Broker>, groups: Arc<Groups>| -> BoxFuture<'static, _> {
            Box::pin(async move { groups.commit(&group, &committer, sent).await })
        };
        let answer = client.call_groups(ask).await;
        let outcome = outcome(&answer);
        for (topic, index, offset) in offsets {
            let partition = world.partition(topic, index);
            let (offset, metadata) = (offset.offset.0, offset.metadata);
            let commit = Commit { group: self.number, partition, generation, offset, metadata };
            world.record(process, invoked, outcome, Action::Commit(commit));
        }
        (outcome, answer)
    }

    /// Deletes the committed offset of a partition, or the whole group.
    async fn delete(&self, client: &Client, process: u32, index: Option<PartitionIndex>) -> Answer<()> {
        let world = &client.cluster.world;
        let (invoked, group, topic) = (world.moment(), self.group.clone(), self.topic);
        let ask = move |_: Arc<Broker>, groups: Arc<Groups>| -> BoxFuture<'static, _> {
            Box::pin(async move {
                groups.look_at_tail().await?;
                match index {
                    Some(index) => groups.delete_offsets(&group, vec![(topic, index)]).await,
                    None => groups.delete(&group).await,
                }
            })
        };
        let answer = client.call_groups(ask).await;
        let outcome = outcome(&answer);
        if outcome == Outcome::Ok {
            world.probe(Probe::OffsetsDeleted);
        }
        let all = (0..self.partitions).map(PartitionIndex);
        for index in all.filter(|all| index.is_none_or(|index| index == *all)) {
            let delete = DeleteOffset { group: self.number, partition: world.partition(topic, index) };
            world.record(process, invoked, outcome, Action::DeleteOffset(delete));
        }
        answer
    }

    fn any(&self, client: &Client) -> PartitionIndex {
        let below = u64::from(self.partitions.unsigned_abs());
        PartitionIndex(i32::try_from(client.random.below(below)).unwrap_or(0))
    }

    /// Chooses whom to ask next. Not always the coordinator: an agent that is none must say so, or be right.
    async fn turn(&self, client: &Client) {
        if client.random.chance(0.5) { client.leave() } else { find(client, &self.group).await }
    }

    /// Asks for the committed offset of every partition, once nothing happens any more.
    pub(super) async fn look(&self, client: &Client) {
        let process = client.cluster.world.process();
        find(client, &self.group).await;
        for index in (0..self.partitions).map(PartitionIndex) {
            if !matches!(self.read(client, process, index, outsider(), None).await, Ok(Ok(_))) {
                let group = self.group.as_str();
                let what = format!("the offsets of {group} cannot be read after the faults");
                client.cluster.world.violation(what);
            }
        }
    }
}

/// Asks for committed offsets from outside the group, until told to end.
pub(super) async fn observe(offsets: GroupOffsets, client: Arc<Client>, done: impl Fn() -> bool) {
    let process = client.cluster.world.process();
    while !done() {
        offsets.turn(&client).await;
        for _ in 0..=client.random.below(4) {
            let index = offsets.any(&client);
            // Whoever is not answered has seen nothing.
            drop(offsets.read(&client, process, index, outsider(), None).await);
            sleep(millis(&client.random, 1, PAUSE_MS_MAX)).await;
        }
    }
}

/// A consumer that stands alone: commits, reads and deletes offsets of a group without members, beside others.
pub(super) async fn stand_alone(offsets: GroupOffsets, client: Arc<Client>, closing: Arc<Closing>) {
    let process = client.cluster.world.process();
    while !closing.is_set() {
        let index = offsets.any(&client);
        let random = &client.random;
        let answer = match random.below(16) {
            0 => offsets.delete(&client, process, None).await,
            1 => offsets.delete(&client, process, Some(index)).await,
            2..=6 => offsets.read(&client, process, index, outsider(), None).await.map(|read| read.map(drop)),
            _ => {
                let at = i64::try_from(random.below(1_000)).unwrap_or(0);
                offsets.commit(&client, process, outsider(), Era::default(), &vec![(index, at)]).await.1
            }
        };
        match answer {
            Ok(Ok(()) | Err(GroupError::UnknownGroup)) => {}
            Ok(Err(GroupError::NotCoordinator | GroupError::Unavailable(_))) | Err(_) => {
                offsets.turn(&client).await;
            }
            Ok(Err(error)) => {
                let group = offsets.group.as_str();
                client.cluster.world.violation(format!("{group} has no members, and refuses: {error}"));
            }
        }
        sleep(millis(random, 1, PAUSE_MS_MAX / 4)).await;
    }
}

/// What an answer says of whether something took effect.
fn outcome(answer: &Answer<()>) -> Outcome {
    match answer {
        Ok(Ok(())) => Outcome::Ok,
        Ok(Err(GroupError::Unavailable(_))) => Outcome::Unknown,
        Ok(Err(_)) => Outcome::Failed,
        Err(lost) if !lost.sent => Outcome::Failed,
        Err(_) => Outcome::Unknown,
    }
}
