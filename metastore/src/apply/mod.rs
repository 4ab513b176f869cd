//! `apply`: the only code that changes the state and assigns offsets. Pure: no I/O, no clock, no randomness. Total:
//! a command that no longer holds is refused, whatever it says.

mod archive;
mod cluster;
mod commit;
mod groups;
mod producers;
mod topics;

use ebb_protocol::ids::{ByteRange, LogPosition, Timestamp};

use crate::{
    command::Command,
    entry::Entry,
    limits::EXPIRIES_PER_ENTRY_MAX,
    outcome::{Outcome, Refusal},
    state::{Standing, State},
};

/// What every command of one entry shares.
#[derive(Clone, Copy, Debug)]
struct Context<'a> {
    entry: &'a Entry,
    /// Where the entry stands.
    position: LogPosition,
    /// Where a segment body lies in the entry's object; empty without one.
    body: ByteRange,
}

impl State {
    /// Applies the entry that stands at `position` and answers each of its commands. `body` is where a segment body
    /// lies in the entry's object, as [`Entry::decode`] tells it; empty without one.
    ///
    /// # Panics
    /// When `position` is not the state's own: offsets would be wrong from there on.
    pub fn apply(&mut self, position: LogPosition, entry: &Entry, body: ByteRange) -> Vec<Outcome> {
        assert_eq!(position, self.position(), "entries are applied in the order of the log");
        let standing = self.agents.admit(entry, &mut self.time);
        let context = Context { entry, position, body };
        let mut body_taken = false;
        let answer = |command| match &standing {
            Ok(standing) => self.apply_command(context, *standing, command, &mut body_taken),
            Err(refusal) => Err(refusal.clone()),
        };
        let outcomes: Vec<_> =
            entry.commands.iter().map(answer).map(|done| done.unwrap_or_else(Outcome::Refused)).collect();
        self.expire_producers();
        self.groups.expire(self.time, EXPIRIES_PER_ENTRY_MAX);
        self.history.push(entry.id, self.time, &outcomes);
        outcomes
    }

    /// The state's time, or the entry's when that is later: for what agents compare with their wall clocks.
    fn time_by(&self, entry: &Entry) -> Timestamp {
        self.time.max(entry.time)
    }

    fn apply_command(
        &mut self,
        context: Context<'_>,
        standing: Standing,
        command: &Command,
        body_taken: &mut bool,
    ) -> Result<Outcome, Refusal> {
        match command {
            Command::CreateCluster { cluster } => return self.create_cluster(*cluster),
            Command::RegisterAgent(said) => return self.register_agent(context.entry, standing, said),
            _ => {}
        }
        if standing != Standing::Live {
            return Err(Refusal::StaleAgent);
        }
        match command {
            Command::CreateCluster { .. } | Command::RegisterAgent(_) => Err(Refusal::Malformed),
            Command::SealAgent { agent } => self.seal_agent(*agent),
            Command::CreateTopic(topic) => self.create_topic(topic),
            Command::CreatePartitions { topic, total } => self.create_partitions(*topic, *total),
            Command::DeleteTopic { topic } => self.delete_topic(context.entry, *topic),
            Command::AlterTopicConfig { topic, changes } => self.alter_topic_config(*topic, changes),
            Command::CommitSegment(segment) => self.commit_segment(context, segment, body_taken),
            Command::DeleteRecords { topic, partition, before } => {
                self.delete_records(context.entry, *topic, *partition, *before)
            }
            Command::InitProducer { current } => self.init_producer(*current),
            Command::TruncateLog { below } => self.truncate_log(context.position, *below),
            Command::RaiseSweepBoundary { minted_before } => {
                self.raise_sweep_boundary(context.entry, *minted_before)
            }
            Command::ForgetObjects { objects } => self.forget_objects(objects),
            Command::UpdateGroup(update) => self.update_group(context.entry, update),
            Command::DeleteGroup { group } => self.delete_group(context.entry, group),
            Command::CommitOffsets(commit) => self.commit_offsets(context.entry, commit),
            Command::DeleteOffsets(delete) => self.delete_offsets(context.entry, delete),
            Command::AlterGroupConfig { group, changes } => self.alter_group_config(group, changes),
            Command::PublishArchive(publish) => self.publish_archive(context, publish),
            Command::ClaimWork { work, seen } => self.claim_work(context.entry.agent, *work, *seen),
            Command::ReleaseWork { work } => self.release_work(context.entry.agent, *work),
            Command::RecordCompaction(record) => self.record_compaction(context.entry, record),
        }
    }
}
