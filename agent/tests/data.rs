//! Produce, Fetch, ListOffsets and their kin over sockets, with the errors that clients get.

mod common;

use bytes::{Bytes, BytesMut};
use common::{
    Connection, Fixture, batch, batch_at, build, fetch, now, produce, produced, records, topic_name,
};
use ebb_protocol::{
    batch::{BatchBuilder, Compression},
    error::ResponseError,
    ids::Timestamp,
    messages::{
        DeleteRecordsRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
        OffsetForLeaderEpochRequest, ProducerId, StrBytes, TransactionalId,
        delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
        fetch_response::PartitionData,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
    },
};
use uuid::Uuid;

async fn topic_id(client: &mut Connection, name: &str) -> Uuid {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let request =
        MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
    client.call(&request, 12).await.topics[0].topic_id
}

/// Fetches partition 0 in any version; by id where the version wants ids.
async fn fetch_in(client: &mut Connection, topic: &str, offset: i64, version: i16) -> PartitionData {
    let mut request = fetch(topic, offset, 0);
    if version >= 13 {
        request.topics[0].topic_id = topic_id(client, topic).await;
        request.topics[0].topic = topic_name("");
    }
    client.call(&request, version).await.responses.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn records_come_back_in_every_version_over_both_transports() {
    let fixture = Fixture::start().await;
    for (transport, mut client) in ["tcp", "quic"].into_iter().zip(fixture.both().await) {
        client.create_topic(transport, 1, &[]).await;
        let id = topic_id(&mut client, transport).await;
        let mut expect = Vec::new();
        for version in 3..=13 {
            let value = format!("produced in {version}");
            let mut request = produce(transport, &[(0, batch(&[&value]))], -1);
            if version >= 13 {
                request.topic_data[0].name = topic_name("");
                request.topic_data[0].topic_id = id;
            }
            let response = produced(client.call(&request, version).await);
            assert_eq!((response.error_code, response.base_offset), (0, i64::from(version) - 3), "{version}");
            expect.push((response.base_offset, value));
        }
        for version in 4..=18 {
            let fetched = fetch_in(&mut client, transport, 0, version).await;
            assert_eq!((fetched.error_code, fetched.high_watermark), (0, 11), "{version}");
            assert_eq!(records(fetched.records.expect("there are records")), expect, "{version}");
        }
        let late = fetch_in(&mut client, transport, 7, 11).await;
        assert_eq!(records(late.records.expect("there are records")), expect[7..]);
    }
}

#[tokio::test]
async fn bad_batches_are_refused_with_kafkas_codes_and_leave_nothing_behind() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client
        .create_topic("t", 1, &[("max.message.bytes", "200"), ("message.timestamp.after.max.ms", "1000")])
        .await;
    client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let sound = batch(&["x"]);
    let corrupt = |at: usize, to: u8| {
        let mut bytes = BytesMut::from(&*sound);
        bytes[at] = to;
        bytes.freeze()
    };
    let two = Bytes::from([&*sound, &*sound].concat());
    let zstd = build(&["x"], now(), Compression::Zstd, None).bytes().clone();
    for (topic, batch, version, expect) in [
        ("t", corrupt(65, 99), 9, ResponseError::CorruptMessage),
        ("t", sound.slice(..40), 9, ResponseError::CorruptMessage),
        ("t", corrupt(16, 1), 9, ResponseError::UnsupportedForMessageFormat),
        ("t", two, 9, ResponseError::InvalidRecord),
        ("t", Bytes::new(), 9, ResponseError::InvalidRecord),
        ("t", common::batch(&[&"x".repeat(300)]), 9, ResponseError::MessageTooLarge),
        ("t", batch_at(&["x"], now() + 60_000), 9, ResponseError::InvalidTimestamp),
        ("t", zstd, 6, ResponseError::UnsupportedCompressionType),
        ("compacted", sound.clone(), 9, ResponseError::InvalidRecord),
        ("missing", sound.clone(), 9, ResponseError::UnknownTopicOrPartition),
    ] {
        let response = client.produce(topic, batch, version).await;
        assert_eq!(response.error_code, expect.code(), "{expect:?}: {:?}", response.error_message);
        assert_eq!(response.base_offset, -1);
    }
    assert_eq!(client.produce("t", sound.clone(), 9).await.base_offset, 0);
    // A partition that does not exist fails alone.
    let request = produce("t", &[(7, sound.clone()), (0, sound.clone())], -1);
    let partitions = client.call(&request, 9).await.responses.remove(0).partition_responses;
    let codes: Vec<_> = partitions.iter().map(|partition| (partition.index, partition.error_code)).collect();
    assert_eq!(codes, [(7, ResponseError::UnknownTopicOrPartition.code()), (0, 0)]);
    let response = produced(client.call(&produce("t", &[(0, sound.clone())], 2), 9).await);
    assert_eq!(response.error_code, ResponseError::InvalidRequiredAcks.code());
    let mut request = produce("", &[(0, sound)], -1);
    request.topic_data[0].topic_id = Uuid::from_u128(1);
    assert_eq!(produced(client.call(&request, 13).await).error_code, ResponseError::UnknownTopicId.code());
    let fetched = fetch_in(&mut client, "t", 0, 11).await;
    assert_eq!(records(fetched.records.expect("there are records")).len(), 2);
}

