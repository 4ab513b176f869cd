//! JoinGroup: who may join, under which id, and whether it needs a rebalance (KIP-394, KIP-345, KIP-814).

use ebb_metastore::limits::{GROUP_BYTES_MAX, MEMBER_BYTES_MAX};
use ebb_protocol::ids::{MemberId, Timestamp};

use super::{
    ClassicMachine, later,
    member::{Joining, MEMBER_BYTES, Member, protocols_bytes},
    rebalance::Phase,
};
use crate::{
    Effects, GroupError, JoinAnswer, JoinRequest, JoinedMember, Reply, Ticket,
    consumer_protocol::{PROTOCOL_TYPE, Subscription},
    event::ID_BYTES_MAX,
};

/// Bytes of a member's protocols with their metadata. The other half is for its assignment.
const METADATA_BYTES_MAX: usize = MEMBER_BYTES_MAX / 2;

/// Bytes of all members without their assignments. The rest is for their assignments and the group's offsets.
const GROUP_METADATA_BYTES_MAX: usize = GROUP_BYTES_MAX / 4;

/// Protocols that a member may speak: more than any client has assignors.
const PROTOCOLS_MAX: usize = 64;

impl ClassicMachine {
    pub(super) fn join(&mut self, now: Timestamp, ticket: Ticket, said: JoinRequest, effects: &mut Effects) {
        let known = said.member.clone().filter(|id| !id.as_str().is_empty());
        let joined = self.check_join(known.as_ref(), &said).and_then(|()| match known {
            Some(id) => self.join_again(now, id, ticket, said, effects),
            None => self.join_anew(now, ticket, said, effects),
        });
        if let Some(answer) = joined.transpose() {
            effects.replies.push((ticket, Reply::Join(answer)));
        }
    }

    /// The checks that do not depend on what the member was before.
    fn check_join(&mut self, known: Option<&MemberId>, said: &JoinRequest) -> Result<(), GroupError> {
        let session_timeouts = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if !session_timeouts.contains(&said.session_timeout_ms) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        let is_long = |text: &str| text.len() > ID_BYTES_MAX;
        if said.instance.as_deref().is_some_and(is_long) || is_long(&said.protocol_type) {
            return Err(GroupError::InvalidRequest("the group instance id or the protocol type is too long"));
        }
        let bytes = protocols_bytes(&said.protocols);
        if bytes > METADATA_BYTES_MAX || said.protocols.len() > PROTOCOLS_MAX {
            return Err(GroupError::InvalidRequest("the metadata of the protocols is too large"));
        }
        let is_unknown =
            known.is_some_and(|id| !self.members.contains_key(id) && !self.pending.contains_key(id));
        if matches!(self.phase, Phase::Empty) && is_unknown {
            return Err(GroupError::UnknownMember);
        }
        // A static member that returns takes the place of itself.
        let heir = if known.is_none() { said.instance.as_deref() } else { None };
        let heir = heir.and_then(|instance| self.static_member(instance));
        let place = known.or(heir.as_ref());
        let others = self.members.iter().filter(|(id, _)| Some(*id) != place);
        let total = others.map(|(_, member)| member.bytes()).sum::<usize>() + bytes + MEMBER_BYTES;
        if !self.has_room(place) || total > GROUP_METADATA_BYTES_MAX {
            if let Some(id) = known {
                self.pending.remove(id);
            }
            return Err(GroupError::GroupFull);
        }
        if self.supports(said) { Ok(()) } else { Err(GroupError::InconsistentProtocol) }
    }

