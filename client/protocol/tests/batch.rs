//! Record batches from the outside: bytes that Kafka's own Java client wrote, and records that come back as they
//! went in.

use bytes::Bytes;
use ebb_protocol::{
    batch::{
        BatchBuilder, BuildError, Compression, DECOMPRESSED_BYTES_MAX, Header, Record, RecordBatch,
        RecordError,
    },
    ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp},
};
use proptest::{collection::vec, option, prelude::*};

/// The same four records, written by kafka-clients 4.1.1 with each codec.
const GOLDEN: [(Compression, &[u8]); 5] = [
    (Compression::None, include_bytes!("golden/none.bin")),
    (Compression::Gzip, include_bytes!("golden/gzip.bin")),
    (Compression::Snappy, include_bytes!("golden/snappy.bin")),
    (Compression::Lz4, include_bytes!("golden/lz4.bin")),
    (Compression::Zstd, include_bytes!("golden/zstd.bin")),
];

const PRODUCER: (ProducerId, ProducerEpoch, Sequence) = (ProducerId(42), ProducerEpoch(3), Sequence(7));

fn header(key: &'static str, value: Option<&'static str>) -> Header {
    Header {
        key: Bytes::from_static(key.as_bytes()),
        value: value.map(|value| Bytes::from_static(value.as_bytes())),
    }
}

/// What the golden batches hold.
fn golden_records() -> Vec<Record> {
    let record = |offset, timestamp, key: Option<&'static str>, value: Option<String>, headers| Record {
        offset: Offset(offset),
        timestamp: Timestamp(timestamp),
        key: key.map(Bytes::from),
        value: value.map(Bytes::from),
        headers,
    };
    vec![
        record(0, 1_700_000_000_000, Some("k"), Some("v".to_owned()), vec![]),
        record(1, 1_700_000_000_250, None, Some("flights ".repeat(12)), vec![]),
        record(2, 1_699_999_999_000, Some("gone"), None, vec![]),
        record(
            3,
            1_700_000_000_500,
            Some(""),
            Some(String::new()),
            vec![header("h", Some("1")), header("h", Some("2")), header("ü", None)],
        ),
    ]
}

fn append(builder: &mut BatchBuilder, record: &Record) {
    let done =
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &record.headers);
    done.expect("a short record fits");
}

fn build(records: &[Record], compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for record in records {
        append(&mut builder, record);
    }
    builder.finish(compression, Some(PRODUCER)).expect("the batch is not empty")
}

fn decode(batch: &RecordBatch) -> Result<Vec<Record>, RecordError> {
    batch.decode(DECOMPRESSED_BYTES_MAX)?.collect()
}

#[test]
fn batches_of_the_java_client_are_read_with_every_codec() {
    for (compression, bytes) in GOLDEN {
        let batch = RecordBatch::parse(Bytes::from_static(bytes)).expect("Kafka's own batches are sound");
        assert_eq!(batch.compression(), compression);
        assert_eq!(batch.producer(), Some(PRODUCER));
        assert_eq!(batch.max_timestamp(), Timestamp(1_700_000_000_500));
        assert_eq!(decode(&batch), Ok(golden_records()), "{compression}");
    }
}

#[test]
fn an_uncompressed_batch_is_the_java_clients_byte_for_byte() {
    assert_eq!(build(&golden_records(), Compression::None).bytes(), GOLDEN[0].1);
}

#[test]
fn a_batch_is_compressed_anew_with_its_header_kept() {
    for (from, bytes) in GOLDEN {
        let batch = RecordBatch::parse(Bytes::from_static(bytes)).expect("Kafka's own batches are sound");
        for to in Compression::ALL {
            let packed = batch.with_compression(to, 1_000).expect("it decompresses to less");
            let packed = RecordBatch::parse(packed.bytes().clone()).expect("a sound batch");
            assert_eq!((packed.compression(), packed.producer()), (to, Some(PRODUCER)));
            assert_eq!(decode(&packed), Ok(golden_records()), "{from} to {to}");
            if to != from && from != Compression::None {
                assert!(batch.with_compression(to, 10).is_err(), "{from} is capped");
            }
        }
    }
}

#[test]
fn a_producer_puts_its_new_epoch_into_a_batch() {
    let batch = build(&golden_records(), Compression::Lz4);
    let fresh = (ProducerId(43), ProducerEpoch(0), Sequence(0));
    let moved = batch.with_producer(fresh.0, fresh.1, fresh.2);
    let moved = RecordBatch::parse(moved.bytes().clone()).expect("a sound batch");
    assert_eq!(moved.producer(), Some(fresh));
    assert_eq!(decode(&moved), Ok(golden_records()));
}

#[test]
fn a_builder_begins_anew_after_each_batch() {
    let mut builder = BatchBuilder::with_capacity(1 << 10);
    let records = golden_records();
    for compression in Compression::ALL {
        assert_eq!(builder.finish(compression, None), Err(BuildError::Empty));
        append(&mut builder, &records[0]);
        assert_eq!((builder.record_count(), builder.is_empty(), builder.bytes()), (1, false, 61 + 9));
        let batch = builder.finish(compression, None).expect("the batch is not empty");
        assert_eq!((batch.record_count(), batch.producer()), (1, None));
        assert_eq!(decode(&batch), Ok(records[..1].to_vec()));
        assert!(builder.is_empty());
    }
}

#[test]
fn a_record_that_no_frame_can_carry_is_refused() {
    let mut builder = BatchBuilder::default();
    let huge = vec![0; 100 << 20];
    let refused = builder.append(Timestamp(0), None, Some(&huge), &[]);
    assert!(matches!(refused, Err(BuildError::TooLarge { .. })));
    assert!(builder.is_empty());
}

