//! Commands of the archive. A file takes the place of rows of coordinates only while these are what it was made from,
//! so no planner needs a lease, and no record comes back that was deleted meanwhile.

use std::collections::BTreeMap;

use ebb_protocol::{
    ids::{AgentId, ArchiveId, Offset, Timestamp},
    planted::{Bug, is_planted},
};

use super::Context;
use crate::{
    command::{ArchiveSpan, ObjectRef, PublishArchive, RecordCompaction, Work},
    entry::Entry,
    limits::SPANS_PER_ARCHIVE_MAX,
    outcome::{Outcome, Refusal},
    state::{BatchCoordinates, ObjectFacts, State, Table},
};

impl State {
    pub(super) fn publish_archive(
        &mut self,
        context: Context<'_>,
        publish: &PublishArchive,
    ) -> Result<Outcome, Refusal> {
        if !well_formed(publish) {
            return Err(Refusal::Malformed);
        }
        let object = ObjectRef::Archive(publish.archive);
        if publish.archive.minted_at() < self.sweep_boundary {
            return Err(Refusal::ArchiveTooOld);
        }
        if self.objects.committed(object) {
            return Err(Refusal::ArchivePublished);
        }
        self.check_replaced(publish)?;
        let none = Table::default();
        let columns = self.tables.get(&publish.topic).unwrap_or(&none).columns_with(&publish.columns);
        let columns = columns.ok_or(Refusal::StaleArchive)?;
        let (now, topic) = (self.time_by(context.entry), publish.topic);
        let mut replaced = Vec::new();
        for span in &publish.spans {
            let partition = self.topics.partition_mut(topic, span.partition).expect("the spans were checked");
            if is_planted(Bug::DeletedComeBack) {
                partition.log_start = partition.log_start.min(span.first);
            }
            replaced.extend(partition.coordinates.replace(span.first, span.next, row(object, span)));
        }
        let rows = publish.spans.iter().filter(|span| span.rows > 0).count() as u64;
        if rows > 0 {
            let facts = ObjectFacts {
                bytes: publish.bytes,
                committed: context.position,
                at: now,
                topic: Some(topic),
            };
            self.objects.insert(object, rows, facts);
        }
        let died = self.release(&replaced, now);
        let published = Some(publish).filter(|_| rows > 0);
        let table = self.tables.entry(topic).or_default();
        table.set_columns(columns);
        table.change(published, died, now);
        Ok(Outcome::Done)
    }

    /// Checks that what the file replaces is what it was made from, and that no other file loses some of its rows
    /// and keeps others.
    fn check_replaced(&self, publish: &PublishArchive) -> Result<(), Refusal> {
        let topic = self.topics.get(publish.topic).ok_or(Refusal::UnknownTopic(publish.topic))?;
        let mut archived: BTreeMap<ArchiveId, u64> = BTreeMap::new();
        for span in &publish.spans {
            let index = usize::try_from(span.partition.0).map_err(|_| Refusal::UnknownPartition)?;
            let partition = topic.partitions().get(index).ok_or(Refusal::UnknownPartition)?;
            if span.next > partition.high_watermark {
                return Err(Refusal::OffsetOutOfRange);
            }
            let coordinates = &partition.coordinates;
            let rows = coordinates.within(span.first, span.next).ok_or(Refusal::StaleArchive)?;
            let current = coordinates.fingerprint(span.first, span.next);
            if current != Some(span.replaces) && !is_planted(Bug::PublishUnchecked) {
                return Err(Refusal::StaleArchive);
            }
            for row in rows {
                if let ObjectRef::Archive(id) = row.object {
                    *archived.entry(id).or_default() += 1;
                }
            }
        }
        let in_part = |(id, rows): (&ArchiveId, &u64)| *rows < self.objects.rows(ObjectRef::Archive(*id));
        if archived.iter().any(in_part) { Err(Refusal::ArchiveInPart) } else { Ok(()) }
    }

    /// Takes note that rows have gone, and gives back the archive files that have died by it.
    pub(super) fn release(&mut self, rows: &[BatchCoordinates], now: Timestamp) -> Vec<ArchiveId> {
        let mut died = Vec::new();
        for row in rows {
            if self.objects.release(row.object, now)
                && let ObjectRef::Archive(id) = row.object
            {
                died.push(id);
            }
        }
        died
    }

