//! Archive files. What a writer is given comes out of the file again, with typed columns and without; of a file in which
//! bytes have changed, none of them is believed; and what never was a file is refused. Values and schemas are anything.
#![no_main]

use std::{
    ops::Range,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use ebb_archive::{
    Archive, ArchiveWriter, Codec, ColumnTree, Footer, Identity, Scan, Settings, Step, Steps, Tail, TimeScan,
    Typed, ValueReader, ValueType,
};
use ebb_fuzz::within;
use ebb_protocol::{
    batch::{BatchBuilder, BatchHeader, DECOMPRESSED_BYTES_MAX, Header, Record, RecordBatch},
    columns::TypedColumns,
    ids::{
        ArchiveId, ClusterId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
        Timestamp, TopicId,
    },
    values::{ValueFormat, ValueFraming, ValueSyntax},
};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

/// A small file takes many pages, each with buffers of its own, and its footer a list for each column.
const BYTES_MAX: usize = 64 << 20;
const IDENTITY: Identity =
    Identity { cluster: ClusterId(7), topic: TopicId(Uuid::from_u128(8)), object: ArchiveId(9) };
/// Small pages and row groups, so that a few records make many of them.
const SMALL: Settings = Settings {
    value_type: ValueType::Binary,
    codec: Codec::Zstd(1),
    row_group_bytes: 2_000,
    page_bytes: 300,
};

/// Values in Avro, of every shape that takes a varying number of bytes.
static AVRO: LazyLock<ValueFormat> = LazyLock::new(|| {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"l","type":"long"}, {"name":"s","type":["null","string"]}, {"name":"d","type":"double"},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
        {"name":"a","type":{"type":"array","items":{"type":"array","items":"int"}}},
        {"name":"m","type":{"type":"map","values":"bytes"}},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"p","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":3}}]}"#;
    of(ValueSyntax::Avro, schema)
});
/// The same in Protobuf.
static PROTOBUF: LazyLock<ValueFormat> = LazyLock::new(|| {
    let schema = r#"syntax = "proto3";
        import "google/protobuf/timestamp.proto";
        message R {
            int64 l = 1; string s = 2; double d = 3; repeated sint32 a = 4; map<string, bytes> m = 5;
            google.protobuf.Timestamp at = 6; repeated Inner i = 7; optional bool b = 8;
            message Inner { fixed64 f = 1; Inner deeper = 2; }
        }"#;
    of(ValueSyntax::Protobuf, schema)
});

/// A file of which bytes are changed, and its tail.
static SAMPLE: LazyLock<(Vec<u8>, Tail)> = LazyLock::new(|| {
    let input: Vec<u8> = (0..300_u32).map(|n| u8::try_from(n * n % 29).expect("below 29")).collect();
    let Archive { bytes, tail, .. } = write(&described(&input), SMALL, Typed::default());
    (bytes, tail)
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, input)) = input.split_first() else { return };
    let value_type = if *kind < 128 { ValueType::Binary } else { ValueType::String };
    let settings = Settings { value_type, ..SMALL };
    within(BYTES_MAX, || match kind % 8 {
        0 => written(input, settings, |_| Typed::default()),
        1 => changed(input),
        2 => foreign(input),
        3 => written(input, settings, learned),
        4 => written(input, settings, |_| wanted(&AVRO)),
        5 => written(input, settings, |_| wanted(&PROTOBUF)),
        syntax => schema(input, if syntax == 6 { ValueSyntax::Avro } else { ValueSyntax::Protobuf }),
    });
});

/// What is left of an input that says what is to be written; noughts when it is at its end.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// A field of a record: none, or some bytes.
    fn field(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()).checked_sub(1)?.min(self.0.len());
        let (field, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(field)
    }
}

