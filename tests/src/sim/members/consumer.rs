//! How a member of KIP-848 joins, gives partitions up and gets them, and stays: all by heartbeats.

use ebb_coordinator::{Client as Origin, ConsumerHeartbeat, Event, HeartbeatAnswer, Reply};
use ebb_protocol::ids::MemberId;

use super::{Fate, Member};

/// How long a member may take to give partitions up, in milliseconds.
const REBALANCE_MS: i32 = 5_000;

/// The epoch of a member that leaves.
const LEAVE: i32 = -1;

/// The epoch of a static member that leaves for a while.
const LEAVE_FOR_A_WHILE: i32 = -2;

/// A regular expression that some members subscribe by; they get more topics than they want.
const EVERYTHING: &str = ".*";

impl Member {
    fn heartbeat(&self, epoch: i32) -> ConsumerHeartbeat {
        let mut owned = self.others.clone();
        if !self.places.is_empty() {
            owned.insert(self.team.offsets.topic, self.places.keys().copied().collect());
        }
        let (topics, regex) = if self.wants_everything() {
            (Vec::new(), Some(EVERYTHING.to_owned()))
        } else {
            (vec![self.team.topic_name.clone()], None)
        };
        ConsumerHeartbeat {
            member: Some(MemberId::from(&*self.id)),
            fresh_member: self.id.clone(),
            epoch,
            instance: self.instance.clone(),
            client: Origin { id: "sim".to_owned(), host: "/sim".to_owned() },
            rebalance_timeout_ms: REBALANCE_MS,
            topics: Some(topics),
            regex,
            owned: Some(owned),
            ..ConsumerHeartbeat::default()
        }
    }

    /// Every third member does.
    fn wants_everything(&self) -> bool {
        self.process.is_multiple_of(3)
    }

    pub(super) async fn beat_consumer(&mut self) -> Fate {
        let said = self.heartbeat(self.generation);
        match self.ask(|ticket| Event::ConsumerHeartbeat(ticket, said)).await {
            Some(Reply::ConsumerHeartbeat(Ok(answer))) => self.follow(answer).await,
            Some(Reply::ConsumerHeartbeat(Err(error))) => self.refused(&error).await,
            _ => Fate::Stay,
        }
    }

    /// Does what the coordinator wants. What it gives up it commits first, as of the epoch in which it owned it.
    async fn follow(&mut self, answer: HeartbeatAnswer) -> Fate {
        self.generation = answer.epoch;
        let Some(mut assignment) = answer.assignment else { return Fate::Stay };
        let assigned = assignment.remove(&self.team.offsets.topic).unwrap_or_default();
        for (topic, indexes) in &assignment {
            let before = self.others.get(topic).map_or(&[][..], Vec::as_slice);
            indexes
                .iter()
                .filter(|index| !before.contains(index))
                .for_each(|index| self.note_own(*topic, *index));
        }
        self.others = assignment;
        if self.places.keys().any(|index| !assigned.contains(index)) {
            let fate = if self.random.chance(0.7) { self.commit().await } else { Fate::Stay };
            if fate != Fate::Stay {
                return fate;
            }
            self.places.retain(|index, _| assigned.contains(index));
        }
        for index in assigned {
            if !self.places.contains_key(&index) {
                self.own(index);
            }
        }
        Fate::Stay
    }

    pub(super) async fn leave_consumer(&mut self) {
        let is_back_soon = self.instance.is_some() && self.random.chance(0.7);
        let epoch = if is_back_soon { LEAVE_FOR_A_WHILE } else { LEAVE };
        let said = ConsumerHeartbeat { topics: None, regex: None, owned: None, ..self.heartbeat(epoch) };
        drop(self.ask(|ticket| Event::ConsumerHeartbeat(ticket, said)).await);
    }
}
