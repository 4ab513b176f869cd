//! Members that speak the classic protocol in a consumer group, while an application moves from one protocol to the
//! other client by client (KIP-848, online migration). To the group they are members like others: their subscription
//! is what JoinGroup says, their generation is their member epoch, and SyncGroup fetches what they are assigned.
//! Nobody leads. A member is sent to join again when it must give up something or when something is free for it.

use std::collections::BTreeMap;

use ebb_metastore::command::{ClassicPart, ConsumerMember, Partitions};
use ebb_protocol::ids::{MemberId, PartitionIndex, Timestamp};

use super::{
    ConsumerMachine, Member, later,
    membership::heir_of,
    partitions::{each, to_set},
};
use crate::{
    ClassicHeartbeat, GroupError, JoinAnswer, JoinRequest, LeavingMember, SyncAnswer, SyncRequest, Topics,
    consumer_protocol::{PROTOCOL_TYPE, Subscription, encode_assignment},
    event::ID_BYTES_MAX,
};

impl ConsumerMachine {
    /// Takes a member in that joins, or joins again, by JoinGroup.
    pub(super) fn admit_classic(
        &mut self,
        now: Timestamp,
        said: &JoinRequest,
    ) -> Result<MemberId, GroupError> {
        let (shortest, longest) = self.config.classic_session_timeout_ms;
        if !(shortest..=longest).contains(&said.session_timeout_ms) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        let id = said.member.clone().unwrap_or_else(|| MemberId::from(said.fresh_member.as_str()));
        if id.as_str().len().max(said.instance.as_ref().map_or(0, String::len)) > ID_BYTES_MAX {
            return Err(GroupError::InvalidRequest("MemberId and InstanceId must not be that long."));
        }
        if said.protocol_type != PROTOCOL_TYPE || !self.speaks_one_of(&id, &said.protocols) {
            return Err(GroupError::InconsistentProtocol);
        }
        let subscription = subscription_of(&said.protocols).ok_or(GroupError::InconsistentProtocol)?;
        let (before, replaced) = self.find_joining(&id, said)?;
        let is_new = before.is_none();
        if is_new && self.members.len() >= self.config.members_max {
            return Err(GroupError::GroupFull);
        }
        if is_new && said.member.is_none() && said.instance.is_none() && said.requires_known_member {
            return Err(GroupError::MemberIdRequired(id));
        }
        let before = before.unwrap_or_default();
        let next = updated(&before, said, subscription);
        self.check_size(&id, replaced.as_ref(), &next)?;
        self.must_assign |= is_new || next.topics != before.topics || next.regex != before.regex;
        if let Some(replaced) = replaced {
            self.remove(&replaced);
        }
        let session_until = self.config.session_end(now, &next);
        self.put(&id, Member::new(next, session_until));
        Ok(id)
    }

    /// The member that joins, if it is there already, and the one that it replaces.
    fn find_joining(
        &self,
        id: &MemberId,
        said: &JoinRequest,
    ) -> Result<(Option<ConsumerMember>, Option<MemberId>), GroupError> {
        let holder = said.instance.as_deref().and_then(|instance| self.by_instance(instance));
        match holder {
            Some((holder, member)) if holder == id => Ok((Some(member.record.clone()), None)),
            Some((holder, member)) if said.member.is_none() => {
                Ok((Some(heir_of(&member.record)), Some(holder.clone())))
            }
            Some(_) => Err(GroupError::FencedInstance),
            None if said.instance.is_some() && said.member.is_some() => Err(GroupError::UnknownMember),
            None => Ok((self.members.get(id).map(|member| member.record.clone()), None)),
        }
    }

    /// True when all other classic members speak one of the protocols, so that there is one for all of them.
    fn speaks_one_of(&self, id: &MemberId, protocols: &[(String, Vec<u8>)]) -> bool {
        let others = || {
            let others = self.members.iter().filter(|(other, _)| *other != id);
            others.filter_map(|(_, member)| member.record.classic.as_ref())
        };
        let speaks = |name: &str, part: &ClassicPart| part.protocols.iter().any(|(known, _)| known == name);
        protocols.iter().any(|(name, _)| others().all(|part| speaks(name, part)))
    }

