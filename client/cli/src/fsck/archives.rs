//! Reads an archive file as a consumer does, and compares what it holds with the coordinates. Its checksums tell damaged
//! bytes; what the columns mean is the archive's own business.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use ebb_archive::{Footer, Scan, Step, Steps, Tail};
use ebb_metastore::{
    command::ObjectRef,
    state::{ArchiveFile, BatchCoordinates, State},
};
use ebb_protocol::{
    batch::DECOMPRESSED_BYTES_MAX,
    ids::{ArchiveId, TopicPartition},
};
use ebb_segment::key;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::partitions::name;

/// Gives the file's bytes, and everything that is wrong with it.
pub(super) async fn check(
    state: &State,
    store: &Arc<dyn ObjectStore>,
    id: ArchiveId,
    rows: &[(TopicPartition, BatchCoordinates)],
) -> (u64, Vec<String>) {
    let Some((first, _)) = rows.first() else { return (0, Vec::new()) };
    let path = key::archive_key(first.topic, id);
    let should = state.object_bytes(ObjectRef::Archive(id)).unwrap_or(0);
    let found = match store.head(&path).await {
        Ok(found) => found.size,
        Err(problem) => return (0, vec![format!("object {path}: {problem}")]),
    };
    if found != should {
        return (found, vec![format!("object {path}: it has {found} bytes, not {should}")]);
    }
    let Some(file) = state.table(first.topic).and_then(|table| table.file(id)) else {
        return (found, vec![format!("object {path}: no table has it")]);
    };
    let footer = match footer(store, &path, file).await {
        Ok(footer) => Arc::new(footer),
        Err(problem) => return (found, vec![format!("object {path}: {problem}")]),
    };
    let mut problems = Vec::new();
    for (at, row) in rows {
        if let Err(problem) = read(store, &path, &footer, *at, row).await {
            let (base, last) = (row.base, row.last);
            problems
                .push(format!("object {path}: {}, offsets {base} to {last}: {problem}", name(state, *at)));
        }
    }
    (found, problems)
}

async fn footer(store: &Arc<dyn ObjectStore>, path: &Path, file: &ArchiveFile) -> Result<Footer, String> {
    let tail = Tail { bytes: file.tail_bytes, checksum: file.tail_checksum };
    let from = file.bytes.saturating_sub(tail.bytes.into());
    let bytes = get(store, path, from..file.bytes).await?;
    Footer::decode(file.bytes, tail, bytes).map_err(|error| error.to_string())
}

/// Reads the records of a row, all of which must lie in its offsets.
async fn read(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    footer: &Arc<Footer>,
    at: TopicPartition,
    row: &BatchCoordinates,
) -> Result<(), String> {
    let mut scan = Scan::new(footer.clone(), at.partition, row.base, row.last.plus(1), u64::MAX);
    let mut next = row.base;
    loop {
        match scan.step().map_err(|error| error.to_string())? {
            Step::Needs(ranges) => {
                let mut bytes = Vec::with_capacity(ranges.len());
                for range in &ranges {
                    bytes.push(get(store, path, range.clone()).await?);
                }
                scan.push(ranges, bytes).map_err(|error| error.to_string())?;
            }
            Step::Item(found) => {
                let (base, last) = (found.batch.base_offset(), found.batch.last_offset());
                if base < next || last > row.last {
                    return Err(format!("a batch has offsets {base} to {last}"));
                }
                let records = found.batch.decode(DECOMPRESSED_BYTES_MAX);
                // What producers sent and nobody can decode is kept as it came.
                if !found.kept_whole {
                    let records = records.map_err(|error| error.to_string())?;
                    records
                        .into_iter()
                        .try_for_each(|record| record.map(drop).map_err(|error| error.to_string()))?;
                }
                next = last.plus(1);
            }
            Step::End => return Ok(()),
        }
    }
}

