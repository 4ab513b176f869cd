//! One consumer group of the cluster in memory (KIP-848): members share the topic's partitions evenly, a partition
//! goes to its new owner once the old one has acknowledged, and commits are fenced by epoch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ebb_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, StrBytes,
    consumer_group_heartbeat_response::{Assignment, TopicPartitions},
    find_coordinator_response::Coordinator,
    offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
    offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    },
};
use ebbtide::ErrorCode;

/// How often members are to be heard of, in milliseconds.
pub(crate) const INTERVAL_MS: i32 = 1000;

/// The group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) committed: BTreeMap<i32, i64>,
    pub(crate) epoch: i32,
    /// What the next heartbeats of members are answered with.
    pub(crate) refuse: VecDeque<ErrorCode>,
    /// How many of the next heartbeats are never answered, and have no effect.
    pub(crate) hang: usize,
    /// What the next commits are answered with.
    pub(crate) refuse_commits: VecDeque<ErrorCode>,
    pub(crate) heartbeats: usize,
    pub(crate) commits: usize,
    pub(crate) lookups: usize,
    pub(crate) last: Option<ConsumerGroupHeartbeatRequest>,
    pub(crate) joins: Vec<ConsumerGroupHeartbeatRequest>,
}

/// A member.
#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) epoch: i32,
    instance: Option<String>,
    /// The group's epoch when it joined: the younger a member is, the lower the partitions it gets.
    joined: i32,
    /// What it may read, and what it does not have to have given up yet.
    pub(crate) assigned: BTreeSet<i32>,
    /// What is told to be assigned, and of which topic.
    told: Option<(uuid::Uuid, BTreeSet<i32>)>,
}

impl Group {
    pub(crate) fn find(&mut self, request: &FindCoordinatorRequest) -> FindCoordinatorResponse {
        self.lookups += 1;
        let found = |key: &StrBytes| {
            Coordinator::default()
                .with_key(key.clone())
                .with_host(StrBytes::from_static_str("agent"))
                .with_port(9093)
        };
        FindCoordinatorResponse::default()
            .with_coordinators(request.coordinator_keys.iter().map(found).collect())
    }

    /// Whether the heartbeat that has come is not answered.
    pub(crate) fn hangs(&mut self) -> bool {
        let hangs = self.hang > 0;
        self.hang -= usize::from(hangs);
        hangs
    }

