//! One member: what is recorded of it, its requests that wait, and how long it may be silent. Knows no other member.

use ebb_metastore::command::ClassicMember;
use ebb_protocol::ids::{MemberId, Timestamp};

use super::later;
use crate::{Effects, GroupError, JoinAnswer, JoinRequest, Reply, SyncAnswer, Ticket};

/// A JoinGroup of a member that has not been in a generation yet may wait so long, in milliseconds (as Kafka). The
/// session time-out does not count: the client has no id yet to send heartbeats with, and if it is gone, it is only
/// found out when it does not come again.
pub(super) const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1_000;

/// What a member counts besides its protocols, in bytes: its ids, and where it comes from.
pub(super) const MEMBER_BYTES: usize = 1_024;

/// A member of the group.
#[derive(Debug)]
pub(super) struct Member {
    /// Its assignment is always that of the generation that was last recorded with it.
    pub(super) record: ClassicMember,
    /// Its JoinGroup that waits.
    pub(super) joining: Option<Joining>,
    /// Its SyncGroup that waits.
    pub(super) syncing: Option<Ticket>,
    /// It has not sent SyncGroup in this generation.
    pub(super) must_sync: bool,
    /// It has not been in a generation yet.
    pub(super) is_new: bool,
    /// It is removed then, unless it is heard of, or waits for an answer.
    pub(super) session_until: Timestamp,
}

/// A JoinGroup that waits.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) ticket: Ticket,
    /// The client understands that it need not assign (KIP-814).
    pub(super) supports_skipping_assignment: bool,
    /// The member id that this static member has taken the place of.
    pub(super) replaces: Option<MemberId>,
}

impl Joining {
    pub(super) fn new(ticket: Ticket, said: &JoinRequest) -> Self {
        Self { ticket, supports_skipping_assignment: said.supports_skipping_assignment, replaces: None }
    }
}

impl Member {
    /// A member as it was recorded.
    pub(super) fn load(record: ClassicMember, now: Timestamp) -> Self {
        let session_until = later(now, record.session_timeout_ms);
        Self { record, joining: None, syncing: None, must_sync: false, is_new: false, session_until }
    }

    /// A member that joins.
    pub(super) fn new(said: JoinRequest, joining: Joining, now: Timestamp) -> Self {
        let record = ClassicMember {
            instance: said.instance,
            client_id: said.client.id,
            client_host: said.client.host,
            session_timeout_ms: said.session_timeout_ms,
            rebalance_timeout_ms: said.rebalance_timeout_ms,
            protocols: said.protocols,
            assignment: Vec::new(),
        };
        let session_until = later(now, NEW_MEMBER_JOIN_TIMEOUT_MS);
        Self { record, joining: Some(joining), syncing: None, must_sync: false, is_new: true, session_until }
    }

    /// It joins again. An earlier JoinGroup that still waits has lost its reader: a client has one at a time.
    pub(super) fn rejoin(&mut self, said: JoinRequest, joining: Joining, effects: &mut Effects) {
        self.answer_join(Err(GroupError::RebalanceInProgress), effects);
        self.record.session_timeout_ms = said.session_timeout_ms;
        self.record.rebalance_timeout_ms = said.rebalance_timeout_ms;
        self.record.protocols = said.protocols;
        self.record.client_id = said.client.id;
        self.record.client_host = said.client.host;
        self.joining = Some(joining);
    }

    /// Answers its JoinGroup, if one waits.
    pub(super) fn answer_join(&mut self, answer: Result<JoinAnswer, GroupError>, effects: &mut Effects) {
        if let Some(joining) = self.joining.take() {
            effects.replies.push((joining.ticket, Reply::Join(answer)));
        }
    }

    /// Answers its SyncGroup, if one waits.
    pub(super) fn answer_sync(&mut self, answer: Result<SyncAnswer, GroupError>, effects: &mut Effects) {
        if let Some(ticket) = self.syncing.take() {
            effects.replies.push((ticket, Reply::Sync(answer)));
        }
    }

    /// It was heard of, or is answered now after it has waited.
    pub(super) fn renew_session(&mut self, now: Timestamp) {
        self.session_until = later(now, self.record.session_timeout_ms);
    }

    /// When it is removed if nothing is heard of it; `None` while it waits for an answer, unless it is new.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        let is_waiting = self.joining.is_some() || self.syncing.is_some();
        (self.is_new || !is_waiting).then_some(self.session_until)
    }

    /// Its metadata for a protocol; empty for one that it does not speak.
    pub(super) fn metadata(&self, protocol: &str) -> &[u8] {
        let spoken = self.record.protocols.iter().find(|(name, _)| name == protocol);
        spoken.map_or(&[], |(_, metadata)| metadata)
    }

    /// True when it speaks a protocol.
    pub(super) fn speaks(&self, protocol: &str) -> bool {
        self.record.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// The bytes of what it says, without its assignment.
    pub(super) fn bytes(&self) -> usize {
        protocols_bytes(&self.record.protocols) + MEMBER_BYTES
    }
}

/// The bytes of protocols with their metadata.
pub(super) fn protocols_bytes(protocols: &[(String, Vec<u8>)]) -> usize {
    protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum()
}
