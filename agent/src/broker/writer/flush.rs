//! A flush: one closed segment on its way from memory to an answer.

use ebb_protocol::planted::{Bug, is_planted};
use std::sync::Arc;

use ebb_metastore::{
    Metastore, MetastoreError, Submission,
    command::{BatchFacts, BatchProducer, BodyPlace, Command, CommitSegment, ObjectRef, Run},
};
use ebb_protocol::{
    batch::RecordBatch,
    ids::{ClusterId, LogPosition, PartitionIndex, SegmentId, TopicId},
};
use ebb_segment::{
    format::{self, Segment},
    store::{SegmentStore, StoreError},
};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    outcome,
    task::{Gathered, Waiter},
};
use crate::broker::{ProduceError, cache::ObjectSink};

/// What every flush needs.
#[derive(Debug)]
pub(super) struct FlushContext {
    pub(super) cluster: ClusterId,
    pub(super) metastore: Metastore,
    pub(super) store: SegmentStore,
    pub(super) sink: Arc<dyn ObjectSink>,
}

impl FlushContext {
    /// Whether the commit log can carry segment bodies.
    pub(super) fn carries_bodies(&self) -> bool {
        self.metastore.entry_object(LogPosition(0)).is_some()
    }
}

/// One closed segment.
#[derive(Debug)]
pub(super) struct Flush {
    pub(super) id: SegmentId,
    pub(super) gathered: Gathered,
    /// Whether it rides inside the commit log's entry.
    pub(super) inline: bool,
    /// Held until its bytes are stored: by its own PUT, or by the entry that carries them.
    pub(super) upload: OwnedSemaphorePermit,
    /// When the upload is given up.
    pub(super) deadline: Instant,
    pub(super) turn: Turn,
}

/// A place in the line of flushes that commit one after the other.
#[derive(Debug)]
pub(super) struct Turn {
    before: oneshot::Receiver<()>,
    _passes: Option<oneshot::Sender<()>>,
}

impl Turn {
    /// The place behind which the first flush stands.
    pub(super) fn first() -> Self {
        let (_, before) = oneshot::channel();
        Self { before, _passes: None }
    }

    /// Takes the place, and gives the next one.
    pub(super) fn follow(&mut self) -> (Self, Self) {
        let (passes, before) = oneshot::channel();
        let mine = std::mem::replace(&mut self.before, oneshot::channel().1);
        (Self { before: mine, _passes: Some(passes) }, Self { before, _passes: None })
    }

    /// Waits until the flush before has handed its commit over or given up. Dropping the turn passes it on.
    async fn come(&mut self) {
        // The sender is never used, only dropped: also when its task panics.
        drop((&mut self.before).await);
    }
}

/// Carries a flush out: makes the segment durable, commits it in its turn, and answers.
pub(super) async fn run(context: Arc<FlushContext>, flush: Flush) {
    let Flush { id, gathered, inline, upload, deadline, mut turn } = flush;
    let Gathered { batches, waiters, .. } = gathered;
    let (segment, order) = format::build(context.cluster, id, &batches);
    let commit = commit_command(&segment, &order, &batches, inline);
    let (stored, upload) = if inline {
        (Ok(segment.pieces), Some(upload))
    } else {
        let stored = put(&context, &segment, deadline).await.map(|()| Vec::new());
        let stored = if is_planted(Bug::IgnoreFailedUpload) { Ok(Vec::new()) } else { stored };
        drop(upload);
        (stored, None)
    };
    // A segment that could not be stored keeps its turn as well: what follows it must not overtake what precedes it.
    if !is_planted(Bug::CommitOutOfOrder) {
        turn.come().await;
    }
    let enqueued = match stored {
        Ok(body) => {
            let submission = Submission { commands: vec![commit], body };
            context.metastore.enqueue(submission).await.map_err(not_taken)
        }
        Err(error) => Err(ProduceError::Storage(error)),
    };
    drop(turn);
    let answers = match enqueued {
        Ok(pending) => outcome::answers(pending.outcomes().await, &order, batches.len()),
        Err(error) => vec![Err(error); batches.len()],
    };
    drop(upload);
    answer(waiters, answers);
}

async fn put(context: &FlushContext, segment: &Segment, deadline: Instant) -> Result<(), StoreError> {
    timeout_at(deadline, context.store.put(segment)).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable("the segment was not stored before the append's deadline".to_owned()))
    })?;
    context.sink.written(ObjectRef::Segment(segment.id), &segment.pieces);
    Ok(())
}

/// A submission that was not taken has had no effect and will have none.
fn not_taken(error: MetastoreError) -> ProduceError {
    match error {
        MetastoreError::Unavailable(why) => ProduceError::Storage(StoreError::Unavailable(why)),
        MetastoreError::Indeterminate(why) => ProduceError::TimedOut(why),
        _ => ProduceError::Closed,
    }
}

/// The command that commits a segment, its batches described in the order in which they stand in it.
fn commit_command(
    segment: &Segment,
    order: &[Vec<usize>],
    batches: &[(TopicId, PartitionIndex, RecordBatch)],
    inline: bool,
) -> Command {
    let facts = |index: &usize| batches.get(*index).map(|(_, _, batch)| batch_facts(batch));
    let runs = segment.runs.iter().zip(order).map(|(run, members)| Run {
        topic: run.topic,
        partition: run.partition,
        range: run.range,
        batches: members.iter().filter_map(facts).collect(),
    });
    let body = if inline { BodyPlace::Inline } else { BodyPlace::Object { bytes: segment.bytes } };
    Command::CommitSegment(CommitSegment { segment: segment.id, body, runs: runs.collect() })
}

fn batch_facts(batch: &RecordBatch) -> BatchFacts {
    let producer = batch.producer().map(|(id, epoch, sequence)| BatchProducer {
        id,
        epoch,
        sequence,
        transactional: batch.is_transactional(),
    });
    BatchFacts {
        bytes: u32::try_from(batch.bytes().len()).expect("a batch's length field has 31 bits"),
        records: batch.record_count().unsigned_abs(),
        max_timestamp: batch.max_timestamp(),
        producer,
    }
}

/// Tells everybody what became of their batches, and gives their room back.
fn answer(waiters: Vec<Waiter>, answers: super::Answers) {
    let mut answers = answers.into_iter();
    for Waiter { count, answer, room } in waiters {
        // Who dropped the receiver does not want to know.
        drop(answer.send(answers.by_ref().take(count).collect()));
        drop(room);
    }
}
