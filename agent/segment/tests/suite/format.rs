//! The segment format: golden bytes, the round trip, and what is told of damage.

use crate::support::batch;
use bytes::Bytes;
use ebb_protocol::{
    batch::RecordBatch,
    ids::{ClusterId, PartitionIndex, SegmentId, TopicId},
};
use ebb_segment::format::{
    self, FormatError, HEADER_BYTES, Identity, RUN_BYTES_MAX, Segment, TAIL_BYTES, build, parse_footer,
    parse_header, parse_tail, verify,
};
use proptest::prelude::*;
use uuid::Uuid;

const CLUSTER: ClusterId = ClusterId(0x0101_0202_0303_0404_0505_0606_0707_0808);
const SEGMENT: SegmentId = SegmentId(0x1111_1212_1313_1414_1515_1616_1717_1818);

fn topic(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

fn whole(segment: &Segment) -> Bytes {
    segment.pieces.concat().into()
}

fn sample() -> Bytes {
    let batches = [
        (topic(2), PartitionIndex(0), batch(9, b'c')),
        (topic(1), PartitionIndex(7), batch(7, b'a')),
        (topic(2), PartitionIndex(0), batch(8, b'd')),
    ];
    whole(&build(CLUSTER, SEGMENT, &batches).0)
}

/// Version 1 as it stands in buckets. When this test fails, the format has changed: that needs a new version.
#[test]
fn version_1_has_these_bytes() {
    let golden = include_bytes!("golden/segment-v1.bin");
    assert_eq!(sample(), &golden[..]);
    let (identity, runs) = verify(&Bytes::from_static(golden)).expect("version 1 can be read");
    assert_eq!(identity, Identity { cluster: CLUSTER, segment: SEGMENT });
    let shape: Vec<_> = runs.iter().map(|run| (run.topic, run.partition.0, run.batches)).collect();
    assert_eq!(shape, [(topic(1), 7, 1), (topic(2), 0, 2)]);
}

#[test]
fn an_empty_segment_is_sound() {
    let (segment, order) = build(CLUSTER, SEGMENT, &[]);
    assert_eq!(segment.bytes, (HEADER_BYTES + TAIL_BYTES) as u64);
    assert!(order.is_empty());
    assert_eq!(verify(&whole(&segment)).expect("sound").1, []);
}

#[test]
fn runs_end_at_their_limit() {
    let sized = |bytes: u64| batch(usize::try_from(bytes).expect("small") - 61, 0);
    let check = |sizes: &[u64], expect: &[&[usize]]| {
        let batches: Vec<_> = sizes.iter().map(|len| (topic(1), PartitionIndex(0), sized(*len))).collect();
        let (segment, order) = build(CLUSTER, SEGMENT, &batches);
        assert_eq!(order, expect, "{sizes:?}");
        verify(&whole(&segment)).expect("sound");
    };
    check(&[RUN_BYTES_MAX / 2, RUN_BYTES_MAX / 2, 100], &[&[0, 1], &[2]]);
    check(&[RUN_BYTES_MAX / 2, RUN_BYTES_MAX / 2 + 1], &[&[0], &[1]]);
    check(&[RUN_BYTES_MAX + 1, 100], &[&[0], &[1]]);
}

#[test]
fn large_batches_are_not_copied() {
    let large = batch(100_000, 1);
    let batches = [(topic(1), PartitionIndex(0), batch(10, 0)), (topic(1), PartitionIndex(0), large.clone())];
    let (segment, _) = build(CLUSTER, SEGMENT, &batches);
    assert!(segment.pieces.iter().any(|piece| piece.as_ptr() == large.bytes().as_ptr()));
    assert_eq!(segment.pieces.len(), 3, "header and small batch; large batch; footer and tail");
}

#[test]
fn a_newer_version_is_refused_by_name() {
    for at in [7, sample().len() - TAIL_BYTES + 7] {
        let mut bytes = sample().to_vec();
        bytes[at] = 2;
        let error = verify(&bytes.into()).expect_err("a newer version");
        assert_eq!(error, FormatError::NewerVersion { found: 2 });
        assert!(error.to_string().contains("use a newer ebb"));
    }
}

#[test]
fn other_objects_are_refused() {
    let check = |bytes: &[u8], expect: FormatError| {
        assert_eq!(verify(&Bytes::copy_from_slice(bytes)).expect_err("refused"), expect);
    };
    check(b"", FormatError::Truncated { part: "header", need: 44, have: 0 });
    check(&[b'x'; 200], FormatError::WrongMagic("header"));
    let sound = sample();
    check(&sound[..46], FormatError::Truncated { part: "tail", need: 48, have: 46 });
    check(&sound[..sound.len() - 1], FormatError::WrongMagic("tail"));
    let other = whole(&build(CLUSTER, SegmentId(9), &[]).0);
    let mixed = [&sound[..HEADER_BYTES], &other[HEADER_BYTES..]].concat();
    check(&mixed, FormatError::MixedUp { header: SEGMENT, tail: SegmentId(9) });
}

#[test]
fn every_flipped_bit_is_noticed() {
    let sound = sample();
    for bit in 0..sound.len() * 8 {
        let mut bytes = sound.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&bytes.into()).is_err(), "bit {bit}");
    }
}