/// Batches as the input describes them, by partition, in the order of a file.
fn described(input: &[u8]) -> Vec<(PartitionIndex, RecordBatch)> {
    let (mut choices, mut batches) = (Choices(input), Vec::new());
    let (mut partition, mut next) = (0, 0);
    while !choices.0.is_empty() {
        let shape = choices.byte();
        if shape & 1 == 1 {
            (partition, next) = (partition + 1, 0);
        }
        next += i64::from(shape >> 5);
        let (mut builder, mut delta) = (BatchBuilder::default(), 0);
        for _ in 0..=(shape >> 2) % 4 {
            delta += i32::from(choices.byte() % 3);
            let timestamp = Timestamp(i64::from(choices.byte()) - 1);
            let (key, value) = (choices.field(), choices.field());
            let header = |key: &'_ [u8], value: Option<&[u8]>| Header {
                key: Bytes::copy_from_slice(key),
                value: value.map(Bytes::copy_from_slice),
            };
            let headers: Vec<_> =
                choices.field().map(|key| header(key, choices.field())).into_iter().collect();
            builder.append_at(delta, timestamp, key, value, &headers).expect("the record is small");
            delta += 1;
        }
        let header = BatchHeader {
            base_offset: Offset(next),
            leader_epoch: LeaderEpoch(3),
            attributes: i16::from(shape & 2) << 2,
            producer_id: ProducerId(i64::from(shape % 3) - 1),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence(if shape % 3 == 0 { -1 } else { 5 }),
        };
        next += i64::from(delta);
        batches.push((PartitionIndex(partition), builder.finish_as(header).expect("it has a record")));
    }
    batches
}

/// Typed columns for every second value, in JSON. The others may fit them or not.
fn learned(batches: &[(PartitionIndex, RecordBatch)]) -> Typed {
    let (mut columns, values) = (ColumnTree::default(), ValueReader::default());
    for record in batches.iter().flat_map(|(_, batch)| records(batch)).step_by(2) {
        record.value.iter().for_each(|value| columns.learn(&values, value));
    }
    Typed { columns: columns.settle(&TypedColumns::default()).0, values }
}

/// The typed columns of a schema, whatever the values are.
fn wanted(format: &ValueFormat) -> Typed {
    let (values, columns) = ValueReader::new(format).expect("the schema is sound");
    let columns = columns.expect("a schema has columns").settle(&TypedColumns::default()).0;
    Typed { columns, values }
}

/// A schema that somebody gave is refused, or gives columns that a file can have.
fn schema(input: &[u8], syntax: ValueSyntax) {
    let Ok(schema) = str::from_utf8(input) else { return };
    let format = ValueFormat { syntax, ..of(ValueSyntax::Json, schema) };
    let Ok((values, Some(columns))) = ValueReader::new(&format) else { return };
    let typed = Typed { columns: columns.settle(&TypedColumns::default()).0, values };
    written(&[0, 0, 9, 0, 3, 2, 7, 0], SMALL, |_| typed.clone());
}

fn of(syntax: ValueSyntax, schema: &str) -> ValueFormat {
    ValueFormat { syntax, framing: ValueFraming::None, schema: schema.to_owned(), message: String::new() }
}

/// What was written is read back the same, whole and from any offset, whatever typed columns are beside it.
fn written(input: &[u8], settings: Settings, typed: impl Fn(&[(PartitionIndex, RecordBatch)]) -> Typed) {
    let batches = described(input);
    if batches.is_empty() {
        return;
    }
    let Archive { bytes, tail, .. } = write(&batches, settings, typed(&batches));
    let file = Bytes::from(bytes);
    let footer = footer(&file, tail).expect("it was just written");
    assert!(footer.holds(&file));
    let footer = Arc::new(footer);
    for at in 0..=batches.last().map_or(0, |(partition, _)| partition.0) {
        let partition = PartitionIndex(at);
        let of_it = batches.iter().filter(|(found, _)| *found == partition).map(|(_, batch)| batch);
        let expected: Vec<_> = of_it.flat_map(records).collect();
        let end = expected.last().map_or(0, |record| record.offset.0 + 1);
        let from = i64::from(input[0]) % (end + 1);
        for from in [0, from] {
            let found = read(&file, &footer, partition, Offset(from)..Offset(end)).expect("it is sound");
            let found: Vec<_> =
                found.iter().flat_map(records).filter(|found| found.offset.0 >= from).collect();
            let expected: Vec<_> =
                expected.iter().filter(|record| record.offset.0 >= from).cloned().collect();
            assert_eq!(found, expected, "from {from}");
        }
    }
}