#[test]
fn offsets_and_log_append_time_reach_the_records() {
    let batch = build(&golden_records(), Compression::Zstd).with_log_append_time(Timestamp(5));
    let mut bytes = batch.bytes().to_vec();
    RecordBatch::set_position(&mut bytes, Offset(1_000), LeaderEpoch(1));
    let records = decode(&RecordBatch::parse(bytes.into()).expect("a sound batch")).expect("sound records");
    let places: Vec<_> = records.iter().map(|record| (record.offset.0, record.timestamp.0)).collect();
    assert_eq!(places, [(1_000, 5), (1_001, 5), (1_002, 5), (1_003, 5)]);
}

/// Lets `change` spoil an uncompressed batch of two records, and sums it up again.
fn spoiled(change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<Record>, RecordError> {
    let record = |offset| Record {
        offset: Offset(offset),
        timestamp: Timestamp(0),
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from_static(b"value")),
        headers: vec![header("h", Some("1"))],
    };
    let mut bytes = build(&[record(0), record(1)], Compression::None).bytes().to_vec();
    change(&mut bytes);
    let length = i32::try_from(bytes.len() - 12).expect("short");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    decode(&RecordBatch::split_first(&mut bytes.into()).expect("the batch's header is sound"))
}

#[test]
fn malformed_records_are_refused() {
    // A record here is 19 bytes: length 61, attributes 62, deltas 63 64, key 65.., value 69.., headers 75...
    let check = |change: fn(&mut Vec<u8>), expect: fn(&RecordError) -> bool| {
        let error = spoiled(change).expect_err("malformed records");
        assert!(expect(&error), "{error}");
    };
    assert_eq!(spoiled(|_| ()).map(|records| records.len()), Ok(2));
    check(|batch| batch[61] = 1, |e| matches!(e, RecordError::Malformed { index: 0, .. }));
    check(|batch| batch[61] = 0x7f, |e| matches!(e, RecordError::Malformed { index: 0, .. }));
    check(|batch| batch[61] = 40, |e| matches!(e, RecordError::Overlong { index: 0, left: 2 }));
    check(|batch| batch[64] = 1, |e| matches!(e, RecordError::OffsetDelta { index: 0, delta: -1 }));
    check(|batch| batch[64] = 4, |e| matches!(e, RecordError::OffsetDelta { index: 0, delta: 2 }));
    check(|batch| batch[64] = 2, |e| matches!(e, RecordError::OffsetDelta { index: 1, delta: 1 }));
    check(|batch| batch[65] = 3, |e| matches!(e, RecordError::Malformed { index: 0, .. }));
    check(|batch| batch[69] = 0xfe, |e| matches!(e, RecordError::Malformed { index: 0, .. }));
    check(|batch| batch[75] = 0x7e, |e| matches!(e, RecordError::Malformed { index: 0, .. }));
    check(|batch| batch[75] = 1, |e| matches!(e, RecordError::Malformed { index: 0, .. }));
    check(|batch| batch[75] = 0, |e| matches!(e, RecordError::Overlong { index: 0, left: 4 }));
    check(|batch| batch.truncate(90), |e| matches!(e, RecordError::Malformed { index: 1, .. }));
    check(|batch| batch.extend([0; 3]), |e| *e == RecordError::TrailingBytes(3));
}

#[test]
fn nothing_follows_the_first_malformed_record() {
    let mut bytes = build(&golden_records(), Compression::None).bytes().to_vec();
    bytes[61] = 1;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let batch = RecordBatch::split_first(&mut bytes.into()).expect("the batch's header is sound");
    assert_eq!(batch.decode(DECOMPRESSED_BYTES_MAX).expect("not compressed").count(), 1);
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    let header = (any_bytes(), option::of(any_bytes())).prop_map(|(key, value)| Header { key, value });
    let fields = (0..=i64::MAX, option::of(any_bytes()), option::of(any_bytes()), vec(header, 0..4));
    let record = fields.prop_map(|(timestamp, key, value, headers)| Record {
        offset: Offset(0),
        timestamp: Timestamp(timestamp),
        key,
        value,
        headers,
    });
    vec(record, 1..30).prop_map(|mut records| {
        for (offset, record) in (0..).zip(&mut records) {
            record.offset = Offset(offset);
        }
        records
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back_as_they_went_in(records in any_records(), codec in 0_u8..5) {
        let compression = Compression::from_id(codec).expect("five codecs");
        let batch = build(&records, compression);
        let read = RecordBatch::parse(batch.bytes().clone()).expect("a sound batch");
        prop_assert_eq!(&read, &batch);
        prop_assert_eq!(read.max_timestamp(), records.iter().map(|record| record.timestamp).max().expect("not empty"));
        let bound: usize = records
            .iter()
            .map(|r| BatchBuilder::record_bytes_max(r.key.as_deref(), r.value.as_deref(), &r.headers))
            .sum();
        prop_assert!(build(&records, Compression::None).bytes().len() <= 61 + bound);
        prop_assert_eq!(decode(&read), Ok(records));
    }

    #[test]
    fn arbitrary_records_never_panic(records in vec(any::<u8>(), 0..200), count in 0_i32..20, codec in 0_u8..5) {
        let mut bytes = build(&golden_records(), Compression::None).bytes()[..61].to_vec();
        bytes.extend(records);
        let length = i32::try_from(bytes.len() - 12).expect("short");
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[22] = codec;
        bytes[23..27].copy_from_slice(&count.to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        if let Ok(batch) = RecordBatch::split_first(&mut bytes.into()) {
            let _ = decode(&batch);
        }
    }
}
