//! Group coordination as pure state machines: the classic protocol (`classic`) and KIP-848 (`consumer`), behind one
//! `Group` each. A machine takes an event and the time, and gives what is to be answered and what is to be recorded.
//! No I/O, no clock, no randomness: all of it is tested with values alone.
//!
//! What must survive is recorded as [`GroupChange`]s. A machine has at most one update in flight: after effects with
//! `store` it sends no other until [`Event::Stored`] came, and answers that depend on an update wait for it, so that
//! nobody is told what a crash could take back. Must not know connections, Kafka's wire structs, or who coordinates.

pub mod classic;
pub mod consumer;
pub mod consumer_protocol;
mod error;
mod event;
mod group;
mod summary;
mod topics;

pub use self::{
    error::GroupError,
    event::{
        ClassicHeartbeat, Client, ConsumerHeartbeat, Effects, Event, HeartbeatAnswer, JoinAnswer,
        JoinRequest, JoinedMember, LeaveAnswer, LeaveRequest, LeavingMember, Reply, StoreError, SyncAnswer,
        SyncRequest, Ticket,
    },
    group::{Description, Group, GroupConfig},
    summary::{GroupState, Summary},
    topics::Topics,
};