/// A file of which bytes were changed is refused, or nothing of what was changed is read. Checksums are not made to hold:
/// behind them the decoders of Parquet believe what they read.
fn changed(input: &[u8]) {
    let (mut bytes, tail) = (SAMPLE.0.clone(), SAMPLE.1);
    for change in input.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
    let (sound, file) = (Bytes::from_static(&SAMPLE.0), Bytes::from(bytes));
    let Some(footer) = footer(&file, tail) else {
        return assert_ne!(file, sound, "a sound file is refused");
    };
    assert_eq!(footer.holds(&file), file == sound);
    let footer = Arc::new(footer);
    for partition in footer.groups().iter().map(|group| group.partition).take(4) {
        let all = Offset(0)..Offset(i64::MAX);
        let same = |found: Option<Vec<RecordBatch>>| {
            let expected = || read(&sound, &footer, partition, all.clone());
            assert!(found.is_none() && file != sound || found == expected());
        };
        same(read(&file, &footer, partition, all.clone()));
        for time in [0, 3, 200] {
            let scan = || TimeScan::since(footer.clone(), partition, all.clone(), Timestamp(time));
            let found = drive(&file, scan());
            assert!(found.is_none() && file != sound || found == drive(&sound, scan()));
        }
    }
}

/// Bytes that no writer wrote are no file.
fn foreign(input: &[u8]) {
    let file = Bytes::copy_from_slice(input);
    let tail = Tail {
        bytes: u32::try_from(input.len()).expect("inputs are short"),
        checksum: crc32c::crc32c(input),
    };
    let _ = footer(&file, tail);
}

fn write(batches: &[(PartitionIndex, RecordBatch)], settings: Settings, typed: Typed) -> Archive {
    let mut writer = ArchiveWriter::typed(IDENTITY, settings, typed).expect("the settings are known");
    for (partition, batch) in batches {
        writer.append(*partition, batch).expect("batches are in order");
    }
    writer.finish().expect("it has rows")
}

fn footer(file: &Bytes, tail: Tail) -> Option<Footer> {
    let from = file.len().saturating_sub(tail.bytes as usize);
    Footer::decode(file.len() as u64, tail, file.slice(from..)).ok()
}

fn read(
    file: &Bytes,
    footer: &Arc<Footer>,
    partition: PartitionIndex,
    offsets: Range<Offset>,
) -> Option<Vec<RecordBatch>> {
    let scan = Scan::new(footer.clone(), partition, offsets.start, offsets.end, u64::MAX);
    Some(drive(file, scan)?.into_iter().map(|found| found.batch).collect())
}

/// Gives a reader what it asks for, to its end; `None` when it fails, or asks for what is not in the file.
fn drive<R: Steps>(file: &Bytes, mut reader: R) -> Option<Vec<R::Item>> {
    let mut found = Vec::new();
    loop {
        match reader.step().ok()? {
            Step::Needs(ranges) => {
                let slice = |range: &Range<u64>| {
                    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
                    (start <= end && end <= file.len()).then(|| file.slice(start..end))
                };
                let bytes = ranges.iter().map(slice).collect::<Option<_>>()?;
                reader.push(ranges, bytes).ok()?;
            }
            Step::Item(item) => found.push(item),
            Step::End => return Some(found),
        }
    }
}

fn records(batch: &RecordBatch) -> Vec<Record> {
    let records = batch.decode(DECOMPRESSED_BYTES_MAX).expect("it was built");
    records.map(|record| record.expect("it was built")).collect()
}
