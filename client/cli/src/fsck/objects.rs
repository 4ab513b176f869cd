//! Reads every object that the state refers to, checks its bytes, and compares them with the coordinates. Also counts
//! the segments and archive files that nothing refers to. What is in an archive file is not looked at.

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
    ids::{ArchiveId, ByteRange, TopicPartition},
};
use ebb_segment::{format, key};
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    Report,
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
            ObjectRef::Archive(id) => return look(state, store, id, &rows).await,
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

/// Checks that an archive file is there, has the size that it should, and that its rows lie within it.
async fn look(
    state: &State,
    store: &Arc<dyn ObjectStore>,
    id: ArchiveId,
    rows: &[(TopicPartition, BatchCoordinates)],
) -> (u64, Vec<String>) {
    let object = ObjectRef::Archive(id);
    let Some((first, _)) = rows.first() else { return (0, Vec::new()) };
    let path = key::archive_key(first.topic, id);
    let should = state.object_bytes(object).unwrap_or(0);
    let found = match store.head(&path).await {
        Ok(found) => found.size,
        Err(problem) => return (0, vec![format!("object {path}: {problem}")]),
    };
    let mut problems = Vec::new();
    if found != should {
        problems.push(format!("object {path}: it has {found} bytes, not {should}"));
    }
    for (at, row) in rows.iter().filter(|(_, row)| row.range.end() > found) {
        let (base, last) = (row.base, row.last);
        problems.push(format!(
            "object {path}: {}, offsets {base} to {last}: the object ends before it",
            name(state, *at)
        ));
    }
    (found, problems)
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

#[cfg(test)]
mod tests {
    use ebb_metastore::{
        command::{
            ArchiveSpan, BatchFacts, BodyPlace, Command, CommitSegment, CreateTopic, PublishArchive,
            RegisterAgent, Run,
        },
        outcome::Outcome,
        state::fingerprint,
    };
    use ebb_protocol::{
        ids::{
            AgentEpoch, AgentId, EntryId, IdSource, Offset, PartitionIndex, SegmentId, Timestamp, TopicId,
            TopicName,
        },
        random::Random,
    };
    use object_store::memory::InMemory;

    use super::*;

    const AGENT: AgentId = AgentId(1);
    const ZERO: PartitionIndex = PartitionIndex(0);

    fn apply(state: &mut State, command: Command) {
        let number = state.next_number(AGENT);
        let entry = Entry {
            id: EntryId(1),
            agent: AGENT,
            epoch: AgentEpoch(u64::from(number.is_some())),
            number: number.unwrap_or(0),
            time: Timestamp(1),
            hash: None,
            commands: vec![command],
        };
        let outcomes = state.apply(state.position(), &entry, ByteRange { start: 0, len: 0 });
        assert!(!matches!(outcomes[..], [Outcome::Refused(_)]), "{outcomes:?}");
    }

    /// A state with one archive file of 90 bytes, whose row groups end at byte 54.
    fn state(topic: TopicId, archive: ArchiveId) -> State {
        let mut state = State::default();
        let (zone, understands) = (String::new(), 1);
        let said = RegisterAgent { agent: AGENT, kafka: None, quic: None, zone, understands, host: None };
        apply(&mut state, Command::RegisterAgent(said));
        let name = TopicName::new("t").expect("it is legal");
        apply(
            &mut state,
            Command::CreateTopic(CreateTopic { topic, name, partitions: 1, config: Vec::new() }),
        );
        let batch = BatchFacts { bytes: 100, records: 3, max_timestamp: Timestamp(5), producer: None };
        let range = ByteRange { start: 0, len: 100 };
        let runs = vec![Run { topic, partition: ZERO, range, batches: vec![batch] }];
        let body = BodyPlace::Object { bytes: 100 };
        apply(&mut state, Command::CommitSegment(CommitSegment { segment: SegmentId(1), body, runs }));
        let span = ArchiveSpan {
            partition: ZERO,
            first: Offset(0),
            next: Offset(3),
            replaces: fingerprint(&state.find(topic, ZERO, Offset(0), 1, 1)),
            rows: 3,
            range: ByteRange { start: 4, len: 50 },
            min_timestamp: Timestamp(5),
            max_timestamp: Timestamp(5),
        };
        let (bytes, tail_bytes, tail_checksum, spans) = (90, 30, 7, vec![span]);
        let publish = PublishArchive { archive, topic, bytes, tail_bytes, tail_checksum, spans };
        apply(&mut state, Command::PublishArchive(publish));
        state
    }

    #[tokio::test]
    async fn an_archive_file_must_be_there_in_its_size() {
        let ids = IdSource::new(Arc::new(SystemClock), Random::from_seed(1));
        let (topic, id) = (ids.topic(), ArchiveId(1));
        let state = state(topic, id);
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let at = TopicPartition { topic, partition: ZERO };
        let rows: Vec<_> =
            state.find(topic, ZERO, Offset(0), u64::MAX, 9).into_iter().map(|row| (at, row)).collect();
        let (bytes, problems) = look(&state, &store, id, &rows).await;
        assert_eq!((bytes, problems.len()), (0, 1), "it is missing: {problems:?}");
        for (size, expect) in [(90, 0), (91, 1), (60, 1), (40, 2)] {
            let path = key::archive_key(topic, id);
            store.put(&path, vec![7; size].into()).await.expect("memory does not fail");
            let (bytes, problems) = look(&state, &store, id, &rows).await;
            assert_eq!((bytes, problems.len()), (size as u64, expect), "{problems:?}");
            assert!(problems.iter().all(|problem| problem.contains(path.as_ref())), "{problems:?}");
        }
    }
}
