//! Record batches: header, records, and the batches that are made of them. Length and checksum of the first batch are
//! made to hold, so that mutations reach what lies behind them.
#![no_main]

use bytes::{Bytes, BytesMut};
use ebb_fuzz::{put, within};
use ebb_protocol::{
    batch::{BatchBuilder, Compression, Record, RecordBatch, TimestampType},
    ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp},
};
use libfuzzer_sys::fuzz_target;

/// What records may decompress to here, in bytes.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 10;
/// A record or a header costs some dozen bytes of memory for each byte that it took.
const BYTES_MAX: usize = 32 << 20;

fuzz_target!(|input: &[u8]| {
    within(BYTES_MAX, || {
        walk(Bytes::copy_from_slice(input));
        let sealed = sealed(input);
        let _ = RecordBatch::parse(sealed.clone());
        walk(sealed);
    });
});

/// The input as one batch whose length and checksum hold.
fn sealed(input: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(input);
    let len = i32::try_from(input.len().saturating_sub(12)).expect("inputs are short");
    put(&mut bytes, 8, len.to_be_bytes());
    if input.len() >= 21 {
        let crc = crc32c::crc32c(&bytes[21..]);
        put(&mut bytes, 17, crc.to_be_bytes());
    }
    bytes.freeze()
}

fn walk(bytes: Bytes) {
    let len = bytes.len();
    let mut walked = 0;
    for batch in RecordBatch::batches(bytes).map_while(Result::ok) {
        walked += batch.bytes().len();
        assert!(batch.last_offset() >= batch.base_offset());
        let _ = (batch.leader_epoch(), batch.producer(), batch.is_control(), batch.is_transactional());
        if let Some(records) = records(&batch, DECOMPRESSED_BYTES_MAX) {
            rewritten(&batch, &records);
            rebuilt(&batch, &records);
        }
    }
    assert!(walked <= len);
}

/// The records, when all of them are sound.
fn records(batch: &RecordBatch, bytes_max: usize) -> Option<Vec<Record>> {
    let records: Result<Vec<_>, _> = batch.decode(bytes_max).ok()?.collect();
    let records = records.ok()?;
    assert_eq!(records.len(), usize::try_from(batch.record_count()).expect("a sound count"));
    assert!(records.is_sorted_by(|a, b| a.offset < b.offset || a.offset == Offset(i64::MAX)));
    assert!(
        records.iter().all(|record| (batch.base_offset()..=batch.last_offset()).contains(&record.offset))
    );
    Some(records)
}

/// Batches made from this one are sound and hold the same records.
fn rewritten(batch: &RecordBatch, expected: &[Record]) {
    let check = |made: &RecordBatch| {
        let made =
            RecordBatch::batches(made.bytes().clone()).next().expect("one batch").expect("it is sound");
        assert_eq!(made.last_offset_delta(), batch.last_offset_delta());
        if made.timestamp_type() == batch.timestamp_type() && made.base_offset() == batch.base_offset() {
            let records = records(&made, DECOMPRESSED_BYTES_MAX);
            assert!(records.is_some_and(|records| records == expected), "{batch:?} became {made:?}");
        }
    };
    check(&batch.with_producer(ProducerId(7), ProducerEpoch(1), Sequence(i32::MAX)));
    let logged = batch.with_log_append_time(Timestamp(77));
    assert_eq!(logged.timestamp_type(), TimestampType::LogAppendTime);
    let records = records(&logged, DECOMPRESSED_BYTES_MAX).expect("nothing else has changed");
    assert!(records.iter().all(|record| record.timestamp == Timestamp(77)));
    for codec in Compression::ALL {
        let made = batch.with_compression(codec, DECOMPRESSED_BYTES_MAX).expect("the records were just read");
        assert_eq!(made.compression(), codec);
        check(&made);
    }
    let mut moved = BytesMut::from(&**batch.bytes());
    RecordBatch::set_position(&mut moved, Offset(99), LeaderEpoch(3));
    let moved = RecordBatch::batches(moved.freeze()).next().expect("one batch").expect("it is sound");
    assert_eq!((moved.base_offset(), moved.leader_epoch()), (Offset(99), LeaderEpoch(3)));
}

/// A builder that is given the records makes a batch that holds them.
fn rebuilt(batch: &RecordBatch, records: &[Record]) {
    let mut builder = BatchBuilder::default();
    for record in records {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(record.timestamp, key, value, &record.headers).expect("it fits");
    }
    if records.is_empty() {
        return;
    }
    let made = builder.finish(batch.compression(), batch.producer()).expect("it has records");
    // Its timestamp deltas may take more bytes.
    let again = self::records(&made, 2 * DECOMPRESSED_BYTES_MAX).expect("the builder wrote them");
    let same = again.iter().zip(records).all(|(again, record)| {
        (&again.key, &again.value, &again.headers) == (&record.key, &record.value, &record.headers)
    });
    assert!(same && again.len() == records.len(), "{records:?} became {again:?}");
}
