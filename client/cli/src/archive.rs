//! `ebb archive`: how far the archive has come, its files, and archiving now. Works on the bucket; needs no agent.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use ebb_agent::Environment;
use ebb_archive::{Footer, Tail};
use ebb_compactor::rewriter::{Done, KeyBacklog, KeyCompactor, KeysDone, RewriteError, Rewriter};
use ebb_metastore::state::{ArchiveFile, ArchiveStatus, TopicInfo};
use ebb_protocol::ids::{ArchiveId, Timestamp};
use ebb_segment::key;
use object_store::ObjectStoreExt;
use serde::Serialize;
use tokio::{
    io::AsyncWriteExt,
    time::{sleep, sleep_until},
};

use crate::{
    agent::environment,
    args::{ArchiveCommand, ArchiveExportArgs, ArchiveLsArgs, ArchiveRunArgs, ArchiveStatusArgs, Rewriting},
    bucket::Opened,
    compactor::{self, Archiving},
    output::{self, Failure},
    progress::Progress,
};

pub(crate) async fn run(command: ArchiveCommand) -> Result<(), Failure> {
    match command {
        ArchiveCommand::Status(args) => status(args).await,
        ArchiveCommand::Run(args) => archive_now(args).await,
        ArchiveCommand::Ls(args) => list(args).await,
        ArchiveCommand::Export(args) => export(args).await,
    }
}

impl Opened {
    fn topic(&self, name: &str) -> Result<TopicInfo, Failure> {
        let found = self.state.topics().find(|topic| topic.name.as_str() == name);
        found.ok_or_else(|| Failure::new(format!("topic {name:?} does not exist in {}", self.url)))
    }

    /// The files of a topic's table, oldest first.
    fn files(&self, topic: &TopicInfo) -> Vec<(ArchiveId, ArchiveFile)> {
        let table = self.state.table(topic.id);
        table.into_iter().flat_map(|table| table.files()).map(|(id, file)| (id, file.clone())).collect()
    }
}

/// How far a topic's archive has come, as it is printed.
#[derive(Debug, Serialize)]
struct TopicStatus {
    topic: String,
    files: u64,
    records: u64,
    bytes: u64,
    waiting_records: u64,
    waiting_bytes: u64,
    /// How long the oldest record has waited, in seconds.
    waiting_seconds: u64,
    /// How far compaction by key has come; none where it is not done.
    compaction: Option<Compaction>,
}

/// What of the archive is not compacted by key yet, and what is, as it is printed.
#[derive(Debug, Serialize)]
struct Compaction {
    dirty_records: u64,
    dirty_bytes: u64,
    clean_bytes: u64,
}

impl TopicStatus {
    fn new(topic: &TopicInfo, status: ArchiveStatus, backlog: Option<KeyBacklog>, now: Timestamp) -> Self {
        let compaction = |KeyBacklog { dirty_records, dirty_bytes, clean_bytes }| Compaction {
            dirty_records,
            dirty_bytes,
            clean_bytes,
        };
        let age = status.waiting_since.map_or(0, |since| now.0.saturating_sub(since.0) / 1_000);
        Self {
            topic: topic.name.to_string(),
            files: status.files,
            records: status.file_rows,
            bytes: status.file_bytes,
            waiting_records: status.waiting_records,
            waiting_bytes: status.waiting_bytes,
            waiting_seconds: u64::try_from(age).unwrap_or(0),
            compaction: backlog.map(compaction),
        }
    }
}

async fn status(args: ArchiveStatusArgs) -> Result<(), Failure> {
    let opened = Opened::open(&args.bucket).await?;
    let topics = match &args.topic {
        Some(name) => vec![opened.topic(name)?],
        None => opened.state.topics().collect(),
    };
    let now = environment().clock.now();
    let status = |topic: &TopicInfo| {
        let status = opened.state.archive_status(topic.id)?;
        let backlog = KeyBacklog::of(&opened.state, topic.id, now);
        Some(TopicStatus::new(topic, status, backlog, now))
    };
    let all: Vec<_> = topics.iter().filter_map(status).collect();
    if args.json {
        return output::json(&all);
    }
    output::line(
        "topic\tfiles\trecords\tbytes\twaiting records\twaiting bytes\twaiting for\tdirty records\tdirty bytes",
    )?;
    for status in all {
        let TopicStatus { topic, files, records, bytes, waiting_records, waiting_bytes, .. } = &status;
        let waited = humantime::format_duration(Duration::from_secs(status.waiting_seconds));
        let dirty = status.compaction.as_ref().map_or_else(
            || "-\t-".to_owned(),
            |compaction| format!("{}\t{}", compaction.dirty_records, compaction.dirty_bytes),
        );
        output::line(format_args!(
            "{topic}\t{files}\t{records}\t{bytes}\t{waiting_records}\t{waiting_bytes}\t{waited}\t{dirty}"
        ))?;
    }
    Ok(())
}

