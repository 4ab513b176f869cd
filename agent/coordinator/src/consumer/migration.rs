//! Online migration (KIP-848): a classic group of consumers becomes a consumer group when its first member of the new
//! protocol comes, and a classic group again when the last one has left. Members and what they own stay. Both ways are
//! functions of what is recorded, so a coordinator that dies on the way changes nothing.

use std::collections::BTreeMap;

use ebb_metastore::command::{ClassicGroup, ClassicMember, ClassicPart, ConsumerGroup, ConsumerMember};
use ebb_protocol::ids::{MemberId, Timestamp};

use super::{
    ConsumerConfig, ConsumerMachine, Member,
    batch::Answer,
    classic_members::{assignment_of, by_id},
    limits::{GROUP_SAID_BYTES_MAX, PARTITIONS_BYTES_MAX, SAID_BYTES_MAX, partitions_bytes},
    partitions::{from_set, to_set},
};
use crate::{
    Effects, Event, Topics,
    consumer_protocol::{PROTOCOL_TYPE, Subscription, decode_assignment},
};

impl ConsumerMachine {
    /// The consumer group that goes on where a classic group was; `None` when its members are not consumers, their
    /// bytes cannot be read, or they are too large for such a group. It is recorded whole with its first update.
    #[must_use]
    pub fn from_classic(
        shared: &ClassicGroup,
        members: &BTreeMap<MemberId, ClassicMember>,
        config: ConsumerConfig,
        now: Timestamp,
        topics: &dyn Topics,
    ) -> Option<Self> {
        if shared.protocol_type != PROTOCOL_TYPE || members.len() > config.members_max {
            return None;
        }
        let mut machine = Self::new(config);
        machine.must_clear = true;
        machine.shared = ConsumerGroup { epoch: shared.generation, assignment_epoch: shared.generation };
        for (id, member) in members {
            let mut record = upgraded(member, shared, topics)?;
            // A leader may have given a partition to two members: only the first keeps it.
            let mut assigned = to_set(&record.assigned);
            assigned.retain(|partition| !machine.owners.contains_key(partition));
            record.assigned = from_set(&assigned);
            record.target = record.assigned.clone();
            let session_until = config.session_end(now, &record);
            machine.put(id, Member::new(record, session_until));
        }
        machine.fits().then_some(machine)
    }

    /// True when the metastore takes all of it.
    fn fits(&self) -> bool {
        let owned = from_set(&self.owners.keys().copied().collect());
        self.members.values().all(|member| member.said_bytes <= SAID_BYTES_MAX)
            && self.said_bytes <= GROUP_SAID_BYTES_MAX
            && partitions_bytes(&owned) <= PARTITIONS_BYTES_MAX
    }

    /// Lets the first member of the protocol join a machine that has just been made. When it is refused, only the
    /// answer is left: whatever the group was before, it stays.
    pub(crate) fn let_first_join(
        mut self,
        now: Timestamp,
        event: Event,
        topics: &dyn Topics,
    ) -> Result<(Self, Effects), Effects> {
        let effects = self.handle(now, event, topics);
        let waiting = self.in_flight.iter().flatten().map(Answer::of);
        let answers: Vec<_> = effects.replies.iter().cloned().chain(waiting).collect();
        if answers.iter().all(|(_, reply)| reply.is_granted()) {
            return Ok((self, effects));
        }
        Err(Effects { replies: answers, store: None })
    }

    /// What the group is as a classic group; `None` unless all members speak the classic protocol, and there is one
    /// that all of them speak. A rebalance must follow, since somebody has left.
    #[must_use]
    pub fn as_classic(
        &self,
        topics: &dyn Topics,
    ) -> Option<(ClassicGroup, BTreeMap<MemberId, ClassicMember>)> {
        let is_busy = self.in_flight.is_some() || !self.waiting.is_empty();
        let is_classic = |member: &Member| member.record.classic.is_some();
        if is_busy || self.members.is_empty() || !self.members.values().all(is_classic) {
            return None;
        }
        let mut members = BTreeMap::new();
        for (id, Member { record, .. }) in &self.members {
            members.insert(id.clone(), downgraded(record, topics)?);
        }
        let speaks =
            |member: &ClassicMember, name: &str| member.protocols.iter().any(|(known, _)| known == name);
        let first = members.values().next()?;
        let mut names = first.protocols.iter().map(|(name, _)| name);
        let protocol = names.find(|name| members.values().all(|member| speaks(member, name)))?.clone();
        let shared = ClassicGroup {
            protocol_type: PROTOCOL_TYPE.to_owned(),
            // Generations go on where epochs ended, also when no member that is left has come that far.
            generation: self.shared.epoch,
            protocol: Some(protocol),
            leader: members.keys().next().cloned(),
        };
        Some((shared, members))
    }
}

fn upgraded(member: &ClassicMember, shared: &ClassicGroup, topics: &dyn Topics) -> Option<ConsumerMember> {
    let chosen = member.protocols.iter().find(|(name, _)| Some(name) == shared.protocol.as_ref());
    let (_, metadata) = chosen.or_else(|| member.protocols.first())?;
    let subscription = Subscription::decode(metadata)?;
    let mut names = subscription.topics;
    names.sort_unstable();
    names.dedup();
    Some(ConsumerMember {
        instance: member.instance.clone(),
        rack: subscription.rack,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        topics: names,
        epoch: shared.generation,
        previous_epoch: shared.generation,
        assigned: by_id(&decode_assignment(&member.assignment)?, topics),
        classic: Some(ClassicPart {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
        ..ConsumerMember::default()
    })
}

fn downgraded(member: &ConsumerMember, topics: &dyn Topics) -> Option<ClassicMember> {
    let classic = member.classic.as_ref()?;
    Some(ClassicMember {
        instance: member.instance.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        session_timeout_ms: classic.session_timeout_ms,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        protocols: classic.protocols.clone(),
        assignment: assignment_of(member, topics),
    })
}