#[test]
fn footer_is_found_from_the_end() {
    let sound = sample();
    let tail = parse_tail(&sound[sound.len() - TAIL_BYTES..]).expect("a tail");
    let footer_end = sound.len() - TAIL_BYTES;
    let footer = &sound[footer_end - tail.footer_bytes as usize..footer_end];
    let runs = parse_footer(&tail, footer).expect("a footer");
    assert_eq!(runs, verify(&sound).expect("sound").1);
    assert_eq!(parse_header(&sound[..HEADER_BYTES]).expect("a header"), tail.identity);
    assert!(matches!(parse_footer(&tail, &footer[1..]), Err(FormatError::Truncated { .. })));
}

fn batches() -> impl Strategy<Value = Vec<(TopicId, PartitionIndex, RecordBatch)>> {
    let one = (0..3_u128, -1..3_i32, 7..40_000_usize, any::<u8>());
    prop::collection::vec(one, 0..40).prop_map(|all| {
        all.into_iter().map(|(t, p, len, fill)| (topic(t), PartitionIndex(p), batch(len, fill))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_built_can_be_read(batches in batches()) {
        let (segment, order) = build(CLUSTER, SEGMENT, &batches);
        let bytes = whole(&segment);
        prop_assert_eq!(bytes.len() as u64, segment.bytes);
        let (_, runs) = verify(&bytes).expect("sound");
        prop_assert_eq!(&runs, &segment.runs);
        prop_assert_eq!(runs.len(), order.len());

        // Every batch stands once, in its partition's run, at its place, and in arrival order there.
        let mut seen = vec![false; batches.len()];
        let mut arrivals = Vec::new();
        for (run, members) in runs.iter().zip(&order) {
            let mut at = run.range.start;
            for &index in members {
                let (topic, partition, batch) = &batches[index];
                prop_assert_eq!((run.topic, run.partition), (*topic, *partition));
                let stored = bytes.slice(at as usize..at as usize + batch.bytes().len());
                prop_assert_eq!(&stored, batch.bytes());
                at += stored.len() as u64;
                prop_assert!(!std::mem::replace(&mut seen[index], true));
                arrivals.push((*topic, *partition, index));
            }
            prop_assert_eq!(at, run.range.end());
        }
        prop_assert!(seen.iter().all(|seen| *seen));
        prop_assert!(arrivals.is_sorted());
    }

    #[test]
    fn nonsense_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0..400_usize) {
        drop(verify(&bytes.clone().into()));
        // Nonsense in a sound frame reaches further than nonsense alone.
        let sound = sample();
        let framed = [&sound[..HEADER_BYTES], &bytes, &sound[sound.len() - TAIL_BYTES..]].concat();
        prop_assert!(verify(&framed.into()).is_err());
        prop_assert!(verify(&sound.slice(..cut.min(sound.len() - 1))).is_err());
        drop(format::parse_tail(&bytes));
    }
}
