//! OffsetForLeaderEpoch, versions 2 to 4. Clients ask it after a leader has changed, to find out whether the log was
//! cut back. Here it never is: every known epoch ends at the high watermark.

use ebb_protocol::{
    ids::{LeaderEpoch, Offset, PartitionIndex},
    messages::{
        OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        offset_for_leader_epoch_request::OffsetForLeaderPartition,
        offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
    },
};

use super::{
    Call,
    errors::Failure,
    topics::{Named, Target},
};

pub(super) async fn answer(call: Call, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let last = topic.partitions.iter().map(|partition| partition.partition).max();
        let target = call.target(Named::Name(&topic.topic), last).await;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let end = EpochEndOffset::default()
                .with_partition(wanted.partition)
                .with_leader_epoch(-1)
                .with_end_offset(-1);
            partitions.push(match find(&call, &target, wanted).await {
                Ok(Some((epoch, offset))) => end.with_leader_epoch(epoch.0).with_end_offset(offset.0),
                Ok(None) => end,
                Err(failure) => end.with_error_code(call.refuse(&failure)),
            });
        }
        topics
            .push(OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions));
    }
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

async fn find(
    call: &Call,
    target: &Result<Target, Failure>,
    wanted: &OffsetForLeaderPartition,
) -> Result<Option<(LeaderEpoch, Offset)>, Failure> {
    let topic = target.as_ref().map_err(Clone::clone)?.id;
    call.check_epoch(topic, wanted.partition, wanted.current_leader_epoch)?;
    let partition = PartitionIndex(wanted.partition);
    Ok(call.broker().end_of_epoch(topic, partition, LeaderEpoch(wanted.leader_epoch)).await?)
}
