//! Committing a segment: the step that gives batches their offsets, once each.

use ebb_protocol::ids::{ByteRange, Offset, Timestamp, TopicPartition};
use ebb_protocol::planted::{Bug, is_planted};

use super::Context;
use crate::{
    command::{BatchFacts, BodyPlace, CommitSegment, ObjectRef, Run},
    limits::{BATCHES_PER_SEGMENT_MAX, COORDINATES_BYTES_MAX},
    outcome::{BatchOutcome, BatchRefusal, Outcome, Refusal},
    state::{
        BatchCoordinates, IdleList, ObjectFacts, Partition, ProducerIds, ProducerInPartition, State, Verdict,
    },
};

impl State {
    pub(super) fn commit_segment(
        &mut self,
        context: Context<'_>,
        segment: &CommitSegment,
        body_taken: &mut bool,
    ) -> Result<Outcome, Refusal> {
        let (object, bytes, shift) = match segment.body {
            BodyPlace::Object { bytes } => (ObjectRef::Segment(segment.segment), bytes, 0),
            BodyPlace::Inline => (ObjectRef::Entry(context.position), context.body.len, context.body.start),
        };
        if !well_formed(segment, bytes, shift) {
            return Err(Refusal::Malformed);
        }
        match segment.body {
            BodyPlace::Object { .. } if segment.segment.minted_at() < self.sweep_boundary => {
                return Err(Refusal::SegmentTooOld);
            }
            BodyPlace::Object { .. } if self.objects.committed(object) => {
                return Err(Refusal::SegmentCommitted);
            }
            // An entry has one body, and one segment is in it.
            BodyPlace::Inline if *body_taken => return Err(Refusal::Malformed),
            BodyPlace::Inline => *body_taken = true,
            BodyPlace::Object { .. } => {}
        }
        let mut rows = 0;
        let mut runs = Vec::with_capacity(segment.runs.len());
        for run in &segment.runs {
            let shift = if is_planted(Bug::InlineBodyUnshifted) { 0 } else { shift };
            let range = ByteRange { start: run.range.start + shift, len: run.range.len };
            runs.push(self.place_run(run, object, range, &mut rows));
        }
        // An object of which nothing was taken is dead from the start. An entry without rows stays the log's own.
        if rows > 0 || matches!(object, ObjectRef::Segment(_)) {
            let (committed, at) = (context.position, self.time_by(context.entry));
            self.objects.insert(object, rows, ObjectFacts { bytes, committed, at, topic: None });
        }
        Ok(Outcome::Committed { runs })
    }

    /// Places the batches of a run that lie at `range` of the object, and counts the rows that it takes.
    fn place_run(
        &mut self,
        run: &Run,
        object: ObjectRef,
        range: ByteRange,
        rows: &mut u64,
    ) -> Vec<BatchOutcome> {
        let at = TopicPartition { topic: run.topic, partition: run.partition };
        let Some(partition) = self.topics.partition_mut(at.topic, at.partition) else {
            return vec![BatchOutcome::Refused(BatchRefusal::UnknownPartition); run.batches.len()];
        };
        let mut place =
            Place { at, partition, ids: &self.producer_ids, idle: &mut self.idle, now: self.time };
        let mut builder = RowBuilder { object, row: None, finished: 0 };
        let mut start = range.start;
        let mut outcomes = Vec::with_capacity(run.batches.len());
        let mut after_duplicate = 0;
        for batch in &run.batches {
            let bytes = ByteRange { start, len: u64::from(batch.bytes) };
            let mut outcome = place.batch(batch);
            match &mut outcome {
                BatchOutcome::Appended { base, .. } => *base = base.plus(after_duplicate),
                BatchOutcome::Duplicate { .. } if is_planted(Bug::OffsetAfterDuplicate) => {
                    after_duplicate = 1;
                }
                _ => {}
            }
            match outcome {
                BatchOutcome::Refused(_) if is_planted(Bug::RefusedBatchInRow) => builder.stretch(bytes),
                BatchOutcome::Appended { base, .. } => builder.add(place.partition, bytes, base, batch),
                // The bytes of a batch that is not taken lie between those of its neighbours.
                BatchOutcome::Duplicate { .. } | BatchOutcome::Refused(_) => builder.finish(place.partition),
            }
            outcomes.push(outcome);
            start = bytes.end();
        }
        builder.finish(place.partition);
        *rows += builder.finished;
        outcomes
    }
}

