//! Rewrites one window: reads its objects, writes a file a topic, and publishes them. Knows nothing of which window is
//! due.

use std::{collections::BTreeMap, ops::ControlFlow, pin::pin};

use ebb_archive::{Archive, ArchiveWriter, Identity};
use ebb_metastore::{
    Metastore, Submission,
    command::{Command, FileColumns, PublishArchive, Work},
    outcome::{Outcome, Refusal},
    state::{BatchCoordinates, State},
};
use ebb_protocol::{
    batch::RecordBatch,
    ids::{ArchiveId, ClusterId, IdSource, LeaderEpoch, PartitionIndex, TopicId, TopicPartition},
};
use ebb_segment::store::SegmentStore;
use futures::{Stream, StreamExt, stream};

use super::{
    config::RewriterConfig,
    counters::RewriteCounters,
    error::RewriteError,
    pace::{CpuPace, RequestPace},
    place::place,
    plan::Window,
    read::Sources,
    shape::{Shape, Wanted},
    shelf::{Piece, Shelf},
};

/// Partitions whose rows are looked up under one lock.
const PARTITIONS_PER_LOOK: usize = 1_000;

/// The rows of a topic's partitions that a window rewrites.
type TopicRows = BTreeMap<PartitionIndex, Vec<BatchCoordinates>>;

/// A topic's file that is not in the store yet.
struct Draft {
    topic: TopicId,
    id: ArchiveId,
    archive: Archive,
    columns: FileColumns,
    /// What its spans hold, one for one.
    pieces: Vec<Piece>,
    /// Why some rows are not in it, if so.
    left_out: Option<RewriteError>,
}

/// What a topic's rows became.
#[derive(Default)]
struct Filed {
    /// Publishes the file that is in the store; none when nothing could be read.
    command: Option<PublishArchive>,
    /// Why some rows are in none, if so.
    left_out: Option<RewriteError>,
}

/// What it takes to rewrite a window.
pub(super) struct Workshop<'a> {
    pub(super) metastore: &'a Metastore,
    pub(super) store: &'a SegmentStore,
    pub(super) ids: &'a IdSource,
    pub(super) config: &'a RewriterConfig,
    pub(super) requests: &'a RequestPace,
    pub(super) cpu: &'a CpuPace,
    pub(super) counters: &'a RewriteCounters,
    pub(super) cluster: ClusterId,
}

/// What a window became.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// Files published.
    pub(super) files: u64,
    /// Files that came too late: what they were made from had changed. The rest of the window is planned again.
    pub(super) refused: u64,
}

impl Rewritten {
    /// Whether nothing came of the work.
    pub(super) fn is_in_vain(self) -> bool {
        self.files == 0 && self.refused > 0
    }
}

