//! The stateless Kafka agent. Wire structs live and die in `handlers`; everything below works with ids, batches and
//! coordinates.

mod agent;
pub mod broker;
pub mod config;
mod connection;
pub mod groups;
mod handlers;
mod http;
mod iceberg;
pub mod listen;
mod metrics;
mod peers;
#[cfg(test)]
mod testing;

pub use agent::{Addresses, Agent, Environment, OpenStorageError, StartError, Storage};
pub use http::StatusListener;
pub use iceberg::mirror;
pub use metrics::{Figure, Figures};