/// Whether a segment's parts fit together and into its `bytes` bytes, which begin at `shift` of the object.
fn well_formed(segment: &CommitSegment, bytes: u64, shift: u64) -> bool {
    let sound = |batch: &BatchFacts| batch.bytes > 0 && (1..=i32::MAX as u32).contains(&batch.records);
    let whole = |run: &Run| {
        let length: u64 = run.batches.iter().map(|batch| u64::from(batch.bytes)).sum();
        let end = run.range.start.checked_add(run.range.len);
        length == run.range.len && end.is_some_and(|end| end <= bytes) && run.batches.iter().all(sound)
    };
    let batches: usize = segment.runs.iter().map(|run| run.batches.len()).sum();
    batches <= BATCHES_PER_SEGMENT_MAX && shift.checked_add(bytes).is_some() && segment.runs.iter().all(whole)
}

/// A partition that batches go to, with what it needs to judge them.
struct Place<'a> {
    at: TopicPartition,
    partition: &'a mut Partition,
    ids: &'a ProducerIds,
    idle: &'a mut IdleList,
    now: Timestamp,
}

impl Place<'_> {
    /// Gives a batch its offsets, or says why not.
    fn batch(&mut self, batch: &BatchFacts) -> BatchOutcome {
        let records = i32::try_from(batch.records).expect("the segment is well formed");
        let log_start = self.partition.log_start;
        let base = self.partition.high_watermark;
        if let Some(producer) = &batch.producer {
            // An id that was not given out yet would be given to somebody else, whose batches would then pass for
            // duplicates.
            if !self.ids.issued(producer.id) {
                return BatchOutcome::Refused(BatchRefusal::UnknownProducer);
            }
            if producer.sequence.0 < 0 || producer.epoch.0 < 0 {
                return BatchOutcome::Refused(BatchRefusal::OutOfOrderSequence);
            }
            let known = self.partition.producers.get(&producer.id);
            match ProducerInPartition::judge(known.map(Box::as_ref), producer, records) {
                Verdict::Append => {}
                Verdict::Duplicate { base } => return BatchOutcome::Duplicate { base, log_start },
                Verdict::Refuse(refusal) => return BatchOutcome::Refused(refusal),
            }
            let begin = || self.idle.begin(self.at, producer.id, producer.epoch, self.now);
            let row = self.partition.producers.entry(producer.id).or_insert_with(begin);
            row.remember(producer, records, base, self.now);
        }
        self.partition.high_watermark = base.plus(i64::from(records));
        assert!(self.partition.high_watermark > base, "a partition never holds 2^63 records");
        BatchOutcome::Appended { base, log_start }
    }
}

/// Puts neighbouring batches together into rows of coordinates.
struct RowBuilder {
    object: ObjectRef,
    row: Option<BatchCoordinates>,
    finished: u64,
}

impl RowBuilder {
    fn add(&mut self, partition: &mut Partition, bytes: ByteRange, base: Offset, batch: &BatchFacts) {
        let last = base.plus(i64::from(batch.records) - 1);
        if self.row.is_some_and(|row| row.range.len + bytes.len > COORDINATES_BYTES_MAX) {
            self.finish(partition);
        }
        match &mut self.row {
            Some(row) => {
                row.range.len += bytes.len;
                row.last = last;
                row.max_timestamp = row.max_timestamp.max(batch.max_timestamp);
            }
            None => {
                let (object, max_timestamp) = (self.object, batch.max_timestamp);
                self.row = Some(BatchCoordinates { object, range: bytes, base, last, max_timestamp });
            }
        }
    }

    /// A bug that is planted: takes bytes in that do not belong here.
    fn stretch(&mut self, bytes: ByteRange) {
        if let Some(row) = &mut self.row {
            row.range.len += bytes.len;
        }
    }

    fn finish(&mut self, partition: &mut Partition) {
        if let Some(row) = self.row.take() {
            partition.coordinates.push(row);
            self.finished += 1;
        }
    }
}