    pub(super) fn record_compaction(
        &mut self,
        entry: &Entry,
        record: &RecordCompaction,
    ) -> Result<Outcome, Refusal> {
        let topic = self.topics.get(record.topic).ok_or(Refusal::UnknownTopic(record.topic))?;
        if !record.clean.is_sorted_by(|(before, _), (after, _)| before < after) {
            return Err(Refusal::Malformed);
        }
        for (partition, clean) in &record.clean {
            let index = usize::try_from(partition.0).map_err(|_| Refusal::UnknownPartition)?;
            let partition = topic.partitions().get(index).ok_or(Refusal::UnknownPartition)?;
            if *clean < Offset(0) || *clean > partition.high_watermark {
                return Err(Refusal::OffsetOutOfRange);
            }
        }
        let now = self.time_by(entry);
        self.compactions.entry(record.topic).or_default().record(&record.clean, record.mark, now);
        Ok(Outcome::Done)
    }

    pub(super) fn claim_work(
        &mut self,
        agent: AgentId,
        work: Work,
        seen: Option<u64>,
    ) -> Result<Outcome, Refusal> {
        if matches!(work, Work::Window { from, to } if from >= to) {
            return Err(Refusal::Malformed);
        }
        if self.claims.is_full() {
            self.drop_idle_claims();
        }
        Ok(Outcome::WorkClaimed { version: self.claims.claim(work, agent, seen)? })
    }

    pub(super) fn release_work(&mut self, agent: AgentId, work: Work) -> Result<Outcome, Refusal> {
        self.claims.release(work, agent)?;
        Ok(Outcome::Done)
    }

    /// Drops the claims of agents that have gone.
    pub(super) fn drop_claims(&mut self) {
        let agents = &self.agents;
        self.claims.keep(|_, claim| agents.get(claim.holder).is_some());
    }

    /// Drops the claims to what is not there any more. Those of compactors that were killed would stay for ever, since
    /// nobody takes over work in which there is nothing to do.
    fn drop_idle_claims(&mut self) {
        let (objects, topics) = (&self.objects, &self.topics);
        self.claims.keep(|work, _| match work {
            Work::Window { from, to } => {
                objects.unarchived(from).next().is_some_and(|first| first.committed < to)
            }
            Work::Topic(topic) => topics.get(topic).is_some(),
        });
    }
}

/// Whether the parts of a file fit together and into its bytes.
fn well_formed(publish: &PublishArchive) -> bool {
    let spans = &publish.spans;
    let in_order = |before: &ArchiveSpan, after: &ArchiveSpan| {
        before.partition < after.partition
            || (before.partition == after.partition && before.next <= after.first)
    };
    let is_file = spans.iter().any(|span| span.rows > 0);
    (1..=SPANS_PER_ARCHIVE_MAX).contains(&spans.len())
        && is_file == (publish.bytes > 0)
        && u64::from(publish.tail_bytes) <= publish.bytes
        && spans.iter().all(|span| is_sound(span, publish.bytes))
        && spans.is_sorted_by(in_order)
}

fn is_sound(span: &ArchiveSpan, bytes: u64) -> bool {
    let offsets = span.next.0.checked_sub(span.first.0).and_then(|offsets| u64::try_from(offsets).ok());
    let fits = offsets.is_some_and(|offsets| offsets > 0 && span.rows <= offsets) && span.first >= Offset(0);
    if span.rows == 0 {
        return fits && span.range.len == 0;
    }
    let end = span.range.start.checked_add(span.range.len);
    let is_there = span.range.len > 0 && end.is_some_and(|end| end <= bytes);
    fits && is_there && span.min_timestamp <= span.max_timestamp
}

/// The row that comes for a span; none when nothing is left of it.
fn row(object: ObjectRef, span: &ArchiveSpan) -> Option<BatchCoordinates> {
    let row = BatchCoordinates {
        object,
        range: span.range,
        base: span.first,
        last: Offset(span.next.0 - 1),
        max_timestamp: span.max_timestamp,
    };
    (span.rows > 0).then_some(row)
}