async fn get(store: &Arc<dyn ObjectStore>, path: &Path, range: Range<u64>) -> Result<Bytes, String> {
    store.get_range(path, range).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use ebb_archive::{Archive, ArchiveWriter, Identity, Settings};
    use ebb_metastore::{
        command::{
            ArchiveSpan, BatchFacts, BodyPlace, Command, CommitSegment, CreateTopic, FileColumns,
            PublishArchive, RegisterAgent, Run,
        },
        entry::Entry,
        outcome::Outcome,
        state::fingerprint,
    };
    use ebb_protocol::{
        batch::{BatchBuilder, Compression},
        clock::SystemClock,
        ids::{
            AgentEpoch, AgentId, ByteRange, ClusterId, EntryId, IdSource, LeaderEpoch, Offset,
            PartitionIndex, SegmentId, Timestamp, TopicId, TopicName,
        },
        random::Random,
    };
    use object_store::memory::InMemory;

    use super::*;

    const AGENT: AgentId = AgentId(1);
    const ZERO: PartitionIndex = PartitionIndex(0);
    const RECORDS: u32 = 3;

    /// A file with one batch.
    fn archive(topic: TopicId, object: ArchiveId) -> Archive {
        let mut batch = BatchBuilder::default();
        for _ in 0..RECORDS {
            batch.append(Timestamp(5), None, Some(&[7; 300]), &[]).expect("small records");
        }
        let batch = batch.finish(Compression::None, None).expect("it has records");
        let identity = Identity { cluster: ClusterId(1), topic, object };
        let mut writer = ArchiveWriter::new(identity, Settings::default()).expect("sound settings");
        writer.append(ZERO, &batch.at(Offset(0), LeaderEpoch(0))).expect("a sound batch");
        writer.finish().expect("it has rows")
    }

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

    /// A state in which the file is published.
    fn state(topic: TopicId, id: ArchiveId, file: &Archive) -> State {
        let mut state = State::default();
        let (zone, understands) = (String::new(), 1);
        let said = RegisterAgent { agent: AGENT, kafka: None, quic: None, zone, understands, host: None };
        apply(&mut state, Command::RegisterAgent(said));
        let name = TopicName::new("t").expect("it is legal");
        let create = CreateTopic { topic, name, partitions: 1, config: Vec::new() };
        apply(&mut state, Command::CreateTopic(create));
        let max_timestamp = Timestamp(5);
        let batch = BatchFacts { bytes: 100, records: RECORDS, max_timestamp, producer: None };
        let range = ByteRange { start: 0, len: 100 };
        let runs = vec![Run { topic, partition: ZERO, range, batches: vec![batch] }];
        let body = BodyPlace::Object { bytes: 100 };
        apply(&mut state, Command::CommitSegment(CommitSegment { segment: SegmentId(1), body, runs }));
        let span = ArchiveSpan {
            partition: ZERO,
            first: Offset(0),
            next: Offset(RECORDS.into()),
            replaces: fingerprint(&state.find(topic, ZERO, Offset(0), 1, 1)),
            rows: RECORDS.into(),
            range: ByteRange { start: 4, len: 50 },
            min_timestamp: max_timestamp,
            max_timestamp,
        };
        let (bytes, tail) = (file.bytes.len() as u64, file.tail);
        let (tail_bytes, tail_checksum, spans) = (tail.bytes, tail.checksum, vec![span]);
        let publish = PublishArchive {
            archive: id,
            topic,
            bytes,
            tail_bytes,
            tail_checksum,
            spans,
            columns: FileColumns::default(),
        };
        apply(&mut state, Command::PublishArchive(publish));
        state
    }

    #[tokio::test]
    async fn a_file_must_be_there_whole_and_unchanged() {
        let ids = IdSource::new(Arc::new(SystemClock), Random::from_seed(1));
        let (topic, id) = (ids.topic(), ArchiveId(1));
        let file = archive(topic, id);
        let state = state(topic, id, &file);
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let at = TopicPartition { topic, partition: ZERO };
        let rows = state.find(topic, ZERO, Offset(0), u64::MAX, 9);
        let rows: Vec<_> = rows.into_iter().map(|row| (at, row)).collect();
        let (bytes, problems) = check(&state, &store, id, &rows).await;
        assert_eq!((bytes, problems.len()), (0, 1), "it is missing: {problems:?}");
        let path = key::archive_key(topic, id);
        let found = async |bytes: Vec<u8>| {
            store.put(&path, bytes.into()).await.expect("memory does not fail");
            let (_, problems) = check(&state, &store, id, &rows).await;
            assert!(problems.iter().all(|problem| problem.contains(path.as_ref())), "{problems:?}");
            problems.len()
        };
        assert_eq!(found(file.bytes.clone()).await, 0);
        assert_eq!(found(file.bytes[1..].to_vec()).await, 1, "it is too short");
        let first = file.bytes.len() - file.tail.bytes as usize;
        for (place, what) in
            [(10, "columns"), (first - 1, "the last of the columns"), (first + 9, "the tail")]
        {
            let mut bytes = file.bytes.clone();
            bytes[place] ^= 1;
            assert_eq!(found(bytes).await, 1, "a bit of {what}");
        }
    }
}