    pub(crate) fn heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        topic: uuid::Uuid,
        partitions: usize,
    ) -> ConsumerGroupHeartbeatResponse {
        self.heartbeats += 1;
        self.last = Some(request.clone());
        if request.member_epoch == 0 {
            self.joins.push(request.clone());
        }
        match self.beat(request, topic, partitions) {
            Err(code) => ConsumerGroupHeartbeatResponse::default().with_error_code(code.code()),
            Ok((epoch, assigned)) => {
                let assigned = assigned.map(|assigned| {
                    let topic = TopicPartitions::default()
                        .with_topic_id(topic)
                        .with_partitions(assigned.into_iter().collect());
                    Assignment::default().with_topic_partitions(vec![topic])
                });
                ConsumerGroupHeartbeatResponse::default()
                    .with_member_id(Some(request.member_id.clone()))
                    .with_member_epoch(epoch)
                    .with_heartbeat_interval_ms(INTERVAL_MS)
                    .with_assignment(assigned)
            }
        }
    }

    fn beat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        topic: uuid::Uuid,
        partitions: usize,
    ) -> Result<(i32, Option<BTreeSet<i32>>), ErrorCode> {
        let id = request.member_id.to_string();
        if let Some(code) = self.refuse.pop_front() {
            let fences =
                [ErrorCode::UnknownMemberId, ErrorCode::FencedMemberEpoch, ErrorCode::GroupIdNotFound];
            if fences.contains(&code) {
                self.members.remove(&id);
                self.epoch += 1;
            }
            return Err(code);
        }
        match request.member_epoch {
            -2 | -1 => {
                self.members.remove(&id).ok_or(ErrorCode::UnknownMemberId)?;
                self.epoch += 1;
                return Ok((request.member_epoch, None));
            }
            0 => {
                let full = request.subscribed_topic_names.is_some() && request.rebalance_timeout_ms > 0;
                if !full || request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
                    return Err(ErrorCode::InvalidRequest);
                }
                let instance = request.instance_id.as_deref().map(str::to_owned);
                let mut others = self.members.iter().filter(|(other, _)| **other != id);
                if instance.is_some() && others.any(|(_, other)| other.instance == instance) {
                    return Err(ErrorCode::UnreleasedInstanceId);
                }
                self.epoch += 1;
                let member = Member { joined: self.epoch, instance, ..Member::default() };
                self.members.insert(id.clone(), member);
            }
            epoch => {
                let member = self.members.get(&id).ok_or(ErrorCode::UnknownMemberId)?;
                if epoch > member.epoch {
                    return Err(ErrorCode::FencedMemberEpoch);
                }
            }
        }
        let owned = request
            .topic_partitions
            .as_ref()
            .map(|owned| owned.iter().flat_map(|topic| topic.partitions.clone()).collect::<BTreeSet<i32>>());
        Ok(self.assign(&id, owned.as_ref(), topic, partitions))
    }

    /// What a member is to read now, if that is news for it.
    fn assign(
        &mut self,
        id: &str,
        owned: Option<&BTreeSet<i32>>,
        topic: uuid::Uuid,
        partitions: usize,
    ) -> (i32, Option<BTreeSet<i32>>) {
        let count = self.members.len();
        let joined = self.members.get(id).expect("a member").joined;
        let at = self.members.values().filter(|other| other.joined > joined).count();
        let target: BTreeSet<i32> = (at..partitions).step_by(count).map(|index| index as i32).collect();
        let others = self.members.iter().filter(|(key, _)| *key != id);
        let taken: BTreeSet<i32> = others.flat_map(|(_, member)| member.assigned.clone()).collect();
        let epoch = self.epoch;
        let member = self.members.get_mut(id).expect("a member");
        let keeps: BTreeSet<i32> = member.assigned.intersection(&target).copied().collect();
        let given_up = owned.is_some_and(|owned| owned.is_subset(&keeps)) || keeps == member.assigned;
        let next = if given_up {
            let next: BTreeSet<i32> = target.difference(&taken).copied().collect();
            member.assigned.clone_from(&next);
            member.epoch = epoch;
            next
        } else {
            keeps
        };
        let told = Some((topic, next.clone()));
        let news = member.told != told;
        member.told = told;
        (member.epoch, news.then_some(next))
    }

    pub(crate) fn commit(&mut self, request: &OffsetCommitRequest, is_gone: bool) -> OffsetCommitResponse {
        self.commits += 1;
        let member = self.members.get(&*request.member_id);
        let code = match (self.refuse_commits.pop_front(), member) {
            (Some(code), _) => Some(code),
            (None, None) => Some(ErrorCode::UnknownMemberId),
            (None, Some(member)) if member.epoch != request.generation_id_or_member_epoch => {
                Some(ErrorCode::StaleMemberEpoch)
            }
            (None, Some(_)) => is_gone.then_some(ErrorCode::UnknownTopicOrPartition),
        };
        let mut topics = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for partition in &topic.partitions {
                if code.is_none() {
                    self.committed.insert(partition.partition_index, partition.committed_offset);
                }
                let answer = OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code.map_or(0, |code| code.code()));
                partitions.push(answer);
            }
            let answer = OffsetCommitResponseTopic::default().with_name(topic.name.clone());
            topics.push(answer.with_partitions(partitions));
        }
        OffsetCommitResponse::default().with_topics(topics)
    }

    pub(crate) fn fetch(&self, request: &OffsetFetchRequest) -> OffsetFetchResponse {
        let groups = request.groups.iter().map(|group| {
            let topics = group.topics.iter().flatten().map(|topic| {
                let partition = |index: &i32| {
                    OffsetFetchResponsePartitions::default()
                        .with_partition_index(*index)
                        .with_committed_offset(self.committed.get(index).copied().unwrap_or(-1))
                };
                OffsetFetchResponseTopics::default()
                    .with_name(topic.name.clone())
                    .with_partitions(topic.partition_indexes.iter().map(partition).collect())
            });
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id.clone())
                .with_topics(topics.collect())
        });
        OffsetFetchResponse::default().with_groups(groups.collect())
    }
}
