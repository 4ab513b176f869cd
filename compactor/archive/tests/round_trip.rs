//! What goes into an archive file comes out of it: the same to a consumer, from whatever offset it begins.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use ebb_archive::{
    Archive, ArchiveWriter, Chain, Footer, FooterError, Identity, ReadError, Scan, Settings, Step, Steps,
    Tail, TimeScan, ValueType,
};
use ebb_protocol::{
    batch::{BatchBuilder, BatchHeader, Compression, Header, Record, RecordBatch, TimestampType},
    ids::{
        ArchiveId, ClusterId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
        Timestamp, TopicId,
    },
};
use proptest::prelude::*;
use uuid::Uuid;

const IDENTITY: Identity =
    Identity { cluster: ClusterId(7), topic: TopicId(Uuid::from_u128(8)), object: ArchiveId(9) };
/// Records may decompress to this much, in bytes.
const DECODE_BYTES_MAX: usize = 64 << 20;

/// Small pages and row groups, so that a few records make many of them.
const SMALL: Settings = Settings {
    value_type: ValueType::Binary,
    codec: ebb_archive::Codec::Zstd(1),
    row_group_bytes: 2_000,
    page_bytes: 300,
};

fn write(settings: Settings, batches: &[(PartitionIndex, RecordBatch)]) -> Archive {
    let mut writer = ArchiveWriter::new(IDENTITY, settings).expect("the settings are known");
    for (partition, batch) in batches {
        writer.append(*partition, batch).expect("batches are in order");
    }
    writer.finish().expect("the file can be written")
}

#[test]
fn a_file_is_the_same_when_it_is_taken_piece_by_piece() {
    let mut batches = Vec::new();
    for number in 0..200_u32 {
        let mut builder = BatchBuilder::default();
        let value = number.to_string().repeat(300);
        builder.append(Timestamp(number.into()), None, Some(value.as_bytes()), &[]).expect("a small record");
        let batch = builder.finish(Compression::None, None).expect("there is a record");
        batches.push((PartitionIndex(0), batch.at(Offset(number.into()), LeaderEpoch(0))));
    }
    let settings = Settings { codec: ebb_archive::Codec::None, ..SMALL };
    let whole = write(settings, &batches);
    assert_eq!(whole.file_bytes, whole.bytes.len() as u64);
    for every in [1, 7, 50] {
        let mut writer = ArchiveWriter::new(IDENTITY, settings).expect("the settings are known");
        let mut taken = Vec::new();
        for (count, (partition, batch)) in batches.iter().enumerate() {
            writer.append(*partition, batch).expect("batches are in order");
            if count % every == 0 {
                writer.end_span();
                taken.extend(writer.take().expect("memory does not fail"));
            }
        }
        let archive = writer.finish().expect("the file can be written");
        assert!(taken.len() > 1_000, "{} bytes", taken.len());
        assert!(archive.file_bytes > archive.bytes.len() as u64);
        taken.extend(&archive.bytes);
        assert_eq!(taken.len() as u64, archive.file_bytes);
        let footer = footer(&Archive { bytes: taken.clone(), ..archive });
        let back = read(&Bytes::from(taken), &footer, 0, 0..i64::MAX, u64::MAX);
        assert!(back.iter().eq(batches.iter().map(|(_, batch)| batch)), "taken after each {every}");
    }
}

