//! DeleteRecords, versions 0 to 2: moves the beginning of partitions forward. -1 means up to the high watermark.

use ebb_metastore::{command::Command, outcome::Outcome};
use ebb_protocol::{
    error::ResponseError,
    ids::{Offset, PartitionIndex},
    messages::{
        DeleteRecordsRequest, DeleteRecordsResponse,
        delete_records_request::DeleteRecordsPartition,
        delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
    },
};

use super::{
    Call,
    errors::Failure,
    topics::{Named, Target},
};

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

pub(super) async fn answer(call: Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut commands = Vec::new();
    let mut planned = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let last = topic.partitions.iter().map(|partition| partition.partition_index).max();
        let target = call.target(Named::Name(&topic.name), last).await;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let command = plan(&target, wanted).map(|command| commands.push(command));
            partitions.push((wanted.partition_index, command));
        }
        planned.push((topic.name, partitions));
    }
    let mut results = call.submit(commands).await.into_iter();
    let mut topics = Vec::with_capacity(planned.len());
    for (name, partitions) in planned {
        let partitions = partitions.into_iter().map(|(index, planned)| {
            let result =
                planned.and_then(|()| results.next().unwrap_or_else(|| Err(Failure::unknown_partition())));
            let partition = DeleteRecordsPartitionResult::default().with_partition_index(index);
            match result {
                Ok(Outcome::RecordsDeleted { log_start }) => partition.with_low_watermark(log_start.0),
                Ok(_) => partition.with_low_watermark(-1),
                Err(failure) => partition.with_low_watermark(-1).with_error_code(call.refuse(&failure)),
            }
        });
        let partitions = partitions.collect();
        topics.push(DeleteRecordsTopicResult::default().with_name(name).with_partitions(partitions));
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

fn plan(target: &Result<Target, Failure>, wanted: &DeleteRecordsPartition) -> Result<Command, Failure> {
    let target = target.as_ref().map_err(Clone::clone)?;
    if !target.settings.delete {
        let message = "the topic is compacted: its cleanup.policy does not have delete";
        return Err(Failure::new(ResponseError::PolicyViolation, message));
    }
    let before = match wanted.offset {
        HIGH_WATERMARK => None,
        offset if offset >= 0 => Some(Offset(offset)),
        offset => {
            let message = format!("{offset} is no offset: use 0 or more, or -1 for the high watermark");
            return Err(Failure::new(ResponseError::OffsetOutOfRange, message));
        }
    };
    Ok(Command::DeleteRecords { topic: target.id, partition: PartitionIndex(wanted.partition_index), before })
}
