//! How a member of the classic protocol joins, shares partitions out when it leads, and stays.

use std::collections::BTreeMap;

use ebb_coordinator::{
    ClassicHeartbeat, Client as Origin, Event, GroupError, JoinAnswer, JoinRequest, LeaveRequest,
    LeavingMember, Reply, SyncAnswer, SyncRequest, consumer_protocol,
};
use ebb_protocol::ids::{MemberId, PartitionIndex};
use tokio::time::sleep;

use super::{Fate, Member, fresh_id};
use crate::sim::plan::{millis, pick};

/// How long a rebalance waits for members, in milliseconds.
const REBALANCE_MS: i32 = 4_000;

impl Member {
    /// Joins and learns what it owns; false when it cannot.
    pub(super) async fn join(&mut self) -> bool {
        // What it owned it owns no more.
        self.places.clear();
        let session = pick(&self.random, &[2_000, 6_000]);
        let mut known = self.generation > 0;
        while !self.team.done.is_set() {
            let said = self.join_request(known, session);
            match self.ask(|ticket| Event::Join(ticket, said)).await {
                Some(Reply::Join(Ok(answer))) => {
                    known = true;
                    match self.sync(answer).await {
                        Some(true) => return true,
                        Some(false) => return false,
                        None => {}
                    }
                }
                Some(Reply::Join(Err(GroupError::MemberIdRequired(id)))) => {
                    self.id = id.as_str().to_owned();
                    known = true;
                }
                Some(Reply::Join(Err(error))) => match self.refused(&error).await {
                    Fate::Stay | Fate::Rejoin => {}
                    Fate::Dead => return false,
                },
                _ => {}
            }
            sleep(millis(&self.random, 1, 100)).await;
        }
        false
    }

    fn join_request(&self, known: bool, session_timeout_ms: i32) -> JoinRequest {
        // Version 0, one topic, no user data.
        let name = self.team.topic_name.as_bytes();
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes();
        let subscription = [&[0, 0, 0, 0, 0, 1], &length[..], name, &[0xff; 4]].concat();
        JoinRequest {
            member: known.then(|| MemberId::from(&*self.id)),
            fresh_member: fresh_id(&self.world),
            requires_known_member: true,
            instance: self.instance.clone(),
            client: Origin { id: "sim".to_owned(), host: "/sim".to_owned() },
            session_timeout_ms,
            rebalance_timeout_ms: REBALANCE_MS,
            protocol_type: consumer_protocol::PROTOCOL_TYPE.to_owned(),
            protocols: vec![("sim".to_owned(), subscription)],
            ..JoinRequest::default()
        }
    }

    /// Learns what it owns. `None` when it must join again, false when it is no more.
    async fn sync(&mut self, joined: JoinAnswer) -> Option<bool> {
        self.generation = joined.generation;
        self.id.clone_from(&joined.member);
        let said = SyncRequest {
            member: MemberId::from(&*self.id),
            instance: self.instance.clone(),
            generation: joined.generation,
            protocol_type: None,
            protocol: None,
            assignments: self.share_out(&joined),
        };
        loop {
            let said = said.clone();
            match self.ask(|ticket| Event::Sync(ticket, said)).await {
                Some(Reply::Sync(Ok(SyncAnswer { assignment, .. }))) => {
                    let Some(assigned) = consumer_protocol::decode_assignment(&assignment) else {
                        self.world.violation(format!("an assignment came back damaged: {assignment:?}"));
                        return Some(false);
                    };
                    for index in assigned.into_iter().flat_map(|(_, partitions)| partitions) {
                        self.own(PartitionIndex(index));
                    }
                    return Some(true);
                }
                Some(Reply::Sync(Err(error))) => match self.refused(&error).await {
                    Fate::Stay => {}
                    Fate::Rejoin => return None,
                    Fate::Dead => return Some(false),
                },
                _ => {}
            }
            if self.team.done.is_set() {
                return Some(false);
            }
        }
    }

    /// What each member is to own, when this one leads.
    fn share_out(&self, joined: &JoinAnswer) -> Vec<(MemberId, Vec<u8>)> {
        let mut shares: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (index, member) in (0..self.team.offsets.partitions).zip(joined.members.iter().cycle()) {
            shares.entry(&member.member).or_default().push(index);
        }
        let encode = |partitions| {
            consumer_protocol::encode_assignment(0, &[(self.team.topic_name.clone(), partitions)])
        };
        shares.into_iter().map(|(id, partitions)| (MemberId::from(id), encode(partitions))).collect()
    }

    pub(super) async fn beat_classic(&mut self) -> Fate {
        let said = ClassicHeartbeat {
            member: MemberId::from(&*self.id),
            instance: self.instance.clone(),
            generation: self.generation,
        };
        match self.ask(|ticket| Event::Heartbeat(ticket, said)).await {
            Some(Reply::Heartbeat(Err(error))) => self.refused(&error).await,
            _ => Fate::Stay,
        }
    }

    pub(super) async fn leave_classic(&mut self) {
        if self.instance.is_some() && self.random.chance(0.7) {
            // It will be back before it is missed.
            return;
        }
        let members = vec![LeavingMember { member: self.id.clone(), instance: self.instance.clone() }];
        drop(self.ask(|ticket| Event::Leave(ticket, LeaveRequest { members })).await);
    }
}