impl Workshop<'_> {
    /// Rewrites a window. `renew` is called between files, and says whether the claim still holds.
    ///
    /// # Errors
    /// Any [`RewriteError`]. When it is one that says that records are lost, or that a topic's file could not be written,
    /// the rest of the window was published.
    pub(super) async fn rewrite<F>(
        &self,
        window: &Window,
        mut renew: impl FnMut() -> F,
    ) -> Result<Rewritten, RewriteError>
    where
        F: Future<Output = Result<ControlFlow<()>, RewriteError>>,
    {
        let topics = self.rows(window);
        let rows = topics.values().flat_map(|topic| topic.values().flatten());
        let gets = self.config.gets_in_flight_max;
        let sources = Sources::read(rows, self.metastore, self.store, self.requests, gets).await?;
        let (mut commands, mut left_out) = (Vec::with_capacity(topics.len() + 1), None);
        let files = self.drafts(topics, sources).map(|draft| self.file(draft));
        let mut files = pin!(files.buffered(self.config.files_in_flight_max.max(1)));
        while let Some(file) = files.next().await {
            let file = file?;
            commands.extend(file.command.map(Command::PublishArchive));
            left_out = left_out.or(file.left_out);
            if renew().await?.is_break() {
                // What is written so far would come too late; the sweeper deletes it.
                return Ok(Rewritten::default());
            }
        }
        let done = self.publish(window, commands).await?;
        left_out.map_or(Ok(done), Err)
    }

    /// The rows that refer to the window's objects, by topic and partition.
    fn rows(&self, window: &Window) -> BTreeMap<TopicId, TopicRows> {
        let mut topics: BTreeMap<TopicId, TopicRows> = BTreeMap::new();
        let mut cursor: Option<TopicPartition> = None;
        loop {
            let look = |state: &State| state.rows_of_objects(cursor, &window.objects, PARTITIONS_PER_LOOK);
            let (found, next) = self.metastore.read(look);
            for (at, rows) in found {
                topics.entry(at.topic).or_default().insert(at.partition, rows);
            }
            cursor = next;
            if cursor.is_none() {
                return topics;
            }
        }
    }

    /// Writes one topic's file after the other.
    fn drafts<'s>(
        &'s self,
        topics: BTreeMap<TopicId, TopicRows>,
        sources: Sources<'s>,
    ) -> impl Stream<Item = Result<Draft, RewriteError>> + 's {
        stream::unfold((topics.into_iter(), sources), async |(mut topics, mut sources)| {
            let (topic, rows) = topics.next()?;
            let draft = self.write(topic, &rows, &mut sources).await;
            Some((draft, (topics, sources)))
        })
    }

    /// Files a topic's draft. What went wrong with it alone is no error here.
    async fn file(&self, draft: Result<Draft, RewriteError>) -> Result<Filed, RewriteError> {
        let filed = match draft {
            Ok(draft) => self.put(draft).await,
            Err(error) => Err(error),
        };
        match filed {
            Err(error) if error.spares_others() => Ok(Filed { command: None, left_out: Some(error) }),
            filed => filed,
        }
    }

    /// Puts a file, reads it back, and gives the command that publishes it.
    async fn put(&self, draft: Draft) -> Result<Filed, RewriteError> {
        let Draft { topic, id, archive, columns, pieces, left_out } = draft;
        if pieces.is_empty() {
            return Ok(Filed { command: None, left_out });
        }
        let shelf = Shelf { store: self.store, requests: self.requests, cpu: self.cpu };
        let command = shelf.put(topic, id, archive, &pieces, columns).await?;
        Ok(Filed { command: Some(command), left_out })
    }

    /// Writes a topic's rows into a file in memory, and says which rows each of its spans holds. Rows that are lost stay
    /// where they are, and so do those that others have archived: a span never reaches over them.
    async fn write(
        &self,
        topic: TopicId,
        rows: &TopicRows,
        sources: &mut Sources<'_>,
    ) -> Result<Draft, RewriteError> {
        let failed = |error| RewriteError::Write { topic, error };
        let id = self.ids.archive_since(self.metastore.read(State::sweep_boundary));
        let identity = Identity { cluster: self.cluster, topic, object: id };
        let shape = self.shape(topic, rows, sources).await?;
        let layout = shape.layout(self.config.layout);
        let (typed, columns) = shape.settle(rows.len());
        let mut writer = ArchiveWriter::typed(identity, layout, typed).map_err(failed)?;
        let bytes: u64 = rows.values().flatten().map(|row| row.range.len).sum();
        writer.reserve(usize::try_from(bytes).unwrap_or(0));
        let (mut stint, mut left_out) = (self.cpu.stint(), None);
        let mut pieces: Vec<Piece> = Vec::new();
        for (partition, rows) in rows {
            let epoch = self.metastore.read(|state| state.head(topic, *partition)).map(|head| head.epoch);
            for row in rows {
                let placed = match placed(row, epoch.unwrap_or(LeaderEpoch(0)), sources).await {
                    Err(error) if error.lost().is_some() => {
                        left_out.get_or_insert(error);
                        continue;
                    }
                    placed => placed?,
                };
                match pieces.last_mut().filter(|piece| piece.goes_on(*partition, row)) {
                    Some(piece) => piece.rows.push(*row),
                    None => {
                        writer.end_span();
                        pieces.push(Piece { partition: *partition, rows: vec![*row] });
                    }
                }
                for batch in placed {
                    writer.append(*partition, &batch).map_err(failed)?;
                    stint.breathe().await;
                }
            }
        }
        let archive = writer.finish().map_err(failed)?;
        self.counters.unfit(archive.unfit);
        Ok(Draft { topic, id, archive, columns, pieces, left_out })
    }

    /// The shape of a topic's file. Where its columns follow from the values, all of these are looked at.
    async fn shape(
        &self,
        topic: TopicId,
        rows: &TopicRows,
        sources: &mut Sources<'_>,
    ) -> Result<Shape, RewriteError> {
        let mut shape = self.metastore.read(|state| Wanted::of(state, topic)).for_values();
        let mut stint = self.cpu.stint();
        let learned = if shape.learns() { rows.values() } else { Default::default() };
        for row in learned.flatten() {
            let batches = match placed(row, LeaderEpoch(0), sources).await {
                Err(error) if error.lost().is_some() => continue,
                placed => placed?,
            };
            for batch in batches {
                shape.learn(&batch);
                stint.breathe().await;
            }
        }
        Ok(shape)
    }

    /// Has one entry swap the files in, and give the claim back.
    async fn publish(&self, window: &Window, mut commands: Vec<Command>) -> Result<Rewritten, RewriteError> {
        let sizes: Vec<_> = commands.iter().map(size).collect();
        commands.push(Command::ReleaseWork { work: Work::Window { from: window.from, to: window.to } });
        let outcomes = self.metastore.submit(Submission { commands, body: Vec::new() }).await?;
        let mut done = Rewritten::default();
        for (outcome, (bytes, records)) in outcomes.into_iter().zip(sizes) {
            match outcome {
                Outcome::Refused(
                    refusal @ (Refusal::StaleAgent | Refusal::OutOfTurn | Refusal::Malformed),
                ) => {
                    return Err(RewriteError::Refused(refusal));
                }
                Outcome::Refused(refusal) => {
                    tracing::info!(%refusal, "an archive file came too late, the sweeper deletes it");
                    self.counters.file_refused();
                    done.refused += 1;
                }
                _ => {
                    self.counters.file(bytes, records);
                    done.files += 1;
                }
            }
        }
        if done.files > 0 {
            self.counters.window(window.bytes);
        }
        Ok(done)
    }
}

/// The batches of a row, each at its place.
async fn placed(
    row: &BatchCoordinates,
    epoch: LeaderEpoch,
    sources: &mut Sources<'_>,
) -> Result<Vec<RecordBatch>, RewriteError> {
    match sources.bytes(row).and_then(|bytes| place(row, bytes, epoch)) {
        Err(error) if error.is_damage() => {
            // The way from the store may have changed them.
            sources.read_again(row.object).await?;
            place(row, sources.bytes(row)?, epoch)
        }
        placed => placed,
    }
}

/// The bytes and records of a file that a command publishes.
fn size(command: &Command) -> (u64, u64) {
    match command {
        Command::PublishArchive(file) => (file.bytes, file.spans.iter().map(|span| span.rows).sum()),
        _ => (0, 0),
    }
}
