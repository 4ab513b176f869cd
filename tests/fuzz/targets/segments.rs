//! The parsers of segment objects. Checksums are made to hold, so that mutations reach what lies behind them.
#![no_main]

use bytes::Bytes;
use ebb_fuzz::{put, within};
use ebb_protocol::{
    batch::RecordBatch,
    ids::{ClusterId, SegmentId},
};
use ebb_segment::format::{
    self, FOOTER_ROW_BYTES, HEADER_BYTES, Identity, TAIL_BYTES, parse_footer, parse_header, parse_tail,
    verify,
};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 8 << 20;

fuzz_target!(|input: &[u8]| {
    within(BYTES_MAX, || {
        check(&Bytes::copy_from_slice(input));
        check(&sealed(input));
    });
});

/// The input with checksums of header, runs and footer that hold, as far as these parts can be found.
fn sealed(input: &[u8]) -> Bytes {
    let mut object = input.to_vec();
    if let Some(header) = object.get(..HEADER_BYTES - 4) {
        let crc = crc32c::crc32c(header);
        put(&mut object, HEADER_BYTES - 4, crc.to_be_bytes());
    }
    let Some(tail_at) = object.len().checked_sub(TAIL_BYTES) else { return object.into() };
    let Ok(tail) = parse_tail(&object) else { return object.into() };
    let Some(footer_at) = tail_at.checked_sub(tail.footer_bytes as usize) else { return object.into() };
    for row_at in (footer_at..tail_at).step_by(FOOTER_ROW_BYTES) {
        let field = |at: usize| object.get(row_at + at..)?.first_chunk().map(|n| u64::from_be_bytes(*n));
        let range = field(20).zip(field(28)).and_then(|(start, len)| {
            let start = usize::try_from(start).ok()?;
            object.get(start..start.checked_add(usize::try_from(len).ok()?)?)
        });
        if let Some(run) = range {
            let crc = crc32c::crc32c(run);
            put(&mut object, row_at + 36, crc.to_be_bytes());
        }
    }
    let covered = object.len() - 4;
    let crc = crc32c::crc32c(&object[footer_at..covered]);
    put(&mut object, covered, crc.to_be_bytes());
    object.into()
}

fn check(object: &Bytes) {
    let _ = parse_header(object);
    if let Ok(tail) = parse_tail(object) {
        let footer_end = object.len() - TAIL_BYTES;
        let footer_at = footer_end.saturating_sub(tail.footer_bytes as usize);
        let _ = parse_footer(&tail, &object[footer_at..footer_end]);
    }
    let Ok((identity, runs)) = verify(object) else { return };
    let batches: u64 = runs.iter().map(|run| run.range.len).sum();
    let rest = HEADER_BYTES + runs.len() * FOOTER_ROW_BYTES + TAIL_BYTES;
    assert_eq!(batches + rest as u64, object.len() as u64, "runs, footer and frame are the whole object");
    rebuild(object, identity);
}

/// A segment of sound batches is built again from them, and holds the same batches.
fn rebuild(object: &Bytes, Identity { cluster, segment }: Identity) {
    let (_, runs) = verify(object).expect("it was just verified");
    let mut batches = Vec::new();
    for run in &runs {
        let start = usize::try_from(run.range.start).expect("inputs are short");
        let end = usize::try_from(run.range.end()).expect("inputs are short");
        for batch in RecordBatch::batches(object.slice(start..end)) {
            let Ok(batch) = batch else { return };
            batches.push((run.topic, run.partition, batch));
        }
    }
    let (built, order) = format::build(ClusterId(cluster.0), SegmentId(segment.0), &batches);
    let built: Bytes = built.pieces.concat().into();
    let (identity, again) = verify(&built).expect("it was just built");
    assert_eq!(identity, Identity { cluster, segment });
    let held = |runs: &[format::SegmentRun]| -> u64 { runs.iter().map(|run| u64::from(run.batches)).sum() };
    assert_eq!(held(&again), held(&runs));
    assert_eq!(order.concat(), (0..batches.len()).collect::<Vec<_>>(), "they were sorted already");
}
