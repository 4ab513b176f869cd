//! A member of a group of KIP-848 that does as clients do: it takes what it is assigned, says so at once, and commits.
//! Knows nothing of what is measured.

use std::time::Duration;

use ebb_protocol::{
    ids::TopicId,
    messages::{
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, OffsetCommitRequest,
        StrBytes, TopicName,
        consumer_group_heartbeat_request::TopicPartitions,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    },
};

use super::wire::{Wire, accepted};
use crate::output::Failure;

const HEARTBEAT_VERSION: i16 = 1;
const COMMIT_VERSION: i16 = 9;
/// What the JVM client gives a member for giving up partitions, in milliseconds.
const REBALANCE_TIMEOUT_MS: i32 = 300_000;
/// The epoch by which a member joins, and the one by which it leaves.
const JOIN: i32 = 0;
const LEAVE: i32 = -1;

/// The topic that all members of a benchmark subscribe to.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    pub(super) id: TopicId,
    pub(super) partitions: i32,
}

impl Topic {
    /// How many partitions it has.
    pub(super) fn partitions(&self) -> usize {
        usize::try_from(self.partitions).unwrap_or(0)
    }
}

/// A member, without the stream that it speaks on.
#[derive(Debug)]
pub(super) struct Member {
    group: GroupId,
    id: StrBytes,
    topic: Topic,
    /// The epoch that the coordinator gave it last.
    pub(super) epoch: i32,
    /// Its partitions, in order.
    pub(super) owned: Vec<i32>,
    /// When the next heartbeat is due after the last one.
    pub(super) interval: Duration,
}

impl Member {
    /// A member that has not joined yet.
    pub(super) fn new(group: &str, id: String, topic: &Topic) -> Self {
        Self {
            group: GroupId(StrBytes::from_string(group.to_owned())),
            id: StrBytes::from_string(id),
            topic: topic.clone(),
            epoch: JOIN,
            owned: Vec::new(),
            interval: Duration::ZERO,
        }
    }

    /// Joins the group.
    pub(super) async fn join(&mut self, wire: &mut Wire) -> Result<(), Failure> {
        let request = self
            .request(JOIN)
            .with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS)
            .with_subscribed_topic_names(Some(vec![self.topic.name.clone()]))
            .with_topic_partitions(Some(Vec::new()));
        self.converse(wire, request).await
    }

    /// Sends a heartbeat.
    pub(super) async fn beat(&mut self, wire: &mut Wire) -> Result<(), Failure> {
        self.converse(wire, self.request(self.epoch)).await
    }

    /// Leaves the group for good.
    pub(super) async fn leave(&mut self, wire: &mut Wire) -> Result<(), Failure> {
        let answer = wire.call(&self.request(LEAVE), HEARTBEAT_VERSION).await?;
        accepted("ConsumerGroupHeartbeat", answer.error_code)
    }

    /// Commits an offset for each partition of the topic.
    pub(super) async fn commit(&self, wire: &mut Wire, offset: i64) -> Result<(), Failure> {
        let partition = |index| {
            OffsetCommitRequestPartition::default().with_partition_index(index).with_committed_offset(offset)
        };
        let topic = OffsetCommitRequestTopic::default()
            .with_name(self.topic.name.clone())
            .with_partitions((0..self.topic.partitions).map(partition).collect());
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(self.id.clone())
            .with_generation_id_or_member_epoch(self.epoch)
            .with_topics(vec![topic]);
        let answer = wire.call(&request, COMMIT_VERSION).await?;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.try_for_each(|partition| accepted("OffsetCommit", partition.error_code))
    }

    /// Sends a heartbeat, and confirms what the answer changes until there is nothing to confirm.
    async fn converse(
        &mut self,
        wire: &mut Wire,
        mut request: ConsumerGroupHeartbeatRequest,
    ) -> Result<(), Failure> {
        loop {
            let answer = wire.call(&request, HEARTBEAT_VERSION).await?;
            if !self.take(answer)? {
                return Ok(());
            }
            let owned =
                TopicPartitions::default().with_topic_id(self.topic.id.0).with_partitions(self.owned.clone());
            let owned = if self.owned.is_empty() { Vec::new() } else { vec![owned] };
            request = self.request(self.epoch).with_topic_partitions(Some(owned));
        }
    }

    /// Whether the answer changes what the member owns.
    fn take(&mut self, answer: ConsumerGroupHeartbeatResponse) -> Result<bool, Failure> {
        accepted("ConsumerGroupHeartbeat", answer.error_code)?;
        self.epoch = answer.member_epoch;
        self.interval = Duration::from_millis(u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0));
        let Some(assignment) = answer.assignment else { return Ok(false) };
        let mut assigned: Vec<i32> =
            assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
        assigned.sort_unstable();
        let is_news = assigned != self.owned;
        self.owned = assigned;
        Ok(is_news)
    }

    fn request(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(self.id.clone())
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(-1)
    }
}
