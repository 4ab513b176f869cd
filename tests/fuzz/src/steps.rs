//! The input of the target `apply`: entries that agents append one after the other, cut down to what is worth mutating.

use serde::{Deserialize, Serialize};

use ebb_metastore::command::Command;

/// One entry. Its position, number and id follow from the state, so that most entries are let in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The agent's id.
    pub agent: u8,
    /// Milliseconds since the entry before.
    pub elapsed_ms: i64,
    /// Bytes of the body behind the head.
    pub body_len: u64,
    /// What is to be recorded.
    pub commands: Vec<Command>,
}
