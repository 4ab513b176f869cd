//! Inputs for `batches`, `codecs` and `segments`: batches of every codec, what codecs write, and segments of batches.

use bytes::Bytes;
use ebb_protocol::{
    batch::{BatchBuilder, Compression, Header, RecordBatch},
    ids::{
        ClusterId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, SegmentId, Sequence,
        Timestamp, TopicId,
    },
};
use ebb_segment::format;
use uuid::Uuid;

use crate::Seed;

/// A batch of three records that differ in what they have.
pub(crate) fn batch(
    codec: Compression,
    producer: Option<(ProducerId, ProducerEpoch, Sequence)>,
) -> RecordBatch {
    let header = |value: Option<&'static [u8]>| Header {
        key: Bytes::from_static(b"k"),
        value: value.map(Bytes::from_static),
    };
    let mut builder = BatchBuilder::default();
    let mut append = |time, key, value, headers: &[Header]| {
        builder.append(Timestamp(time), key, value, headers).expect("the records are small");
    };
    append(1_700_000_000_000, Some(b"UA".as_slice()), Some(b"{\"flight\":1545}".as_slice()), &[]);
    append(
        1_700_000_000_007,
        None,
        Some(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".as_slice()),
        &[header(None), header(Some(b"v"))],
    );
    append(1_699_999_999_999, Some(b"AA".as_slice()), None, &[]);
    builder.finish(codec, producer).expect("it has records")
}

pub(crate) fn seeds() -> Vec<Seed> {
    let producer = Some((ProducerId(7), ProducerEpoch(2), Sequence(5)));
    let mut seeds = Vec::new();
    for codec in Compression::ALL {
        let batch = batch(codec, producer.filter(|_| codec != Compression::Gzip));
        seeds.push(Seed::new("batches", codec.name(), batch.bytes().to_vec()));
        // The direction "decompress" with a limit of 64 KiB, and the direction "read back".
        seeds.push(Seed::new(
            "codecs",
            format!("read-{codec}"),
            [&[codec.id(), 16], batch.records().as_ref()].concat(),
        ));
        seeds.push(Seed::new(
            "codecs",
            format!("write-{codec}"),
            [&[0x80 | codec.id(), 0], b"abc abc abc abc".as_slice()].concat(),
        ));
    }
    let logged = batch(Compression::None, None).with_log_append_time(Timestamp(1_700_000_000_009));
    let mut two = batch(Compression::Lz4, None).bytes().to_vec();
    RecordBatch::set_position(&mut two, Offset(41), LeaderEpoch(3));
    two.extend_from_slice(logged.bytes());
    seeds.push(Seed::new("batches", "two", two));
    seeds.extend(segments());
    seeds
}

fn segments() -> [Seed; 2] {
    let (cluster, segment) = (ClusterId(0x0190 << 112), SegmentId(0x0190 << 112 | 1));
    let at = |topic, partition, codec| {
        (TopicId(Uuid::from_u128(topic)), PartitionIndex(partition), batch(codec, None))
    };
    let batches = [
        at(2, 0, Compression::None),
        at(1, 3, Compression::Zstd),
        at(2, 0, Compression::Snappy),
        at(2, 1, Compression::None),
    ];
    let whole = |batches: &[_]| format::build(cluster, segment, batches).0.pieces.concat();
    [Seed::new("segments", "empty", whole(&[])), Seed::new("segments", "four", whole(&batches))]
}