fn slice(file: &Bytes, range: &Range<u64>) -> Bytes {
    file.slice(usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small"))
}

fn footer(archive: &Archive) -> Arc<Footer> {
    let file = Bytes::copy_from_slice(&archive.bytes);
    let tail = file.slice(file.len() - archive.tail.bytes as usize..);
    Arc::new(Footer::decode(file.len() as u64, archive.tail, tail).expect("the footer is sound"))
}

fn read(
    file: &Bytes,
    footer: &Arc<Footer>,
    partition: i32,
    offsets: Range<i64>,
    max: u64,
) -> Vec<RecordBatch> {
    let (from, to) = (Offset(offsets.start), Offset(offsets.end));
    let mut scan = Scan::new(footer.clone(), PartitionIndex(partition), from, to, max);
    let mut batches = Vec::new();
    loop {
        match scan.step().expect("the file is sound") {
            Step::Needs(ranges) => {
                let bytes = ranges.iter().map(|range| slice(file, range)).collect();
                scan.push(ranges, bytes).expect("the bytes fit their ranges");
            }
            Step::Item(found) => batches.push(found.batch),
            Step::End => return batches,
        }
    }
}

fn records(batches: &[RecordBatch]) -> Vec<Record> {
    let decoded = batches.iter().map(|batch| batch.decode(DECODE_BYTES_MAX).expect("batches decompress"));
    decoded.flat_map(|records| records.map(|record| record.expect("records are sound"))).collect()
}

type Maybe = Option<Vec<u8>>;
/// How many offsets are left out before a record; its timestamp, key, value, and headers.
type DescribedRecord = (i32, i64, Maybe, Maybe, Vec<(String, Maybe)>);

/// A batch as a test describes it: gaps before its records, and the records.
#[derive(Clone, Debug)]
struct Described {
    gap: i64,
    records: Vec<DescribedRecord>,
    producer: Option<(i64, i16, i32)>,
    log_append: bool,
}

fn described() -> impl Strategy<Value = Described> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let header = (prop::sample::select(vec!["", "a", "trace", "ä"]).prop_map(str::to_owned), bytes());
    let timestamp = prop_oneof![Just(-1), 1_700_000_000_000..1_700_000_100_000_i64];
    let record = (0..3_i32, timestamp, bytes(), bytes(), prop::collection::vec(header, 0..3));
    let producer = prop::option::of((0..5_i64, 0..3_i16, 0..1_000_i32));
    (0..3_i64, prop::collection::vec(record, 1..20), producer, any::<bool>())
        .prop_map(|(gap, records, producer, log_append)| Described { gap, records, producer, log_append })
}