/// Requests a second that `ebb archive run` may make.
const REQUESTS_PER_SECOND: f64 = 5_000.0;
/// How often topics are looked at again that others compact, and the time between.
const COMPACTION_ROUNDS_MAX: u32 = 20;
const COMPACTION_PAUSE: Duration = Duration::from_secs(15);

/// Joins the cluster, archives window after window until nothing waits, compacts what is to be compacted by key, and
/// leaves.
async fn archive_now(args: ArchiveRunArgs) -> Result<(), Failure> {
    let url = args.bucket.url()?;
    let (member, storage) = compactor::join(&url).await?;
    let Environment { clock, random } = environment();
    let given = args.rewriting;
    let rewriting = Rewriting {
        // Somebody waits.
        archive_cpu_percent: given.archive_cpu_percent.or(Some(100)),
        archive_requests_per_second: given.archive_requests_per_second.or(Some(REQUESTS_PER_SECOND)),
        ..given
    };
    let metastore = member.metastore().clone();
    let mut archiving =
        Archiving::new(member.id(), metastore, storage.store, clock, &random, &rewriting, &url);
    let waiting = member.metastore().read(|state| state.unarchived().map(|object| object.bytes).sum());
    let counters = archiving.rewriter.counters();
    let done = match archive_windows(&mut archiving.rewriter, waiting).await {
        Ok(()) => compact_topics(&mut archiving.keys).await,
        failed => failed,
    };
    member.leave().await;
    done.map_err(Failure::new)?;
    let counts = counters.counts();
    output::line(format_args!(
        "archived {} records in {} files, {} bytes from {} bytes of batches",
        counts.records, counts.files, counts.file_bytes, counts.source_bytes
    ))?;
    let compacted = archiving.keys.counters().counts();
    if compacted.passes > 0 {
        output::line(format_args!("compacted by key, {} records dropped", compacted.records_dropped))?;
    }
    Ok(())
}

/// Archives window after window until none of the bytes that wait is left.
async fn archive_windows(rewriter: &mut Rewriter, waiting: u64) -> Result<(), RewriteError> {
    let counters = rewriter.counters();
    let mut progress = Progress::bytes(Some(waiting));
    let done = loop {
        let before = counters.counts().source_bytes;
        match rewriter.pass(true).await {
            Ok(Done::Window) => progress.add(counters.counts().source_bytes - before),
            Ok(Done::Nothing(None)) => break Ok(()),
            // Another compactor works on the rest: it is waited for, so that all is archived when this ends.
            Ok(Done::Nothing(Some(again))) => sleep_until(again).await,
            Err(error) => break Err(error),
        }
    };
    progress.finish();
    done
}

/// Compacts one topic after the other until none is dirty.
async fn compact_topics(keys: &mut KeyCompactor) -> Result<(), RewriteError> {
    for _ in 0..COMPACTION_ROUNDS_MAX {
        let mut in_part = false;
        loop {
            match keys.pass_early().await? {
                KeysDone::Topic | KeysDone::Held => {}
                KeysDone::InPart => in_part = true,
                KeysDone::Nothing => break,
            }
        }
        if !in_part {
            return Ok(());
        }
        // Another compactor works on the rest, or has just changed it.
        sleep(COMPACTION_PAUSE).await;
    }
    output::note("other compactors go on compacting topics by key; `ebb archive status` says what is left");
    Ok(())
}

/// A file of a topic, as it is printed.
#[derive(Debug, Serialize)]
struct ListedFile {
    key: String,
    bytes: u64,
    records: u64,
    spans: Vec<ListedSpan>,
}

/// The records of one partition in a file.
#[derive(Debug, Serialize)]
struct ListedSpan {
    partition: i32,
    /// The first offset, and the one behind the last.
    first: i64,
    next: i64,
    records: u64,
}

