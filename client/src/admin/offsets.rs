//! Offsets: looking them up, and deleting the records before one.

use std::collections::BTreeMap;

use ebb_protocol::messages::{
    self, DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse, StrBytes,
    TopicName,
    delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
};

use super::{Admin, ListedOffset, OffsetSpec, check, left_out};
use crate::{Error, Isolation, Offset, PartitionIndex, Timestamp, cluster::Cluster, rpc::Effect};

impl Admin {
    /// Looks offsets up, for several partitions of one topic at once; the answers stand in the order of `partitions`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown topic or partition.
    pub async fn list_offsets(
        &self,
        topic: &str,
        partitions: &[PartitionIndex],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Vec<ListedOffset>, Error> {
        look_up(&self.cluster, topic, partitions, spec, isolation).await
    }

    /// Deletes the records of a partition before `before` and answers the new log start offset.
    /// [`Offset`] -1 means the high watermark.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] when `before` lies above the high watermark.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: PartitionIndex,
        before: Offset,
    ) -> Result<Offset, Error> {
        let what = format!("deleting records of topic {topic:?} partition {partition}");
        let build = |_| {
            let partition =
                DeleteRecordsPartition::default().with_partition_index(partition.0).with_offset(before.0);
            let topic = DeleteRecordsTopic::default()
                .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
                .with_partitions(vec![partition]);
            DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms())
        };
        let read = |answer: DeleteRecordsResponse| {
            let result = answer.topics.first().and_then(|topic| topic.partitions.first());
            let result = result.ok_or_else(|| left_out(&what))?;
            check(result.error_code, &what, None)?;
            Ok(Offset(result.low_watermark))
        };
        // Deleting what is deleted changes nothing, so this may be repeated.
        self.cluster.call(Effect::Reads, &what, build, read).await
    }
}

/// Looks offsets up; see [`Admin::list_offsets`].
pub(crate) async fn look_up(
    cluster: &Cluster,
    topic: &str,
    partitions: &[PartitionIndex],
    spec: OffsetSpec,
    isolation: Isolation,
) -> Result<Vec<ListedOffset>, Error> {
    let what = format!("looking up offsets of topic {topic:?}");
    let build = |_| {
        let partitions = partitions.iter().map(|index| {
            ListOffsetsPartition::default()
                .with_partition_index(index.0)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp(spec))
        });
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(partitions.collect());
        ListOffsetsRequest::default()
            .with_replica_id(messages::BrokerId(-1))
            .with_isolation_level(isolation.level())
            .with_topics(vec![topic])
    };
    let read = |answer: ListOffsetsResponse| {
        let topic = answer.topics.first().ok_or_else(|| left_out(&what))?;
        let found: BTreeMap<_, _> =
            topic.partitions.iter().map(|found| (found.partition_index, found)).collect();
        let listed = |partition: &PartitionIndex| {
            let what = format!("{what} partition {partition}");
            let found = found.get(&partition.0).ok_or_else(|| left_out(&what))?;
            check(found.error_code, &what, None)?;
            Ok(ListedOffset {
                partition: *partition,
                offset: (found.offset >= 0).then_some(Offset(found.offset)),
                timestamp: (found.timestamp >= 0).then_some(Timestamp(found.timestamp)),
            })
        };
        partitions.iter().map(listed).collect::<Result<Vec<_>, Error>>()
    };
    cluster.call(Effect::Reads, &what, build, read).await
}

/// Kafka's number for what to look up.
fn timestamp(spec: OffsetSpec) -> i64 {
    match spec {
        OffsetSpec::Latest => -1,
        OffsetSpec::Earliest => -2,
        OffsetSpec::MaxTimestamp => -3,
        // Negative times have other meanings.
        OffsetSpec::Timestamp(time) => time.0.max(0),
    }
}
