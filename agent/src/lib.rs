//! The stateless Kafka agent. Wire structs live and die in `handlers`; everything below works with ids, batches and
//! coordinates.

mod agent;
pub mod broker;
pub mod config;
mod connection;
pub mod listen;
mod metrics;

pub use agent::{Addresses, Agent, Environment, StartError, Storage};
