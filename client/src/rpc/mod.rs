//! Requests and replies over byte streams: channels, connections with their negotiated versions, and retries.
//! Knows Kafka's frames and the API table; knows nothing of topics.

mod channel;
mod node;
mod pulse;
mod retry;
#[cfg(test)]
mod tests;

pub(crate) use channel::{CallError, Channel};
pub(crate) use node::{Link, Node, NodeSettings};
pub(crate) use retry::{Effect, Retry};