#[tokio::test]
async fn records_without_a_key_are_named_where_keys_are_needed() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let mut builder = BatchBuilder::default();
    for key in [Some("a"), None, Some("b"), None] {
        builder.append(Timestamp(now()), key.map(str::as_bytes), Some(b"x"), &[]).expect("a small record");
    }
    let batch = builder.finish(Compression::None, None).expect("there are records");
    for (version, expect) in [(7, vec![]), (8, vec![1, 3]), (12, vec![1, 3])] {
        let response = client.produce("compacted", batch.bytes().clone(), version).await;
        assert_eq!(response.error_code, ResponseError::InvalidRecord.code(), "{version}");
        let blamed: Vec<_> = response.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!(blamed, expect, "{version}");
    }
}

#[tokio::test]
async fn old_produce_versions_are_refused_partition_by_partition() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    for version in 0..3_i16 {
        let message = [0_u8; 30];
        let mut body = vec![0, 0, 0, version as u8, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0, 0, 3, 0xe8];
        body.extend([0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 30]);
        body.extend(message);
        let length = i32::try_from(body.len()).expect("a short frame").to_be_bytes();
        client.send_bytes(&[&length, body.as_slice()].concat()).await;
        let response = client.receive_frame().await.expect("an answer, not a closed connection");
        let code = i16::from_be_bytes([response[19], response[20]]);
        assert_eq!(code, ResponseError::UnsupportedForMessageFormat.code(), "version {version}");
    }
}

#[tokio::test]
async fn acks_0_has_no_response_and_closes_the_connection_on_failure() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    client.send(&produce("t", &[(0, batch(&["quiet"]))], 0), 9).await;
    let response = client.produce("t", batch(&["loud"]), 9).await;
    assert_eq!(response.base_offset, 1, "the unacknowledged record came first");
    client.send(&produce("missing", &[(0, batch(&["lost"]))], 0), 9).await;
    client.assert_closed().await;
}

#[tokio::test]
async fn the_brokers_time_and_codec_replace_the_producers_where_the_topic_says_so() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    let configs = [("message.timestamp.type", "LogAppendTime"), ("compression.type", "lz4")];
    client.create_topic("t", 1, &configs).await;
    let before = now();
    let response = client.produce("t", batch_at(&["old"], 5), 9).await;
    assert_eq!(response.error_code, 0);
    assert!((before..=now()).contains(&response.log_append_time_ms));
    let fetched = fetch_in(&mut client, "t", 0, 11).await.records.expect("there are records");
    let stored = ebb_protocol::batch::RecordBatch::parse(fetched.clone()).expect("one sound batch");
    assert_eq!(stored.compression(), Compression::Lz4);
    assert_eq!(stored.max_timestamp().0, response.log_append_time_ms);
    assert_eq!(records(fetched), [(0, "old".to_owned())]);
}

#[tokio::test]
async fn idempotent_producers_get_duplicates_answered_and_gaps_refused() {
    let fixture = Fixture::start().await;
    let mut client = fixture.quic().await;
    client.create_topic("t", 1, &[]).await;
    let fresh = || {
        InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    };
    let mut ids = Vec::new();
    for version in 0..=5 {
        let given = client.call(&fresh(), version).await;
        assert_eq!((given.error_code, given.producer_epoch), (0, 0), "{version}");
        ids.push(given.producer_id.0);
    }
    ids.dedup();
    assert_eq!(ids.len(), 6, "every producer gets an id of its own");
    let id = ids[0];
    let from = |epoch, sequence| {
        build(&["a", "b"], now(), Compression::None, Some((id, epoch, sequence))).bytes().clone()
    };
    for (epoch, sequence, code, offset) in [
        (0, 0, 0, 0),
        (0, 2, 0, 2),
        (0, 0, 0, 0),
        (0, 7, ResponseError::OutOfOrderSequenceNumber.code(), -1),
        (1, 0, 0, 4),
        (0, 4, ResponseError::InvalidProducerEpoch.code(), -1),
    ] {
        let response = client.produce("t", from(epoch, sequence), 9).await;
        assert_eq!(
            (response.error_code, response.base_offset),
            (code, offset),
            "epoch {epoch} sequence {sequence}"
        );
    }
    let refused = [
        (
            fresh().with_transactional_id(Some(TransactionalId(StrBytes::from_static_str("txn")))),
            ResponseError::TransactionalIdAuthorizationFailed,
        ),
        (
            fresh().with_transactional_id(Some(TransactionalId(StrBytes::from_static_str("")))),
            ResponseError::InvalidRequest,
        ),
        (fresh().with_producer_id(ProducerId(5)), ResponseError::InvalidRequest),
    ];
    for (request, expect) in refused {
        assert_eq!(client.call(&request, 4).await.error_code, expect.code(), "{request:?}");
    }
}

