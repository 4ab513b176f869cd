//! Reads every object that the state refers to, checks its bytes, and compares them with the coordinates. Also counts
//! the segments and archive files that nothing refers to.

use std::sync::Arc;

use bytes::Bytes;
use ebb_compactor::sweeper::{self, SweeperConfig};
use ebb_metastore::{
    command::ObjectRef,
    entry::Entry,
    log::CommitLog,
    state::{BatchCoordinates, State},
};
use ebb_protocol::{
    batch::RecordBatch,
    clock::{Clock, SystemClock},
    ids::{ByteRange, TopicPartition},
};
use ebb_segment::{format, key};
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    Report, archives,
    partitions::{Expected, name},
};
use crate::{output::Failure, progress::Progress};

/// Objects that are read at the same time.
const READS_MAX: usize = 4;

/// Checks every referenced object and counts the others.
pub(super) async fn check(
    state: &State,
    store: &Arc<dyn ObjectStore>,
    log: &Arc<dyn CommitLog>,
    expected: Expected,
    report: &mut Report,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let reads = expected.into_iter().map(|(object, rows)| async move {
        let path = match object {
            ObjectRef::Segment(id) => Some(key::of(id)),
            ObjectRef::Entry(position) => log.object(position),
            ObjectRef::Archive(id) => return archives::check(state, store, id, &rows).await,
        };
        let Some(path) = path else { return (0, vec![format!("{object:?} has no object")]) };
        match read(store, &path).await {
            Err(problem) => (0, vec![format!("object {path}: {problem}")]),
            Ok(bytes) => (bytes.len() as u64, compare(state, object, &path, &bytes, &rows)),
        }
    });
    let mut reads = futures::stream::iter(reads).buffered(READS_MAX);
    while let Some((bytes, problems)) = reads.next().await {
        progress.add(bytes);
        report.problems.extend(problems);
    }
    survey(state, store, report).await
}

async fn read(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Bytes, object_store::Error> {
    store.get(path).await?.bytes().await
}

/// Counts the objects that nothing refers to: a dry run of the sweeper's listing.
async fn survey(state: &State, store: &Arc<dyn ObjectStore>, report: &mut Report) -> Result<(), Failure> {
    let grace = SweeperConfig::default().orphan_grace;
    let found = sweeper::survey(state, store, SystemClock.now(), grace).await;
    let found = found.map_err(Failure::with("listing the store"))?;
    let (segments, archives) = (found.segments.unreferenced(), found.archives.unreferenced());
    report.unreferenced = segments.objects + archives.objects;
    report.unreferenced_bytes = segments.bytes + archives.bytes;
    let (segments, archives) = (found.segments.orphans, found.archives.orphans);
    report.orphans = segments.objects + archives.objects;
    report.orphans_bytes = segments.bytes + archives.bytes;
    report.problems.extend(found.strangers.iter().map(|key| format!("object {key} does not belong here")));
    let unnamed = found.strangers_found.saturating_sub(found.strangers.len() as u64);
    if unnamed > 0 {
        report.problems.push(format!("{unnamed} more objects do not belong here"));
    }
    Ok(())
}

/// Everything that is wrong with an object.
fn compare(
    state: &State,
    object: ObjectRef,
    path: &Path,
    bytes: &Bytes,
    rows: &[(TopicPartition, BatchCoordinates)],
) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(problem) = verify(state, object, bytes) {
        problems.push(format!("object {path}: {problem}"));
    }
    for (at, row) in rows {
        if let Err(problem) = verify_row(bytes, row) {
            let (base, last) = (row.base, row.last);
            problems
                .push(format!("object {path}: {}, offsets {base} to {last}: {problem}", name(state, *at)));
        }
    }
    problems
}

/// Checks an object as a whole: that it is the segment it should be, of this cluster.
fn verify(state: &State, object: ObjectRef, bytes: &Bytes) -> Result<(), String> {
    let body = match object {
        ObjectRef::Segment(_) => bytes.clone(),
        ObjectRef::Entry(_) => {
            let (_, body) = Entry::decode(bytes).map_err(|error| error.to_string())?;
            slice(bytes, body).ok_or("the segment body is truncated")?
        }
        ObjectRef::Archive(_) => return Err("it is an archive file".to_owned()),
    };
    let (identity, _) = format::verify(&body).map_err(|error| error.to_string())?;
    if state.cluster().is_some_and(|cluster| cluster != identity.cluster) {
        return Err(format!("it belongs to cluster {}", identity.cluster));
    }
    match object {
        ObjectRef::Segment(id) if id != identity.segment => {
            Err(format!("it is segment {}", identity.segment))
        }
        _ => Ok(()),
    }
}

/// Checks that a row's bytes are whole, sound batches that take exactly its offsets.
fn verify_row(bytes: &Bytes, row: &BatchCoordinates) -> Result<(), String> {
    let bytes = slice(bytes, row.range).ok_or("the object ends before it")?;
    let mut next = row.base;
    for batch in RecordBatch::batches(bytes) {
        let batch = batch.map_err(|error| error.to_string())?;
        next = next.plus(i64::from(batch.last_offset_delta()) + 1);
    }
    if next.0 != row.last.0 + 1 {
        return Err(format!("the batches end at offset {}", next.0 - 1));
    }
    Ok(())
}

fn slice(bytes: &Bytes, range: ByteRange) -> Option<Bytes> {
    let start = usize::try_from(range.start).ok()?;
    let end = usize::try_from(range.end()).ok()?;
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}
