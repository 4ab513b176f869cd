//! The members of a group, and what changes would make of them. A list of changes is judged whole before anything is
//! changed, and without a copy of the members.

use std::collections::BTreeMap;

use ebb_protocol::ids::MemberId;
use serde::{Deserialize, Serialize};

use crate::{
    command::{ClassicGroup, ClassicMember, ConsumerGroup, ConsumerMember, GroupChange, encoded_bytes},
    limits::MEMBER_BYTES_MAX,
    outcome::Refusal,
};

/// The members of a group, by the protocol they speak.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupBody {
    /// It only has offsets, and never had a member.
    #[default]
    Simple,
    /// The classic protocol.
    Classic(ClassicGroup, BTreeMap<MemberId, ClassicMember>),
    /// KIP-848.
    Consumer(ConsumerGroup, BTreeMap<MemberId, ConsumerMember>),
}

/// What the members of a group count in the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) members: usize,
    /// Encoded, with what they share.
    pub(crate) bytes: usize,
}

impl GroupBody {
    /// How many members it has.
    #[must_use]
    pub fn members(&self) -> usize {
        match self {
            Self::Simple => 0,
            Self::Classic(_, members) => members.len(),
            Self::Consumer(_, members) => members.len(),
        }
    }

    /// Makes a change of a list that [`Tally::after`] has judged.
    pub(crate) fn change(&mut self, change: &GroupChange) {
        match (&mut *self, change) {
            (Self::Classic(shared, _), GroupChange::Classic(now)) => shared.clone_from(now),
            (_, GroupChange::Classic(now)) => *self = Self::Classic(now.clone(), BTreeMap::new()),
            (Self::Consumer(shared, _), GroupChange::Consumer(now)) => *shared = *now,
            (_, GroupChange::Consumer(now)) => *self = Self::Consumer(*now, BTreeMap::new()),
            (Self::Classic(_, members), GroupChange::PutClassicMember(id, member)) => {
                members.insert(id.clone(), member.as_ref().clone());
            }
            (Self::Consumer(_, members), GroupChange::PutConsumerMember(id, member)) => {
                members.insert(id.clone(), member.as_ref().clone());
            }
            (Self::Classic(_, members), GroupChange::RemoveMember(id)) => {
                members.remove(id);
            }
            (Self::Consumer(_, members), GroupChange::RemoveMember(id)) => {
                members.remove(id);
            }
            (
                Self::Simple | Self::Classic(..) | Self::Consumer(..),
                GroupChange::PutClassicMember(..) | GroupChange::PutConsumerMember(..),
            )
            | (Self::Simple, GroupChange::RemoveMember(_)) => {
                debug_assert!(false, "judging refuses members of another protocol");
            }
        }
    }

    /// The bytes of a member; `None` when there is no such one.
    fn member_bytes(&self, id: &MemberId) -> Option<usize> {
        match self {
            Self::Simple => None,
            Self::Classic(_, members) => members.get(id).map(|member| encoded_bytes(&(id, member))),
            Self::Consumer(_, members) => members.get(id).map(|member| encoded_bytes(&(id, member))),
        }
    }

    fn shared_bytes(&self) -> usize {
        match self {
            Self::Simple => 0,
            Self::Classic(shared, _) => encoded_bytes(shared),
            Self::Consumer(shared, _) => encoded_bytes(shared),
        }
    }
}

impl Tally {
    /// Counts the members of a group.
    pub(super) fn of(body: &GroupBody) -> Self {
        let members: usize = match body {
            GroupBody::Simple => 0,
            GroupBody::Classic(_, members) => members.iter().map(|member| encoded_bytes(&member)).sum(),
            GroupBody::Consumer(_, members) => members.iter().map(|member| encoded_bytes(&member)).sum(),
        };
        Self { members: body.members(), bytes: body.shared_bytes() + members }
    }

    /// What `self`, the tally of `body`, will be after the changes.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] for a member of a protocol that the group does not have then, or when it has none in
    /// the end; [`Refusal::GroupTooLarge`] when a member is too large.
    pub(crate) fn after(self, body: &GroupBody, changes: &[GroupChange]) -> Result<Self, Refusal> {
        let protocol = Protocol::of(body);
        let mut plan = Plan { protocol, before: Some((self, body)), shared: None, touched: BTreeMap::new() };
        for change in changes {
            plan.change(change)?;
        }
        if plan.protocol == Protocol::None {
            return Err(Refusal::Malformed);
        }
        Ok(plan.tally())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    None,
    Classic,
    Consumer,
}

impl Protocol {
    fn of(body: &GroupBody) -> Self {
        match body {
            GroupBody::Simple => Self::None,
            GroupBody::Classic(..) => Self::Classic,
            GroupBody::Consumer(..) => Self::Consumer,
        }
    }
}

/// What changes make of a group, as far as the limits must know.
struct Plan<'a> {
    protocol: Protocol,
    /// The members that stay unless they are touched; `None` when all have been dropped.
    before: Option<(Tally, &'a GroupBody)>,
    /// The bytes of what the members share, if that changes.
    shared: Option<usize>,
    /// The bytes of each member that is put; `None` for one that is removed.
    touched: BTreeMap<&'a MemberId, Option<usize>>,
}

impl<'a> Plan<'a> {
    fn change(&mut self, change: &'a GroupChange) -> Result<(), Refusal> {
        match change {
            GroupChange::Classic(shared) => self.share(Protocol::Classic, encoded_bytes(shared)),
            GroupChange::Consumer(shared) => self.share(Protocol::Consumer, encoded_bytes(shared)),
            GroupChange::PutClassicMember(id, member) if self.protocol == Protocol::Classic => {
                self.touched.insert(id, Some(checked_bytes(&(id, member))?));
            }
            GroupChange::PutConsumerMember(id, member) if self.protocol == Protocol::Consumer => {
                self.touched.insert(id, Some(checked_bytes(&(id, member))?));
            }
            // A member that is not there may have joined and gone before it was recorded.
            GroupChange::RemoveMember(id) if self.protocol != Protocol::None => {
                self.touched.insert(id, None);
            }
            _ => return Err(Refusal::Malformed),
        }
        Ok(())
    }

    fn share(&mut self, protocol: Protocol, bytes: usize) {
        if self.protocol != protocol {
            self.protocol = protocol;
            self.before = None;
            self.touched.clear();
        }
        self.shared = Some(bytes);
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        if let Some((before, body)) = self.before {
            let gone: Vec<_> = self.touched.keys().filter_map(|id| body.member_bytes(id)).collect();
            let shared = if self.shared.is_some() { body.shared_bytes() } else { 0 };
            tally.members = before.members - gone.len();
            tally.bytes = before.bytes - shared - gone.iter().sum::<usize>();
        }
        let put = self.touched.values().flatten();
        tally.members += put.clone().count();
        tally.bytes += self.shared.unwrap_or(0) + put.sum::<usize>();
        tally
    }
}

fn checked_bytes(member: &impl Serialize) -> Result<usize, Refusal> {
    let bytes = encoded_bytes(member);
    if bytes > MEMBER_BYTES_MAX { Err(Refusal::GroupTooLarge) } else { Ok(bytes) }
}
