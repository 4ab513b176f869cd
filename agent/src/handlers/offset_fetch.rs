//! OffsetFetch, versions 1 to 9: the offsets that a group has committed, of some partitions or of all; from version 8
//! on of several groups at once. Asked by members that begin to read, and by tools.
//!
//! The answer holds every commit that was acknowledged before the request, whichever agent took it. A partition
//! without an offset, an unknown one, and an unknown group give -1, never an error. A group that is named twice is
//! answered once, and what would not fit into an answer is refused with INVALID_REQUEST. No offset is ever pending,
//! since there are no transactions yet, so `require_stable` changes nothing.

use ebb_coordinator::GroupError;
use ebb_metastore::{command::CommittedOffset, state::State};
use ebb_protocol::{
    error::NO_ERROR,
    ids::{GroupId, PartitionIndex, TopicName},
    messages::{
        OffsetFetchRequest, OffsetFetchResponse, StrBytes, TopicName as WireName,
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics},
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
            OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
};
use tokio::task::coop::consume_budget;

use super::{
    Call,
    groups::{Room, each_once, group_id, text},
};
use crate::groups::Committer;

/// What a partition, or a topic, takes in memory until the answer has left, besides its metadata.
const PARTITION_BYTES: usize = 64;

/// The first version with several groups.
const BATCHED: i16 = 8;

/// The first version that tells a group's error apart from its partitions'.
const GROUP_ERRORS: i16 = 2;

pub(super) async fn answer(call: Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let looked = call.handlers.groups.look_at_tail().await;
    let mut room = Room::new();
    if call.version >= BATCHED {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in each_once(request.groups, |group| &group.group_id) {
            consume_budget().await;
            groups.push(one_group(&call, &looked, group, &mut room));
        }
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let topics = |topic: OffsetFetchRequestTopic| {
        OffsetFetchRequestTopics::default()
            .with_name(topic.name)
            .with_partition_indexes(topic.partition_indexes)
    };
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(request.group_id)
        .with_member_epoch(-1)
        .with_topics(request.topics.map(|wanted| wanted.into_iter().map(topics).collect()));
    single(call.version, one_group(&call, &looked, group, &mut room))
}

fn one_group(
    call: &Call,
    looked: &Result<(), GroupError>,
    wanted: OffsetFetchRequestGroup,
    room: &mut Room,
) -> OffsetFetchResponseGroup {
    let group = group_id(&wanted.group_id);
    let reader = Committer {
        member: wanted.member_id.as_ref().map(StrBytes::to_string).unwrap_or_default(),
        instance: None,
        generation: wanted.member_epoch,
    };
    let found = match looked.clone().and_then(|()| call.handlers.groups.check_reader(&group, &reader)) {
        // A group that nobody knows has no offsets.
        Ok(()) | Err(GroupError::UnknownGroup) => Ok(()),
        Err(error) => Err(call.refuse_group(error)),
    };
    let code = found.err().unwrap_or(NO_ERROR);
    let topics = call.broker().metastore().read(|state| match (&wanted.topics, code) {
        (Some(topics), code) if code == NO_ERROR || call.version < GROUP_ERRORS => {
            topics.iter().map(|topic| some(state, &group, topic, code, room)).collect()
        }
        (None, NO_ERROR) => all(state, &group, room),
        (_, _) => Ok(Vec::new()),
    });
    let (code, topics) = match topics {
        Ok(topics) => (code, topics),
        Err(error) => (call.refuse_group(error), Vec::new()),
    };
    OffsetFetchResponseGroup::default()
        .with_group_id(wanted.group_id)
        .with_error_code(code)
        .with_topics(topics)
}

/// The offsets of the partitions asked for; with an error none.
fn some(
    state: &State,
    group: &GroupId,
    wanted: &OffsetFetchRequestTopics,
    code: i16,
    room: &mut Room,
) -> Result<OffsetFetchResponseTopics, GroupError> {
    let topic = TopicName::new(&wanted.name).ok().and_then(|name| state.topic_id(&name));
    room.take(PARTITION_BYTES)?;
    let partitions = wanted.partition_indexes.iter().map(|index| {
        let offset = match (topic, code) {
            (Some(topic), NO_ERROR) => state.committed(group, topic, PartitionIndex(*index)),
            _ => None,
        };
        Ok(partition(*index, offset, room)?.with_error_code(code))
    });
    let partitions = partitions.collect::<Result<_, GroupError>>()?;
    Ok(OffsetFetchResponseTopics::default().with_name(wanted.name.clone()).with_partitions(partitions))
}

/// All offsets of a group, by topic.
fn all(
    state: &State,
    group: &GroupId,
    room: &mut Room,
) -> Result<Vec<OffsetFetchResponseTopics>, GroupError> {
    let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
    let offsets = state.group(group).into_iter().flat_map(|group| group.offsets());
    let mut last = None;
    for (topic, index, offset) in offsets {
        let Some(name) = state.topic_name(topic) else { continue };
        if last != Some(topic) {
            last = Some(topic);
            topics.push(OffsetFetchResponseTopics::default().with_name(WireName(text(name.as_str()))));
        }
        if let Some(there) = topics.last_mut() {
            there.partitions.push(partition(index.0, Some(offset), room)?);
        }
    }
    Ok(topics)
}

fn partition(
    index: i32,
    offset: Option<&CommittedOffset>,
    room: &mut Room,
) -> Result<OffsetFetchResponsePartitions, GroupError> {
    room.take(PARTITION_BYTES + offset.map_or(0, |committed| committed.metadata.len()))?;
    let partition = OffsetFetchResponsePartitions::default().with_partition_index(index);
    Ok(match offset {
        Some(committed) => partition
            .with_committed_offset(committed.offset.0)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(text(&*committed.metadata))),
        None => partition
            .with_committed_offset(-1)
            .with_committed_leader_epoch(-1)
            .with_metadata(Some(StrBytes::default())),
    })
}

/// The response of versions that have one group.
fn single(version: i16, group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let partition = |partition: OffsetFetchResponsePartitions| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(if version >= 5 { partition.committed_leader_epoch } else { -1 })
            .with_metadata(partition.metadata)
            .with_error_code(partition.error_code)
    };
    let topic = |topic: OffsetFetchResponseTopics| {
        OffsetFetchResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(topic.partitions.into_iter().map(partition).collect())
    };
    OffsetFetchResponse::default()
        .with_error_code(if version >= GROUP_ERRORS { group.error_code } else { NO_ERROR })
        .with_topics(group.topics.into_iter().map(topic).collect())
}