/// Lays described batches out one behind the other.
fn lay_out(described: &[Described]) -> Vec<RecordBatch> {
    let mut next = 0;
    let lay = |described: &Described| {
        let mut builder = BatchBuilder::default();
        let mut delta = 0;
        for (skip, timestamp, key, value, headers) in &described.records {
            delta += skip;
            let headers: Vec<Header> = headers
                .iter()
                .map(|(key, value)| Header { key: key.clone().into(), value: value.clone().map(Bytes::from) })
                .collect();
            let added =
                builder.append_at(delta, Timestamp(*timestamp), key.as_deref(), value.as_deref(), &headers);
            added.expect("the record is small and in order");
            delta += 1;
        }
        let (id, epoch, sequence) = described.producer.unwrap_or((-1, -1, -1));
        let header = BatchHeader {
            base_offset: Offset(next + described.gap),
            leader_epoch: LeaderEpoch(3),
            attributes: if described.log_append { 8 } else { 0 },
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
        };
        next += described.gap + i64::from(delta);
        builder.finish_as(header).expect("there is a record")
    };
    described.iter().map(lay).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn batches_come_back_as_they_were(
        first in prop::collection::vec(described(), 0..12),
        second in prop::collection::vec(described(), 0..12),
        text in any::<bool>(),
    ) {
        let partitions = [lay_out(&first), lay_out(&second)];
        let placed: Vec<_> = (0..)
            .zip(&partitions)
            .flat_map(|(partition, batches)| batches.iter().map(move |batch| (PartitionIndex(partition), batch.clone())))
            .collect();
        let value_type = if text { ValueType::String } else { ValueType::Binary };
        let archive = write(Settings { value_type, ..SMALL }, &placed);
        let footer = footer(&archive);
        let file = Bytes::from(archive.bytes);
        for (partition, batches) in (0..).zip(&partitions) {
            let back = read(&file, &footer, partition, 0..i64::MAX, u64::MAX);
            prop_assert_eq!(back.len(), batches.len());
            for (back, batch) in back.iter().zip(batches) {
                if batch.timestamp_type() == TimestampType::CreateTime {
                    prop_assert_eq!(back, batch);
                } else {
                    // Consumers see the time of the append; those of the producers are not kept.
                    let (expected, found) = (batch.header(), back.header());
                    prop_assert_eq!((found, back.last_offset()), (expected, batch.last_offset()));
                    prop_assert_eq!(back.max_timestamp(), batch.max_timestamp());
                }
            }
            let all = records(batches);
            prop_assert_eq!(&records(&back), &all);
            let end = all.last().map_or(0, |record| record.offset.0 + 1);
            let step = usize::try_from(end / 8 + 1).expect("few offsets");
            for from in (0..end).step_by(step) {
                // A batch that is kept whole may begin before the offset; consumers skip such records.
                let found = records(&read(&file, &footer, partition, from..end, 1));
                let found = found.into_iter().find(|record| record.offset.0 >= from);
                prop_assert_eq!(found.as_ref(), all.iter().find(|record| record.offset.0 >= from));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_reader_that_goes_on_where_it_stopped_skips_nothing(
        described in prop::collection::vec(described(), 1..12),
        bytes_max in 1..3_000_u64,
    ) {
        let batches = lay_out(&described);
        let placed: Vec<_> = batches.iter().map(|batch| (PartitionIndex(0), batch.clone())).collect();
        let archive = write(SMALL, &placed);
        let footer = footer(&archive);
        let file = Bytes::from(archive.bytes);
        let all = records(&batches);
        let end = all.last().map_or(0, |record| record.offset.0 + 1);
        let (mut from, mut found) = (0, Vec::new());
        while from < end {
            let read = records(&read(&file, &footer, 0, from..end, bytes_max));
            from = read.last().map_or(end, |record| record.offset.0 + 1);
            found.extend(read);
        }
        prop_assert_eq!(found, all);
    }
}

/// A batch of records with these values at an offset.
fn batch(
    base: i64,
    compression: Compression,
    records: &[(i64, &[u8])],
    header: Option<&'static [u8]>,
) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    let headers: Vec<Header> =
        header.map(|key| Header { key: Bytes::from_static(key), value: None }).into_iter().collect();
    for (timestamp, value) in records {
        builder.append(Timestamp(*timestamp), None, Some(value), &headers).expect("the record is small");
    }
    let batch = builder.finish(compression, None).expect("there is a record");
    let mut bytes = Vec::from(&**batch.bytes());
    RecordBatch::set_position(&mut bytes, Offset(base), LeaderEpoch(0));
    RecordBatch::split_first(&mut bytes.into()).expect("the batch is sound")
}

/// What a reader finds, in the form in which the writer counted it.
fn chain_of(batches: &[RecordBatch], raw: &[RecordBatch]) -> Chain {
    let mut chain = Chain::default();
    for batch in batches {
        if raw.contains(batch) {
            chain.add_raw(batch);
            continue;
        }
        for record in records(std::slice::from_ref(batch)) {
            chain.add_record(batch.timestamp_type(), &record);
        }
    }
    chain
}

#[test]
fn what_the_columns_cannot_hold_is_kept_whole() {
    let odd_header = batch(0, Compression::Lz4, &[(1, b"a"), (2, b"b"), (3, b"c")], Some(b"\xff"));
    let plain = batch(3, Compression::Zstd, &[(4, b"d"), (5, b"e")], None);
    let late = batch(5, Compression::None, &[(i64::MAX, b"f")], None);
    let mut torn = Vec::from(&**batch(6, Compression::None, &[(6, b"g"), (7, b"h")], None).bytes());
    // The second record's length says more than is there; the checksum is that of these bytes.
    let second = torn.len() - 8;
    torn[second] = 0x7e;
    let crc = crc32c::crc32c(&torn[21..]);
    torn[17..21].copy_from_slice(&crc.to_be_bytes());
    let torn = RecordBatch::split_first(&mut torn.into()).expect("the header is sound");
    assert!(torn.decode(DECODE_BYTES_MAX).expect("nothing to decompress").any(|record| record.is_err()));
    let all = [odd_header.clone(), plain, late.clone(), torn.clone()];

    let archive = write(SMALL, &all.each_ref().map(|batch| (PartitionIndex(4), batch.clone())));
    let footer = footer(&archive);
    let file = Bytes::from(archive.bytes);
    assert_eq!(footer.identity(), IDENTITY);
    let back = read(&file, &footer, 4, 0..i64::MAX, u64::MAX);
    // Batches that are kept whole keep even their codec.
    assert_eq!(back[0], all[0]);
    assert_eq!(back[2..], all[2..]);
    assert_eq!(records(&back[1..2]), records(&all[1..2]));
    let [span] = &archive.spans[..] else { panic!("{:?}", archive.spans) };
    assert_eq!((span.first, span.next, archive.rows), (Offset(0), Offset(8), 7));
    let found = chain_of(&back, &[odd_header, late, torn]);
    assert_eq!((found.hash(), found.records()), (span.chain.hash(), span.chain.records()));
    // The last row of the torn batch is its first; whoever asks for its second record gets it whole.
    assert_eq!(read(&file, &footer, 4, 7..8, 1), all[3..]);
}

#[test]
fn reading_stops_at_the_bytes_wanted_and_reads_little() {
    let value = [b'v'; 1_000];
    let batches: Vec<_> = (0..2_000)
        .map(|n| (PartitionIndex(0), batch(n * 10, Compression::None, &[(n, &value[..]); 10], None)))
        .collect();
    let archive = write(Settings { codec: ebb_archive::Codec::None, ..Settings::default() }, &batches);
    let footer = footer(&archive);
    let file = Bytes::from(archive.bytes);
    let mut scan = Scan::new(footer, PartitionIndex(0), Offset(7_777), Offset(i64::MAX), 100_000);
    let (mut needed, mut found) = (0, Vec::new());
    loop {
        match scan.step().expect("the file is sound") {
            Step::Needs(ranges) => {
                needed += ranges.iter().map(|range| range.end - range.start).sum::<u64>();
                let bytes = ranges.iter().map(|range| slice(&file, range)).collect();
                scan.push(ranges, bytes).expect("the bytes fit their ranges");
            }
            Step::Item(item) => found.push(item.batch),
            Step::End => break,
        }
    }
    let offsets: Vec<i64> = records(&found).iter().map(|record| record.offset.0).collect();
    assert!(offsets.iter().copied().eq(7_777..7_777 + offsets.len() as i64), "{offsets:?}");
    assert!((90..=110).contains(&offsets.len()), "{}", offsets.len());
    // Two pages of values at most, and small ones of the other columns, each with all of its checksums' blocks.
    assert!(needed < 500_000, "{needed}");
}

#[test]
fn offsets_are_found_by_time() {
    let batches: Vec<_> = (0..500)
        .map(|n| {
            (
                PartitionIndex(0),
                batch(n * 3, Compression::None, &[(n * 7, b"a"), (n * 7 + 2, b"b"), (-1, b"c")], None),
            )
        })
        .collect();
    let archive = write(SMALL, &batches);
    let footer = footer(&archive);
    let file = Bytes::from(archive.bytes);
    let run = |mut scan: TimeScan| {
        loop {
            match scan.step().expect("the file is sound") {
                Step::Needs(ranges) => {
                    let bytes = ranges.iter().map(|range| slice(&file, range)).collect();
                    scan.push(ranges, bytes).expect("the bytes fit their ranges");
                }
                Step::Item((offset, timestamp)) => return Some((offset.0, timestamp.0)),
                Step::End => return None,
            }
        }
    };
    let (partition, since) = (PartitionIndex(0), Timestamp);
    let all = |from| Offset(from)..Offset(i64::MAX);
    let find_from = |from, at| run(TimeScan::since(footer.clone(), partition, all(from), since(at)));
    let find = |timestamp| find_from(0, timestamp);
    let latest = |from| run(TimeScan::latest(footer.clone(), partition, all(from)));
    assert_eq!(find(0), Some((0, 0)));
    assert_eq!(find(1), Some((1, 2)));
    assert_eq!(find(700), Some((300, 700)));
    assert_eq!(find(703), Some((303, 707)));
    assert_eq!(find(499 * 7 + 2), Some((1_498, 3_495)));
    assert_eq!(find(499 * 7 + 3), None);
    assert_eq!(find_from(4, 0), Some((4, 9)));
    assert_eq!(find_from(1_499, 0), None);
    assert_eq!(latest(0), Some((1_498, 3_495)));
    assert_eq!(latest(1_499), Some((1_499, -1)));
    assert_eq!(latest(1_500), None);
    let below = |to| run(TimeScan::latest(footer.clone(), partition, Offset(4)..Offset(to)));
    assert_eq!((below(10), below(8), below(4)), (Some((9, 21)), Some((7, 16)), None));
    assert_eq!(run(TimeScan::since(footer.clone(), partition, Offset(0)..Offset(300), since(700))), None);
}

/// A batch that is kept whole, because its header's key is no text.
fn odd_batch(base: i64) -> RecordBatch {
    batch(base, Compression::None, &[(base, &[b'o'; 100])], Some(b"\xff"))
}

#[test]
fn no_more_is_given_than_is_wanted() {
    let large = [b'v'; 20_000];
    let tiny = (10..4_000).map(|base| batch(base, Compression::None, &[(base, b"")], None));
    let others = (4_000..4_200).map(|base| batch(base, Compression::None, &[(base, &large[..])], None));
    // First in one row group with batches that are kept whole, then in one of plain ones.
    for odd in [10, 0] {
        let whole = (0..odd).map(odd_batch);
        let batches: Vec<_> =
            whole.chain(tiny.clone()).chain(others.clone()).map(|batch| (PartitionIndex(0), batch)).collect();
        let archive = write(Settings::default(), &batches);
        let footer = footer(&archive);
        assert_eq!(footer.groups().len(), 1);
        let file = Bytes::from(archive.bytes);
        for from in [0, 9, 2_000, 3_900, 4_100] {
            let found = read(&file, &footer, 0, from..i64::MAX, 50_000);
            let bytes: usize = found.iter().map(|batch| batch.bytes().len()).sum();
            assert!((50_000..75_000).contains(&bytes), "{bytes} bytes from offset {from}, {odd} kept whole");
            assert_eq!(found[0].base_offset(), Offset(from.max(10 - odd)));
        }
    }
}

#[test]
fn a_row_group_ends_however_well_its_rows_compress() {
    let zeros = [0; 100_000];
    let batches: Vec<_> = (0..40)
        .map(|base| (PartitionIndex(0), batch(base, Compression::None, &[(1, &zeros)], None)))
        .collect();
    let archive = write(Settings { row_group_bytes: 100_000, ..Settings::default() }, &batches);
    let footer = footer(&archive);
    assert!(footer.groups().len() > 1 && archive.bytes.len() < 100_000, "{:?}", footer.groups());
    let back = read(&archive.bytes.into(), &footer, 0, 0..i64::MAX, u64::MAX);
    assert!(back.iter().eq(batches.iter().map(|(_, batch)| batch)));
}

#[test]
fn a_record_that_is_too_large_for_columns_is_kept_whole() {
    let zeros = vec![0; (8 << 20) + 1];
    let large = batch(0, Compression::Gzip, &[(1, b"before"), (2, &zeros), (3, b"behind")], None);
    assert!(large.bytes().len() < 100_000, "it compresses well");
    let plain = batch(3, Compression::None, &[(4, &zeros[1..])], None);
    let archive =
        write(Settings::default(), &[&large, &plain].map(|batch| (PartitionIndex(0), batch.clone())));
    assert_eq!(archive.rows, 4);
    let footer = footer(&archive);
    assert!(footer.groups()[0].logical_bytes < 9 << 20, "the large value is in no column");
    let back = read(&archive.bytes.into(), &footer, 0, 0..i64::MAX, u64::MAX);
    assert_eq!(back, [large, plain]);
}

#[test]
fn a_partition_may_have_several_spans() {
    let one = |base, at| batch(base, Compression::None, &[(at, b"a"), (at + 1, b"b")], None);
    let mut writer = ArchiveWriter::new(IDENTITY, Settings::default()).expect("the settings are known");
    let mut append = |base, at| writer.append(PartitionIndex(0), &one(base, at)).expect("it follows");
    append(0, 50);
    append(2, 40);
    writer.end_span();
    writer.append(PartitionIndex(0), &one(10, 90)).expect("it follows");
    writer.end_span();
    assert!(writer.append(PartitionIndex(0), &one(11, 0)).is_err(), "a new span may not go back");
    let archive = writer.finish().expect("the file can be written");
    let spans: Vec<_> = archive.spans.iter().map(|span| (span.first.0, span.next.0)).collect();
    assert_eq!(spans, [(0, 4), (10, 12)]);
    let footer = footer(&archive);
    let groups: Vec<_> = footer.groups().iter().map(|group| (group.first.0, group.last.0)).collect();
    assert_eq!(groups, [(0, 3), (10, 11)], "none reaches over a gap");
    let back = read(&archive.bytes.into(), &footer, 0, 1..i64::MAX, u64::MAX);
    assert_eq!(records(&back).iter().map(|record| record.offset.0).collect::<Vec<_>>(), [1, 2, 3, 10, 11]);
}

#[test]
fn order_is_demanded() {
    let mut writer = ArchiveWriter::new(IDENTITY, SMALL).expect("the settings are known");
    let at = |base| batch(base, Compression::None, &[(0, b"a"), (0, b"b")], None);
    writer.append(PartitionIndex(1), &at(10)).expect("the first batch");
    for (partition, base) in [(1, 11), (1, 0), (0, 50)] {
        let error = writer.append(PartitionIndex(partition), &at(base)).expect_err("it does not follow");
        assert!(error.to_string().contains("sort batches"), "{error}");
    }
    writer.append(PartitionIndex(1), &at(12)).expect("it follows");
    writer.append(PartitionIndex(2), &at(0)).expect("it follows");
}

#[test]
fn a_file_that_changed_is_refused() {
    let archive =
        write(SMALL, &[(PartitionIndex(0), batch(0, Compression::None, &[(0, b"a"), (1, b"b")], None))]);
    let (sound, tail) = (Bytes::from(archive.bytes), archive.tail);
    let decode = |bytes: &Bytes, tail: Tail| {
        let from = bytes.len().saturating_sub(tail.bytes as usize);
        Footer::decode(bytes.len() as u64, tail, bytes.slice(from..))
    };
    assert!(decode(&sound, tail).is_ok_and(|footer| footer.holds(&sound)));
    for cut in [1, 8, sound.len() / 2] {
        assert!(
            matches!(decode(&sound.slice(..sound.len() - cut), tail), Err(FooterError::Damaged)),
            "cut by {cut}"
        );
    }
    // A tail that holds too little, or is no Parquet, under a checksum that fits it.
    let short = sound.slice(sound.len() - 20..);
    let stated = Tail { bytes: 20, checksum: crc32c::crc32c(&short) };
    assert!(matches!(decode(&sound, stated), Err(FooterError::Foreign(_))));
    let noise = Bytes::from(vec![7; 200]);
    let stated = Tail { bytes: 100, checksum: crc32c::crc32c(&noise[100..]) };
    assert!(matches!(decode(&noise, stated), Err(FooterError::Parquet(_))));
    // Each bit of the data and of the tail counts.
    for at in 0..sound.len() {
        let mut bytes = sound.to_vec();
        bytes[at] ^= 16;
        let bytes = Bytes::from(bytes);
        let Ok(footer) = decode(&bytes, tail) else { continue };
        assert!(!footer.holds(&bytes), "byte {at}");
        let footer = Arc::new(footer);
        let mut scan = Scan::new(footer, PartitionIndex(0), Offset(0), Offset(9), u64::MAX);
        let Ok(Step::Needs(ranges)) = scan.step() else { panic!("nothing is read before it is asked for") };
        let pieces = ranges.iter().map(|range| slice(&bytes, range)).collect();
        assert!(matches!(scan.push(ranges, pieces), Err(ReadError::Damaged(_))), "byte {at}");
    }
}

/// What lies in the golden file: every kind of record, in two partitions.
fn golden_batches() -> Vec<(PartitionIndex, RecordBatch)> {
    let mut builder = BatchBuilder::default();
    let headers = [("trace", Some("1")), ("trace", None), ("", Some(""))]
        .map(|(key, value)| Header { key: key.into(), value: value.map(Bytes::from) });
    builder
        .append_at(2, Timestamp(1_700_000_000_000), Some(b"key"), Some(b"value"), &headers)
        .expect("small");
    builder.append_at(5, Timestamp(-1), Some(b""), None, &[]).expect("small");
    builder.append_at(6, Timestamp(1_700_000_000_001), None, Some(b""), &[]).expect("small");
    let header = BatchHeader {
        base_offset: Offset(40),
        leader_epoch: LeaderEpoch(6),
        attributes: 0,
        producer_id: ProducerId(11),
        producer_epoch: ProducerEpoch(2),
        base_sequence: Sequence(300),
    };
    let plain = builder.finish_as(header).expect("there are records");
    let odd = batch(47, Compression::Lz4, &[(5, b"a"), (6, b"b")], Some(b"\xff"));
    vec![
        (PartitionIndex(0), plain),
        (PartitionIndex(0), odd),
        (PartitionIndex(3), batch(0, Compression::None, &[(7, b"c")], None)),
    ]
}

/// A file that version 1 wrote. Its bytes are another library's affair; that they are read for ever is ours.
const GOLDEN: &[u8] = include_bytes!("golden/v1.parquet");
const GOLDEN_TAIL: Tail = Tail { bytes: 5_979, checksum: 261_050_873 };

#[test]
fn the_golden_file_is_read() {
    let archive = write(SMALL, &golden_batches());
    let file = Bytes::from_static(GOLDEN);
    let tail = file.slice(file.len() - GOLDEN_TAIL.bytes as usize..);
    let golden = Footer::decode(file.len() as u64, GOLDEN_TAIL, tail).expect("the footer is sound");
    assert_eq!(golden.identity(), IDENTITY);
    // Columns, their types and their ids are what tables are made of.
    assert_eq!(golden.schema(), footer(&archive).schema());
    let golden = Arc::new(golden);
    for partition in [0, 3] {
        let written = golden_batches().into_iter().filter(|(at, _)| *at == PartitionIndex(partition));
        let written: Vec<_> = written.map(|(_, batch)| batch).collect();
        assert_eq!(read(&file, &golden, partition, 0..i64::MAX, u64::MAX), written);
    }
}