async fn list(args: ArchiveLsArgs) -> Result<(), Failure> {
    let opened = Opened::open(&args.bucket).await?;
    let topic = opened.topic(&args.topic)?;
    let listed = |(id, file): (ArchiveId, ArchiveFile)| {
        let span = |span: &ebb_metastore::state::FileSpan| ListedSpan {
            partition: span.partition.0,
            first: span.first.0,
            next: span.next.0,
            records: span.rows,
        };
        let key = key::archive_key(topic.id, id).to_string();
        ListedFile {
            key,
            bytes: file.bytes,
            records: file.rows,
            spans: file.spans.iter().map(span).collect(),
        }
    };
    let files: Vec<_> = opened.files(&topic).into_iter().map(listed).collect();
    if args.json {
        return output::json(&files);
    }
    for file in files {
        let span = |span: &ListedSpan| format!("{}:{}..{}", span.partition, span.first, span.next);
        let spans: Vec<_> = file.spans.iter().map(span).collect();
        output::line(format_args!("{}\t{}\t{}\t{}", file.key, file.bytes, file.records, spans.join(" ")))?;
    }
    Ok(())
}

async fn export(args: ArchiveExportArgs) -> Result<(), Failure> {
    let opened = Opened::open(&args.bucket).await?;
    let topic = opened.topic(&args.topic)?;
    let files = opened.files(&topic);
    tokio::fs::create_dir_all(&args.to).await.map_err(Failure::with(args.to.display()))?;
    let mut progress = Progress::bytes(Some(files.iter().map(|(_, file)| file.bytes).sum()));
    for (id, file) in &files {
        let key = key::archive_key(topic.id, *id);
        let bytes = async { opened.store.get(&key).await?.bytes().await }.await;
        let bytes = bytes.map_err(Failure::with(&key))?;
        let tail = Tail { bytes: file.tail_bytes, checksum: file.tail_checksum };
        check(&bytes, file.bytes, tail).map_err(Failure::with(&key))?;
        copy(&args.to, &format!("{id}.parquet"), &bytes).await?;
        progress.add(file.bytes);
    }
    progress.finish();
    output::line(format_args!("copied {} files to {}", files.len(), args.to.display()))
}

/// Whether the bytes are those of the file that the state knows: as many, and with the checksums of its tail and, by
/// that, of all before it.
fn check(bytes: &Bytes, expected: u64, tail: Tail) -> Result<(), String> {
    let found = bytes.len() as u64;
    if found != expected {
        return Err(format!("it has {found} bytes, not {expected}"));
    }
    let start = bytes.len().saturating_sub(usize::try_from(tail.bytes).unwrap_or(usize::MAX));
    let footer = Footer::decode(found, tail, bytes.slice(start..)).map_err(|error| error.to_string())?;
    if !footer.holds(bytes) {
        return Err("its bytes are not those that were written; `ebb fsck` says which records".into());
    }
    Ok(())
}

/// Writes a file under a name that appears when it is whole.
async fn copy(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (part, whole) = (directory.join(format!("{name}.part")), directory.join(name));
    let written = async {
        let mut file = tokio::fs::File::create(&part).await?;
        file.write_all(bytes).await?;
        file.sync_all().await?;
        tokio::fs::rename(&part, &whole).await
    };
    written.await.map_err(Failure::with(whole.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ebb_archive::{ArchiveWriter, Identity, Settings};
    use ebb_protocol::{
        batch::{BatchBuilder, Compression},
        clock::SystemClock,
        ids::{ClusterId, IdSource, LeaderEpoch, Offset, PartitionIndex},
        random::Random,
    };

    use super::*;

    #[test]
    fn a_file_that_has_changed_is_not_exported() {
        let ids = IdSource::new(Arc::new(SystemClock), Random::from_seed(1));
        let mut batch = BatchBuilder::default();
        batch.append(Timestamp(5), None, Some(&[7; 300]), &[]).expect("a small record");
        let batch = batch.finish(Compression::None, None).expect("it has a record");
        let identity = Identity { cluster: ClusterId(1), topic: ids.topic(), object: ArchiveId(1) };
        let mut writer = ArchiveWriter::new(identity, Settings::default()).expect("sound settings");
        writer.append(PartitionIndex(0), &batch.at(Offset(0), LeaderEpoch(0))).expect("a sound batch");
        let written = writer.finish().expect("it has rows");
        let (bytes, tail) = (written.bytes, written.tail);
        let check = |bytes: Vec<u8>, expected: usize| check(&bytes.into(), expected as u64, tail);
        assert_eq!(check(bytes.clone(), bytes.len()), Ok(()));
        assert!(check(bytes[1..].to_vec(), bytes.len()).is_err(), "it is too short");
        assert!(check(bytes[1..].to_vec(), bytes.len() - 1).is_err(), "it lacks its first byte");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(check(bad, bytes.len()).is_err(), "byte {at}");
        }
    }
}
