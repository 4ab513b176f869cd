//! DescribeLogDirs, versions 1 to 4. Tools and consoles ask every broker for it to see how large partitions are.
//!
//! Deviations: an agent has no log directory. It tells of one, the bucket, with the partitions that it is the preferred
//! agent of, so that the answers of a zone's agents together name each partition once. A size is that of the
//! partition's batches; the size of the bucket and what is free in it are not known (-1).

use std::collections::BTreeMap;

use ebb_metastore::state::TopicInfo;
use ebb_protocol::{
    ids::PartitionIndex,
    messages::{
        DescribeLogDirsRequest, DescribeLogDirsResponse, StrBytes, TopicName,
        describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic},
    },
};

use super::{Call, placement::Placement, topics::Named};

/// The one directory that there is.
const BUCKET: &str = "bucket";

pub(super) async fn answer(call: Call, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wanted: Vec<(TopicInfo, Option<Vec<i32>>)> = match request.topics {
        None => call.broker().metastore().read(|state| state.topics().map(|topic| (topic, None)).collect()),
        Some(topics) => {
            // A topic that is named twice is told once; one that does not exist is passed over, as in Kafka.
            let mut partitions: BTreeMap<String, Vec<i32>> = BTreeMap::new();
            for topic in topics {
                partitions.entry(topic.topic.to_string()).or_default().extend(topic.partitions);
            }
            let mut found = Vec::with_capacity(partitions.len());
            for (name, partitions) in partitions {
                if let Ok(topic) = call.topic(Named::Name(&name)).await {
                    found.push((topic, Some(partitions)));
                }
            }
            found
        }
    };
    let placement = call.placement();
    let topics =
        wanted.iter().filter_map(|(topic, only)| describe(&call, &placement, topic, only.as_deref()));
    let result = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_static_str(BUCKET))
        .with_topics(topics.collect());
    DescribeLogDirsResponse::default().with_results(vec![result])
}

/// The topic's partitions that are this agent's, of those asked for; `None` when there are none.
fn describe(
    call: &Call,
    placement: &Placement,
    topic: &TopicInfo,
    only: Option<&[i32]>,
) -> Option<DescribeLogDirsTopic> {
    let asked = |index: &i32| only.is_none_or(|only| only.contains(index));
    let ours =
        |index: &i32| placement.leader(topic.id, PartitionIndex(*index)) == Some(placement.controller());
    let describe = |index| {
        let read =
            |state: &ebb_metastore::state::State| state.partition_bytes(topic.id, PartitionIndex(index));
        let bytes = call.broker().metastore().read(read)?;
        Some(
            DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(i64::try_from(bytes).unwrap_or(i64::MAX)),
        )
    };
    let partitions: Vec<_> = (0..topic.partitions).filter(asked).filter(ours).filter_map(describe).collect();
    if partitions.is_empty() {
        return None;
    }
    let name = TopicName(StrBytes::from_string(topic.name.to_string()));
    Some(DescribeLogDirsTopic::default().with_name(name).with_partitions(partitions))
}