    /// While members rejoin, those count that have, so that a group that is too large loses the last ones.
    fn has_room(&self, place: Option<&MemberId>) -> bool {
        let member = place.and_then(|id| self.members.get(id));
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing { .. } => {
                let joining = self.members.values().filter(|member| member.joining.is_some()).count();
                member.is_some_and(|member| member.joining.is_some()) || joining < self.config.members_max
            }
            Phase::Completing | Phase::Stable => {
                member.is_some() || self.members.len() < self.config.members_max
            }
        }
    }

    /// True when one of the protocols is spoken by all members, and the type is the group's.
    fn supports(&self, said: &JoinRequest) -> bool {
        if self.members.is_empty() {
            return !said.protocol_type.is_empty() && !said.protocols.is_empty();
        }
        let is_common = |name: &str| self.members.values().all(|member| member.speaks(name));
        said.protocol_type == self.protocol_type && said.protocols.iter().any(|(name, _)| is_common(name))
    }

    /// A member without an id joins. `None` when its answer waits.
    fn join_anew(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        said: JoinRequest,
        effects: &mut Effects,
    ) -> Result<Option<JoinAnswer>, GroupError> {
        let id = MemberId::from(said.fresh_member.as_str());
        if let Some(instance) = &said.instance {
            match self.static_member(instance) {
                Some(old) => self.replace(now, &old, id, ticket, said, effects),
                None => self.add(now, id, ticket, said, effects),
            }
        } else if said.requires_known_member {
            if self.pending.len() >= self.config.members_max {
                return Err(GroupError::GroupFull);
            }
            self.pending.insert(id.clone(), later(now, said.session_timeout_ms));
            return Err(GroupError::MemberIdRequired(id));
        } else {
            self.add(now, id, ticket, said, effects);
        }
        Ok(None)
    }

    fn add(
        &mut self,
        now: Timestamp,
        id: MemberId,
        ticket: Ticket,
        said: JoinRequest,
        effects: &mut Effects,
    ) {
        self.pending.remove(&id);
        if self.members.is_empty() {
            self.protocol_type.clone_from(&said.protocol_type);
        }
        let joining = Joining::new(ticket, &said);
        self.members.insert(id, Member::new(said, joining, now));
        self.keep_a_leader();
        self.extend_initial_delay();
        self.rebalance_unless_joining(now, effects);
    }

    /// A member joins by its id: one that got it just now, or one that was here before. `None` when its answer waits.
    fn join_again(
        &mut self,
        now: Timestamp,
        id: MemberId,
        ticket: Ticket,
        said: JoinRequest,
        effects: &mut Effects,
    ) -> Result<Option<JoinAnswer>, GroupError> {
        if self.pending.contains_key(&id) {
            if said.instance.is_some() {
                return Err(GroupError::UnknownMember);
            }
            self.add(now, id, ticket, said, effects);
            return Ok(None);
        }
        self.check_member(&id, said.instance.as_deref())?;
        let member = self.members.get_mut(&id).ok_or(GroupError::UnknownMember)?;
        let is_unchanged = member.record.protocols == said.protocols;
        let needs_rebalance = match self.phase {
            Phase::Empty => return Err(GroupError::UnknownMember),
            Phase::Preparing { .. } => true,
            // Its answer may have been lost.
            Phase::Completing => !is_unchanged,
            // By joining again a leader asks for a rebalance, because topics have changed.
            Phase::Stable => !is_unchanged || self.leader.as_ref() == Some(&id),
        };
        if !needs_rebalance && member.joining.is_none() {
            member.renew_session(now);
            return Ok(Some(self.join_answer(&id)));
        }
        let joining = Joining::new(ticket, &said);
        member.rejoin(said, joining, effects);
        if needs_rebalance {
            self.rebalance_unless_joining(now, effects);
        }
        Ok(None)
    }

    /// A static member returns without its member id. It gets a new one and whatever the old one had, and the old
    /// one is fenced. In a stable group nobody else notices, unless it wants something else than before.
    fn replace(
        &mut self,
        now: Timestamp,
        old: &MemberId,
        id: MemberId,
        ticket: Ticket,
        said: JoinRequest,
        effects: &mut Effects,
    ) {
        let mut member = self.members.remove(old).expect("static members are looked up among the members");
        member.answer_join(Err(GroupError::FencedInstance), effects);
        member.answer_sync(Err(GroupError::FencedInstance), effects);
        if self.leader.as_ref() == Some(old) {
            self.leader = Some(id.clone());
        }
        let before = self.wishes(&member);
        let joining = Joining { replaces: Some(old.clone()), ..Joining::new(ticket, &said) };
        member.rejoin(said, joining, effects);
        // Its client has been here before, whatever became of the JoinGroup that is fenced now.
        member.is_new = false;
        member.renew_session(now);
        let is_unchanged = before == self.wishes(&member);
        self.members.insert(id, member);
        self.must_record = true;
        let is_quiet = matches!(self.phase, Phase::Stable) && is_unchanged && self.protocol == self.vote();
        if !is_quiet {
            self.rebalance_unless_joining(now, effects);
        }
    }

    /// What a member wants of the group: the topics of a consumer. Its metadata has more in it that is another after
    /// each start, such as the partitions that it owns. What other types of members want only they can tell.
    fn wishes(&self, member: &Member) -> Option<Vec<String>> {
        let protocol = self.protocol.as_deref().filter(|_| self.protocol_type == PROTOCOL_TYPE)?;
        let mut topics = Subscription::decode(member.metadata(protocol))?.topics;
        topics.sort_unstable();
        Some(topics)
    }

    /// What a member is told of the present generation.
    pub(super) fn join_answer(&self, id: &MemberId) -> JoinAnswer {
        let leader = self.leader.as_ref();
        JoinAnswer {
            member: id.as_str().to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone().unwrap_or_default(),
            leader: leader.map_or_else(String::new, |leader| leader.as_str().to_owned()),
            skip_assignment: false,
            members: if leader == Some(id) { self.joined_members() } else { Vec::new() },
        }
    }

    /// Answers static members that have returned to a stable group and are recorded under their new ids. A leader
    /// need not assign again, and one that does not understand that must not know that it leads: it is told the id
    /// that it had.
    pub(super) fn answer_returned(&mut self, now: Timestamp, effects: &mut Effects) {
        let returned: Vec<_> =
            self.members.iter().filter(|(_, it)| it.joining.is_some()).map(|(id, _)| id.clone()).collect();
        for id in returned {
            let mut answer = self.join_answer(&id);
            let is_leader = self.leader.as_ref() == Some(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            match &member.joining {
                Some(Joining { supports_skipping_assignment: true, .. }) => {
                    answer.skip_assignment = is_leader
                }
                Some(Joining { replaces: Some(old), .. }) if is_leader => {
                    answer.leader = old.as_str().to_owned();
                    answer.members.clear();
                }
                _ => {}
            }
            member.renew_session(now);
            member.answer_join(Ok(answer), effects);
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let joined = self.members.iter().map(|(id, member)| JoinedMember {
            member: id.as_str().to_owned(),
            instance: member.record.instance.clone(),
            metadata: member.metadata(protocol).to_vec(),
        });
        joined.collect()
    }
}
