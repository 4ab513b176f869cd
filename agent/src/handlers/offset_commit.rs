//! OffsetCommit, versions 2 to 9. Members of a group commit what they have read, and so do consumers and tools that
//! use a group's name for its offsets alone (generation -1, no member id), as long as the group has no members.
//!
//! An unknown partition or too long metadata fails alone, everything else fails the whole request. From version 9 on
//! the generation may be a member epoch (KIP-848). Deviation: a retention time of the request (up to version 4) is
//! passed over, as newer Kafka does without it.
//!
//! A commit is handed over before the next request is read, as a Produce is: commits that a client sends one after the
//! other without waiting go along with each other.

use std::collections::BTreeMap;

use bytes::Bytes;
use ebb_coordinator::GroupError;
use ebb_metastore::{command::CommittedOffset, limits::OFFSET_METADATA_BYTES_MAX};
use ebb_protocol::{
    error::{NO_ERROR, ResponseError},
    ids::{Offset, PartitionIndex, TopicId},
    messages::{
        OffsetCommitRequest, OffsetCommitResponse, decode_request,
        offset_commit_request::OffsetCommitRequestPartition,
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
    },
};

use futures::FutureExt;

use super::{
    Call,
    errors::Failure,
    groups::{group_id, optional},
    topics::{Named, Target},
};
use crate::{
    connection::{ConnectionError, Reply},
    groups::{Committer, PendingCommit},
};

/// The first version in which members of KIP-848 commit.
const MEMBER_EPOCHS: i16 = 9;

/// Takes an OffsetCommit in. What it resolves to waits for the commit to be durable.
pub(super) async fn take_in(call: Call, body: Bytes) -> Result<Reply, ConnectionError> {
    let request = decode_request::<OffsetCommitRequest>(body, call.version)?;
    // A partition that is named twice gets what is said last.
    let mut offsets = BTreeMap::new();
    let mut planned = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let last = topic.partitions.iter().map(|partition| partition.partition_index).max();
        let target = call.target(Named::Name(&topic.name), last).await;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let planned = plan(&call, &target, wanted).map(|(key, offset)| {
                offsets.insert(key, offset);
            });
            partitions.push((wanted.partition_index, planned));
        }
        planned.push(partitions);
    }
    let begun = match planned.iter().flatten().any(|(_, planned)| planned.is_ok()) {
        true => Some(begin(&call, &request, offsets).await),
        false => None,
    };
    Ok(async move { finish(call, request, planned, begun).await.map(Some) }.boxed())
}

/// What becomes of each partition of a topic, as far as it is known before the commit.
type Planned = Vec<(i32, Result<(), Failure>)>;

async fn finish(
    call: Call,
    request: OffsetCommitRequest,
    planned: Vec<Planned>,
    begun: Option<Result<PendingCommit, GroupError>>,
) -> Result<Bytes, ConnectionError> {
    let committed = match begun {
        Some(Ok(pending)) => pending.durable().await,
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    let committed = committed.map_err(|error| failure(&call, &request, error));
    let mut topics = Vec::with_capacity(planned.len());
    for (topic, partitions) in request.topics.into_iter().zip(planned) {
        let partitions = partitions.into_iter().map(|(index, planned)| {
            let result = planned.and_then(|()| committed.clone());
            let code = result.map_or_else(|failure| call.refuse(&failure), |()| NO_ERROR);
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
        });
        let partitions = partitions.collect();
        topics.push(OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions));
    }
    call.encode::<OffsetCommitRequest>(&OffsetCommitResponse::default().with_topics(topics))
}

type Key = (TopicId, PartitionIndex);

fn plan(
    call: &Call,
    target: &Result<Target, Failure>,
    wanted: &OffsetCommitRequestPartition,
) -> Result<(Key, CommittedOffset), Failure> {
    let target = target.as_ref().map_err(Clone::clone)?;
    if !call.has_partition(target.id, wanted.partition_index) {
        return Err(Failure::unknown_partition());
    }
    let metadata = optional(wanted.committed_metadata.as_ref()).unwrap_or_default();
    if metadata.len() > OFFSET_METADATA_BYTES_MAX {
        let message = format!("the metadata is longer than {OFFSET_METADATA_BYTES_MAX} bytes");
        return Err(Failure::new(ResponseError::OffsetMetadataTooLarge, message));
    }
    let offset = CommittedOffset {
        offset: Offset(wanted.committed_offset),
        leader_epoch: wanted.committed_leader_epoch,
        metadata,
    };
    Ok(((target.id, PartitionIndex(wanted.partition_index)), offset))
}

async fn begin(
    call: &Call,
    request: &OffsetCommitRequest,
    offsets: BTreeMap<Key, CommittedOffset>,
) -> Result<PendingCommit, GroupError> {
    let committer = Committer {
        member: request.member_id.to_string(),
        instance: optional(request.group_instance_id.as_ref()),
        generation: request.generation_id_or_member_epoch,
    };
    let offsets = offsets.into_iter().map(|((topic, partition), offset)| (topic, partition, offset));
    call.handlers.groups.begin_commit(&group_id(&request.group_id), &committer, offsets.collect()).await
}

fn failure(call: &Call, request: &OffsetCommitRequest, error: GroupError) -> Failure {
    let has_epochs = call.version >= MEMBER_EPOCHS;
    match error {
        // Kafka tells of a group that it does not know only since then.
        GroupError::IllegalGeneration
            if has_epochs && !call.handlers.groups.exists(&group_id(&request.group_id)) =>
        {
            GroupError::UnknownGroup.into()
        }
        GroupError::UnknownGroup if !has_epochs => GroupError::IllegalGeneration.into(),
        // A member of KIP-848 that commits as one of the classic protocol.
        GroupError::StaleMemberEpoch if !has_epochs => {
            Failure::new(ResponseError::UnsupportedVersion, "member epochs need version 9 of OffsetCommit")
        }
        error => error.into(),
    }
}
