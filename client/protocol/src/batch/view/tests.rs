//! Tests of the record batch view: every field, every refusal, and what readers must accept.

use super::*;
use crate::batch::layout::{put, put_checksum};
use crate::error::ResponseError;

/// One record with key "k" and value "v", written by hand from Kafka's definition.
fn sample() -> Vec<u8> {
    let mut batch = Vec::new();
    batch.extend(7_i64.to_be_bytes());
    batch.extend(58_i32.to_be_bytes());
    batch.extend(3_i32.to_be_bytes());
    batch.push(2);
    batch.extend([0; 4]);
    batch.extend(0_i16.to_be_bytes());
    batch.extend(0_i32.to_be_bytes());
    batch.extend(1_000_i64.to_be_bytes());
    batch.extend(2_000_i64.to_be_bytes());
    batch.extend(42_i64.to_be_bytes());
    batch.extend(5_i16.to_be_bytes());
    batch.extend(99_i32.to_be_bytes());
    batch.extend(1_i32.to_be_bytes());
    batch.extend(b"\x10\x00\x00\x00\x02k\x02v\x00");
    put_checksum(&mut batch);
    batch
}

/// The sample with one field changed and summed up again.
fn with<const N: usize>(at: usize, value: [u8; N]) -> Vec<u8> {
    let mut batch = sample();
    put(&mut batch, at, value);
    put_checksum(&mut batch);
    batch
}

fn parse(batch: Vec<u8>) -> Result<RecordBatch, BatchError> {
    RecordBatch::parse(batch.into())
}

#[test]
fn the_fields_of_the_header_are_read() {
    let batch = parse(sample()).expect("a sound batch");
    assert_eq!(batch.bytes(), &sample());
    assert_eq!((batch.base_offset(), batch.last_offset()), (Offset(7), Offset(7)));
    assert_eq!((batch.record_count(), batch.last_offset_delta()), (1, 0));
    assert_eq!(batch.leader_epoch(), LeaderEpoch(3));
    assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (Timestamp(1_000), Timestamp(2_000)));
    assert_eq!(batch.producer(), Some((ProducerId(42), ProducerEpoch(5), Sequence(99))));
    assert_eq!((batch.compression(), batch.timestamp_type()), (Compression::None, TimestampType::CreateTime));
    assert!(!batch.is_transactional() && !batch.is_control());
    assert_eq!(batch.records().len(), 9);
    let plain = parse(with(PRODUCER_ID, (-1_i64).to_be_bytes())).expect("a sound batch");
    assert_eq!(plain.producer(), None);
    let transactional = parse(with(ATTRIBUTES, (TRANSACTIONAL | 4).to_be_bytes())).expect("a sound batch");
    assert!(transactional.is_transactional());
    assert_eq!(transactional.compression(), Compression::Zstd);
}

#[test]
fn what_no_producer_may_send_is_refused_with_kafkas_code() {
    use ResponseError::{
        CorruptMessage, InvalidRecord, UnsupportedCompressionType, UnsupportedForMessageFormat,
    };
    let check = |batch: Vec<u8>, expect: BatchError, code: ResponseError| {
        let error = parse(batch).expect_err("a bad batch");
        assert_eq!((&error, error.response_error()), (&expect, code));
    };
    let count = |count, last_offset_delta| BatchError::Count { count, last_offset_delta };
    let producer = |producer_id, epoch, sequence| BatchError::Producer { producer_id, epoch, sequence };

    check(Vec::new(), BatchError::Truncated { have: 0, need: 61 }, CorruptMessage);
    check(sample()[..16].to_vec(), BatchError::Truncated { have: 16, need: 61 }, CorruptMessage);
    check(sample()[..69].to_vec(), BatchError::Truncated { have: 69, need: 70 }, CorruptMessage);
    check([sample(), vec![0; 3]].concat(), BatchError::NotAlone(3), InvalidRecord);
    for length in [-1, 48, i32::MIN] {
        check(with(BATCH_LENGTH, length.to_be_bytes()), BatchError::Length(length), CorruptMessage);
    }
    let most = i32::MAX as usize + LENGTH_END;
    check(
        with(BATCH_LENGTH, i32::MAX.to_be_bytes()),
        BatchError::Truncated { have: 70, need: most },
        CorruptMessage,
    );
    check(with(MAGIC, [0]), BatchError::OldMagic(0), UnsupportedForMessageFormat);
    check(with(MAGIC, [1]), BatchError::OldMagic(1), UnsupportedForMessageFormat);
    check(with(MAGIC, [3]), BatchError::UnknownMagic(3), CorruptMessage);
    check(with(MAGIC, [0xff]), BatchError::UnknownMagic(-1), CorruptMessage);
    check(with(ATTRIBUTES, [0, 5]), BatchError::UnknownCompression(5), UnsupportedCompressionType);
    check(with(ATTRIBUTES, [0, 7]), BatchError::UnknownCompression(7), UnsupportedCompressionType);
    check(with(RECORD_COUNT, 0_i32.to_be_bytes()), count(0, 0), InvalidRecord);
    check(with(RECORD_COUNT, 2_i32.to_be_bytes()), count(2, 0), InvalidRecord);
    check(with(RECORD_COUNT, (-1_i32).to_be_bytes()), count(-1, 0), InvalidRecord);
    check(with(LAST_OFFSET_DELTA, 1_i32.to_be_bytes()), count(1, 1), InvalidRecord);
    check(with(LAST_OFFSET_DELTA, (-1_i32).to_be_bytes()), count(1, -1), InvalidRecord);
    check(with(LAST_OFFSET_DELTA, i32::MAX.to_be_bytes()), count(1, i32::MAX), InvalidRecord);
    check(with(ATTRIBUTES, CONTROL.to_be_bytes()), BatchError::Control, InvalidRecord);
    check(with(PRODUCER_EPOCH, (-1_i16).to_be_bytes()), producer(42, -1, 99), InvalidRecord);
    check(with(BASE_SEQUENCE, (-1_i32).to_be_bytes()), producer(42, 5, -1), InvalidRecord);
    let mut nobody = with(PRODUCER_ID, (-1_i64).to_be_bytes());
    put(&mut nobody, ATTRIBUTES, TRANSACTIONAL.to_be_bytes());
    put_checksum(&mut nobody);
    check(nobody, producer(-1, 5, 99), InvalidRecord);
}