#[tokio::test]
async fn fetches_are_refused_with_kafkas_codes() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", batch(&["x"]), 9).await;
    let code = |data: &PartitionData| data.error_code;
    assert_eq!(code(&fetch_in(&mut client, "t", 2, 11).await), ResponseError::OffsetOutOfRange.code());
    assert_eq!(code(&fetch_in(&mut client, "t", -1, 11).await), ResponseError::OffsetOutOfRange.code());
    assert_eq!(code(&fetch_in(&mut client, "t", 1, 11).await), 0, "the end is no error");
    let missing = fetch_in(&mut client, "missing", 0, 11).await;
    assert_eq!(code(&missing), ResponseError::UnknownTopicOrPartition.code());
    let mut request = fetch("", 0, 60_000);
    request.topics[0].topic_id = Uuid::from_u128(1);
    let response = client.call(&request, 13).await;
    assert_eq!(response.responses[0].partitions[0].error_code, ResponseError::UnknownTopicId.code());
    let mut request = fetch("t", 0, 60_000);
    request.topics[0].partitions[0].current_leader_epoch = 9;
    let response = client.call(&request, 11).await;
    assert_eq!(response.responses[0].partitions[0].error_code, ResponseError::UnknownLeaderEpoch.code());
    let response = client.call(&fetch("t", 0, 0).with_session_id(9).with_session_epoch(1), 11).await;
    assert_eq!(response.error_code, ResponseError::FetchSessionIdNotFound.code());
    let response = client.call(&fetch("t", 0, 0).with_isolation_level(1), 11).await;
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.aborted_transactions, Some(Vec::new()));
    assert_eq!(partition.last_stable_offset, 1);
}

#[tokio::test]
async fn a_waiting_fetch_wakes_when_a_record_is_acknowledged() {
    let fixture = Fixture::start().await;
    let [mut producer, mut consumer] = fixture.both().await;
    producer.create_topic("t", 1, &[]).await;
    consumer.send(&fetch("t", 0, 15_000), 11).await;
    producer.produce("t", batch(&["fresh"]), 9).await;
    let (_, response) = consumer.receive::<ebb_protocol::messages::FetchRequest>(11).await;
    let fetched = response.responses[0].partitions[0].records.clone().expect("there are records");
    assert_eq!(records(fetched), [(0, "fresh".to_owned())]);
}

#[tokio::test]
async fn offsets_are_found_by_end_and_by_time() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let start = now() - 10_000;
    for step in 0..3 {
        client.produce("t", batch_at(&["a", "b"], start + step * 1_000), 9).await;
    }
    let ask = |partition: i32, timestamp: i64| {
        let partition =
            ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        ListOffsetsRequest::default().with_topics(vec![topic])
    };
    for version in 1..=10 {
        let mut check = async |partition, timestamp, code: i16, offset: i64| {
            let mut response = client.call(&ask(partition, timestamp), version).await;
            let found = response.topics.remove(0).partitions.remove(0);
            assert_eq!(
                (found.error_code, found.offset),
                (code, offset),
                "version {version} time {timestamp}"
            );
        };
        check(0, -1, 0, 6).await;
        check(0, -2, 0, 0).await;
        check(0, -3, 0, 4).await;
        check(0, -4, 0, 0).await;
        check(0, -5, 0, -1).await;
        check(0, start, 0, 0).await;
        check(0, start + 1, 0, 2).await;
        check(0, start + 99_999, 0, -1).await;
        check(3, -1, ResponseError::UnknownTopicOrPartition.code(), -1).await;
    }
}

#[tokio::test]
async fn deleted_records_move_the_beginning() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", batch(&["a", "b", "c", "d"]), 9).await;
    let delete = |offset: i64| {
        let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000)
    };
    for (version, offset, code, low) in [
        (0, 1, 0, 1),
        (1, 9, ResponseError::OffsetOutOfRange.code(), -1),
        (1, -7, ResponseError::OffsetOutOfRange.code(), -1),
        (2, -1, 0, 4),
    ] {
        let response = client.call(&delete(offset), version).await;
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.low_watermark), (code, low), "offset {offset}");
    }
    let below = fetch_in(&mut client, "t", 0, 11).await;
    assert_eq!(below.error_code, ResponseError::OffsetOutOfRange.code());
}

#[tokio::test]
async fn known_leader_epochs_end_at_the_high_watermark() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", batch(&["a", "b"]), 9).await;
    for version in 2..=4 {
        let partition =
            |epoch| OffsetForLeaderPartition::default().with_partition(0).with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default().with_topic(topic_name("t")).with_partitions(vec![
            partition(0),
            partition(5),
            partition(0).with_partition(8),
        ]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let response = client.call(&request, version).await;
        let ends: Vec<_> =
            response.topics[0].partitions.iter().map(|end| (end.error_code, end.end_offset)).collect();
        assert_eq!(ends, [(0, 2), (0, -1), (ResponseError::UnknownTopicOrPartition.code(), -1)], "{version}");
    }
}
