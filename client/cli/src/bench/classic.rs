//! A member of a group of the classic protocol that does as clients do: it joins, assigns when it leads, fetches its
//! assignment, and joins again when the group rebalances. Knows nothing of what is measured.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ebb_protocol::{
    error::ResponseError,
    messages::{
        GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, StrBytes,
        SyncGroupRequest, join_group_request::JoinGroupRequestProtocol, leave_group_request::MemberIdentity,
        sync_group_request::SyncGroupRequestAssignment,
    },
};

use super::{
    member::Topic,
    wire::{Wire, accepted},
};
use crate::output::Failure;

const JOIN_VERSION: i16 = 9;
const SYNC_VERSION: i16 = 5;
const HEARTBEAT_VERSION: i16 = 4;
const LEAVE_VERSION: i16 = 5;
/// The JVM client's defaults, in milliseconds.
const SESSION_TIMEOUT_MS: i32 = 45_000;
const REBALANCE_TIMEOUT_MS: i32 = 300_000;
const PROTOCOL_TYPE: StrBytes = StrBytes::from_static_str("consumer");
const PROTOCOL: StrBytes = StrBytes::from_static_str("roundrobin");

/// A member, with the stream that it speaks on.
pub(super) struct Member {
    wire: Wire,
    group: GroupId,
    id: StrBytes,
    topic: Topic,
    /// The generation that it is in.
    pub(super) generation: i32,
    /// Its partitions, in order.
    pub(super) owned: Vec<i32>,
}

impl Member {
    /// A member that has not joined yet.
    pub(super) fn new(wire: Wire, group: &str, topic: &Topic) -> Self {
        Self {
            wire,
            group: GroupId(StrBytes::from_string(group.to_owned())),
            id: StrBytes::default(),
            topic: topic.clone(),
            generation: -1,
            owned: Vec::new(),
        }
    }

    /// Joins the group, again as often as it rebalances meanwhile, and confirms what it was assigned.
    pub(super) async fn join(&mut self) -> Result<(), Failure> {
        loop {
            let joined = self.enter().await?;
            if self.sync(&joined).await? && self.beat().await? {
                return Ok(());
            }
        }
    }

    /// Sends a heartbeat; false when the group rebalances.
    pub(super) async fn beat(&mut self) -> Result<bool, Failure> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(self.id.clone())
            .with_generation_id(self.generation);
        is_calm("Heartbeat", self.wire.call(&request, HEARTBEAT_VERSION).await?.error_code)
    }

    /// Leaves the group.
    pub(super) async fn leave(&mut self) -> Result<(), Failure> {
        let member = MemberIdentity::default().with_member_id(self.id.clone());
        let request =
            LeaveGroupRequest::default().with_group_id(self.group.clone()).with_members(vec![member]);
        accepted("LeaveGroup", self.wire.call(&request, LEAVE_VERSION).await?.error_code)
    }

    /// Joins the next generation. The first answer gives the member its id (KIP-394).
    async fn enter(&mut self) -> Result<JoinGroupResponse, Failure> {
        loop {
            let protocol = JoinGroupRequestProtocol::default()
                .with_name(PROTOCOL)
                .with_metadata(subscription(&self.topic.name));
            let request = JoinGroupRequest::default()
                .with_group_id(self.group.clone())
                .with_member_id(self.id.clone())
                .with_session_timeout_ms(SESSION_TIMEOUT_MS)
                .with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS)
                .with_protocol_type(PROTOCOL_TYPE)
                .with_protocols(vec![protocol]);
            let joined = self.wire.call(&request, JOIN_VERSION).await?;
            self.id.clone_from(&joined.member_id);
            if joined.error_code == ResponseError::MemberIdRequired.code() {
                continue;
            }
            if is_calm("JoinGroup", joined.error_code)? {
                self.generation = joined.generation_id;
                return Ok(joined);
            }
        }
    }

    /// Fetches the assignment; false when the group rebalances.
    async fn sync(&mut self, joined: &JoinGroupResponse) -> Result<bool, Failure> {
        // The leader alone is told of the members.
        let members = &joined.members;
        let assigned = |(nth, member): (usize, &_)| {
            let ebb_protocol::messages::join_group_response::JoinGroupResponseMember { member_id, .. } =
                member;
            let share = (0..self.topic.partitions).skip(nth).step_by(members.len());
            SyncGroupRequestAssignment::default()
                .with_member_id(member_id.clone())
                .with_assignment(assignment(&self.topic.name, share.collect()))
        };
        let request = SyncGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(self.id.clone())
            .with_generation_id(self.generation)
            .with_protocol_type(Some(PROTOCOL_TYPE))
            .with_protocol_name(Some(PROTOCOL))
            .with_assignments(members.iter().enumerate().map(assigned).collect());
        let synced = self.wire.call(&request, SYNC_VERSION).await?;
        if !is_calm("SyncGroup", synced.error_code)? {
            return Ok(false);
        }
        let owned = partitions(synced.assignment);
        self.owned = owned.ok_or_else(|| Failure::new("an assignment cannot be read"))?;
        Ok(true)
    }
}

/// False when the group rebalances.
fn is_calm(what: &str, code: i16) -> Result<bool, Failure> {
    if code == ResponseError::RebalanceInProgress.code() {
        return Ok(false);
    }
    accepted(what, code).map(|()| true)
}

/// A subscription to one topic (ConsumerProtocolSubscription, version 0).
fn subscription(topic: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    put_topic(&mut bytes, topic);
    bytes.put_i32(-1);
    bytes.freeze()
}

/// Partitions of one topic (ConsumerProtocolAssignment, version 0).
fn assignment(topic: &str, partitions: Vec<i32>) -> Bytes {
    let mut bytes = BytesMut::new();
    put_topic(&mut bytes, topic);
    bytes.put_i32(i32::try_from(partitions.len()).expect("they are numbered by 32 bits"));
    partitions.into_iter().for_each(|partition| bytes.put_i32(partition));
    bytes.put_i32(-1);
    bytes.freeze()
}

/// What both begin with: the version and an array of one topic.
fn put_topic(bytes: &mut BytesMut, topic: &str) {
    bytes.put_i16(0);
    bytes.put_i32(1);
    bytes.put_i16(i16::try_from(topic.len()).expect("names of topics have at most 249 bytes"));
    bytes.put_slice(topic.as_bytes());
}

/// The partitions of an assignment as [`assignment`] writes it; a member without partitions may get no bytes at all.
fn partitions(mut bytes: Bytes) -> Option<Vec<i32>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let (_version, _topics) = (bytes.try_get_i16().ok()?, bytes.try_get_i32().ok()?);
    let name = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
    bytes = bytes.get(name..).map(|rest| bytes.slice_ref(rest))?;
    let count = usize::try_from(bytes.try_get_i32().ok()?).ok()?;
    (0..count).map(|_| bytes.try_get_i32().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_back() {
        assert_eq!(partitions(assignment("flights", vec![1, 5])), Some(vec![1, 5]));
        assert_eq!(partitions(Bytes::new()), Some(Vec::new()));
        assert_eq!(partitions(assignment("flights", vec![1, 5]).slice(..20)), None);
    }
}