#[test]
fn an_uncompressed_batch_cannot_claim_more_records_than_it_has_bytes_for() {
    let mut batch = with(RECORD_COUNT, 2_i32.to_be_bytes());
    put(&mut batch, LAST_OFFSET_DELTA, 1_i32.to_be_bytes());
    put_checksum(&mut batch);
    assert_eq!(parse(batch), Err(BatchError::Count { count: 2, last_offset_delta: 1 }));
}

#[test]
fn any_changed_byte_under_the_checksum_is_noticed() {
    for at in CRC..sample().len() {
        let mut batch = sample();
        batch[at] ^= 0x40;
        assert!(matches!(parse(batch), Err(BatchError::Checksum { .. })), "byte {at}");
    }
}

#[test]
fn the_position_lies_outside_the_checksum() {
    let mut batch = sample();
    RecordBatch::set_position(&mut batch, Offset(1 << 40), LeaderEpoch(12));
    let batch = parse(batch).expect("still sound");
    assert_eq!((batch.base_offset(), batch.leader_epoch()), (Offset(1 << 40), LeaderEpoch(12)));
}

#[test]
fn log_append_time_is_written_under_a_new_checksum() {
    let before = parse(sample()).expect("a sound batch");
    let stamped = before.with_log_append_time(Timestamp(1_700_000_000_000));
    let stamped = RecordBatch::parse(stamped.bytes().clone()).expect("still sound");
    assert_eq!(stamped.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(stamped.max_timestamp(), Timestamp(1_700_000_000_000));
    assert_eq!((stamped.base_timestamp(), stamped.records()), (before.base_timestamp(), before.records()));
    assert_eq!(before.timestamp_type(), TimestampType::CreateTime, "the producer's batch stays as it is");
}

#[test]
fn readers_take_batches_that_compaction_or_a_broker_wrote() {
    let control = with(ATTRIBUTES, (CONTROL | TRANSACTIONAL).to_be_bytes());
    let thinned = with(LAST_OFFSET_DELTA, 9_i32.to_be_bytes());
    let emptied = with(RECORD_COUNT, 0_i32.to_be_bytes());
    let all = [control, thinned, emptied].concat();
    let read: Result<Vec<_>, _> = RecordBatch::batches(all.into()).collect();
    let read = read.expect("sound batches");
    assert!(read[0].is_control());
    assert_eq!((read[1].record_count(), read[1].last_offset()), (1, Offset(16)));
    assert_eq!(read[2].record_count(), 0);
}

#[test]
fn a_fetch_may_end_in_the_middle_of_a_batch() {
    let cut = [sample(), sample()[..30].to_vec()].concat();
    let read: Vec<_> = RecordBatch::batches(cut.into()).collect();
    assert_eq!(read.len(), 2);
    assert!(read[0].is_ok());
    assert_eq!(read[1], Err(BatchError::Truncated { have: 30, need: 70 }));
    let mut bytes = Bytes::from(sample()[..30].to_vec());
    assert!(RecordBatch::split_first(&mut bytes).is_err());
    assert_eq!(bytes.len(), 30, "an error takes nothing off");
}
