//! `ebbtide`, the Rust SDK of Ebbtide: a producer, a consumer and an admin over QUIC, or over Kafka's TCP.
//!
//! [`Client`] holds the connections and the metadata; [`Producer`], [`Consumer`] and [`Admin`] come from it and
//! share both. Transactions are not here yet. This crate must not know the agent or the metastore.

pub mod admin;
mod client;
mod cluster;
pub mod consumer;
mod coordinator;
mod error;
mod offsets;
pub mod producer;
mod rpc;
mod server;
pub mod transport;
pub mod trust;
pub mod tunnel;

pub use admin::Admin;
pub use client::{Client, ClientBuilder};
pub use consumer::{
    Assignor, Consumer, ConsumerRecord, FetchedBatch, GroupConsumer, Isolation, OutOfRange, Rebalance,
    Records, Start,
};
pub use ebb_protocol::ids::{
    BrokerId, InvalidTopicName, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp,
    TopicId, TopicName,
};
pub use error::Error;
pub use kafka_protocol::ResponseError as ErrorCode;
pub use producer::{Acks, Compression, Delivery, Header, Producer, Record, RecordMetadata};
pub use server::{InvalidServer, ServerAddress, Transport};