    /// Lets a member that has joined make one step towards its target.
    pub(super) fn join_classic(
        &mut self,
        now: Timestamp,
        id: &MemberId,
        said: &JoinRequest,
        topics: &dyn Topics,
    ) -> Result<JoinAnswer, GroupError> {
        let member = self.members.get(id).ok_or(GroupError::UnknownMember)?;
        let subscription = subscription_of(&said.protocols).unwrap_or_default();
        let owned = by_id(&subscription.owned, topics);
        let next = self.next_step(id, &member.record, Some(&owned));
        let answer = JoinAnswer {
            member: id.as_str().to_owned(),
            generation: next.epoch,
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocol: protocol_of(&next),
            ..JoinAnswer::default()
        };
        self.update(id, |member| {
            // It must fetch its assignment, and with it what it has to give up.
            member.act_by = Some(later(now, next.rebalance_timeout_ms));
            member.record = next;
        });
        Ok(answer)
    }

    /// Tells a member its assignment (SyncGroup).
    pub(super) fn sync_classic(
        &mut self,
        now: Timestamp,
        said: &SyncRequest,
        topics: &dyn Topics,
    ) -> Result<SyncAnswer, GroupError> {
        let member = self.find_classic(&said.member, said.instance.as_deref(), said.generation)?;
        let protocol = protocol_of(&member.record);
        let differs =
            |theirs: &Option<String>, ours: &str| theirs.as_deref().is_some_and(|theirs| theirs != ours);
        if differs(&said.protocol_type, PROTOCOL_TYPE) || differs(&said.protocol, &protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        if self.shared.epoch > member.record.epoch && member.record.revoking.is_empty() {
            return Err(self.send_to_join(now, &said.member));
        }
        let assignment = assignment_of(&member.record, topics);
        self.hear_of(now, &said.member, None);
        Ok(SyncAnswer { protocol_type: PROTOCOL_TYPE.to_owned(), protocol, assignment })
    }

    /// Takes a member's heartbeat in, and tells it when to join again (Heartbeat).
    pub(super) fn beat_classic(&mut self, now: Timestamp, said: &ClassicHeartbeat) -> Result<(), GroupError> {
        let member = self.find_classic(&said.member, said.instance.as_deref(), said.generation)?;
        let Member { record, act_by, .. } = member;
        let is_free = |partition| self.owners.get(&partition).is_none_or(|owner| *owner == said.member);
        let wanted = &to_set(&record.target) - &to_set(&record.assigned);
        let is_behind = record.epoch < self.shared.epoch || !record.revoking.is_empty();
        if is_behind || (!wanted.is_empty() && wanted.into_iter().all(is_free)) {
            return Err(self.send_to_join(now, &said.member));
        }
        let act_by = *act_by;
        self.hear_of(now, &said.member, act_by);
        Ok(())
    }

    /// Removes a member, which may be named by its instance id alone (LeaveGroup). Members of KIP-848 leave by their
    /// own protocol.
    pub(super) fn leave_classic(&mut self, leaving: &LeavingMember) -> Result<(), GroupError> {
        let id = match &leaving.instance {
            None => MemberId::from(leaving.member.as_str()),
            Some(instance) => {
                let (holder, _) = self.by_instance(instance).ok_or(GroupError::UnknownMember)?;
                if !leaving.member.is_empty() && leaving.member != holder.as_str() {
                    return Err(GroupError::FencedInstance);
                }
                holder.clone()
            }
        };
        self.members
            .get(&id)
            .filter(|member| member.record.classic.is_some())
            .ok_or(GroupError::UnknownMember)?;
        self.remove(&id);
        self.must_assign = true;
        Ok(())
    }

    fn find_classic(
        &self,
        id: &MemberId,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<&Member, GroupError> {
        if let Some(instance) = instance {
            let (holder, _) = self.by_instance(instance).ok_or(GroupError::UnknownMember)?;
            if holder != id {
                return Err(GroupError::FencedInstance);
            }
        }
        let member = self.members.get(id).filter(|member| member.record.classic.is_some());
        let member = member.ok_or(GroupError::UnknownMember)?;
        if member.record.epoch == generation { Ok(member) } else { Err(GroupError::IllegalGeneration) }
    }

    /// Notes that a member is alive, and tells what it must do until when.
    fn hear_of(&mut self, now: Timestamp, id: &MemberId, act_by: Option<Timestamp>) {
        if let Some(member) = self.members.get_mut(id) {
            member.session_until = self.config.session_end(now, &member.record);
            member.act_by = act_by;
        }
    }

    /// Sends a member to join again, for which it has its rebalance time-out from the first time on.
    fn send_to_join(&mut self, now: Timestamp, id: &MemberId) -> GroupError {
        if let Some(member) = self.members.get(id) {
            let act_by = member.act_by.unwrap_or_else(|| later(now, member.record.rebalance_timeout_ms));
            self.hear_of(now, id, Some(act_by));
        }
        GroupError::RebalanceInProgress
    }
}

/// The subscription in the metadata of the first protocol; a member says the same in all of them.
fn subscription_of(protocols: &[(String, Vec<u8>)]) -> Option<Subscription> {
    protocols.first().and_then(|(_, metadata)| Subscription::decode(metadata))
}

/// The protocol that a member is told to be chosen: its first, as nobody leads.
fn protocol_of(member: &ConsumerMember) -> String {
    let first = member.classic.as_ref().and_then(|classic| classic.protocols.first());
    first.map(|(name, _)| name.clone()).unwrap_or_default()
}

/// The member with what JoinGroup says of it.
fn updated(member: &ConsumerMember, said: &JoinRequest, subscription: Subscription) -> ConsumerMember {
    let mut topics = subscription.topics;
    topics.sort_unstable();
    topics.dedup();
    ConsumerMember {
        instance: said.instance.clone().or_else(|| member.instance.clone()),
        rack: subscription.rack.or_else(|| member.rack.clone()),
        client_id: said.client.id.clone(),
        client_host: said.client.host.clone(),
        rebalance_timeout_ms: said.rebalance_timeout_ms,
        topics,
        regex: None,
        assignor: None,
        classic: Some(ClassicPart {
            session_timeout_ms: said.session_timeout_ms,
            protocols: said.protocols.clone(),
        }),
        ..member.clone()
    }
}

/// What a member is assigned, in the bytes of the consumer protocol.
pub(super) fn assignment_of(member: &ConsumerMember, topics: &dyn Topics) -> Vec<u8> {
    let mut lists: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in each(&member.assigned) {
        // A topic that is gone has no name; the member will be told to give it up.
        if let Some((name, _)) = topics.by_id(partition.topic) {
            lists.entry(name.as_str().to_owned()).or_default().push(partition.partition.0);
        }
    }
    let classic = member.classic.as_ref();
    let version = classic.and_then(|classic| subscription_of(&classic.protocols)).unwrap_or_default().version;
    encode_assignment(version, &lists.into_iter().collect::<Vec<_>>())
}

/// Partitions by the ids of their topics; those that do not exist are passed over: the bytes are a client's.
pub(super) fn by_id(partitions: &[(String, Vec<i32>)], topics: &dyn Topics) -> Partitions {
    let mut found = Partitions::new();
    for (name, indexes) in partitions {
        let Some((topic, count)) = topics.by_name(name) else { continue };
        let mut exist = indexes.iter().copied().filter(|index| (0..count).contains(index)).peekable();
        if exist.peek().is_some() {
            found.entry(topic).or_default().extend(exist.map(PartitionIndex));
        }
    }
    for indexes in found.values_mut() {
        indexes.sort_unstable();
        indexes.dedup();
    }
    found
}
