//! `ebbtide`, the Rust SDK of Ebbtide: a producer, a consumer and an admin over QUIC, or over Kafka's TCP.
//!
//! [`Client`] holds the connections and the metadata; [`Producer`], [`Consumer`], [`GroupConsumer`] and [`Admin`] come
//! from it and share both. Transactions are not here yet. This crate must not know the agent or the metastore.
//!
//! ```no_run
//! # async fn example() -> Result<(), ebbtide::Error> {
//! use ebbtide::{Client, Record};
//!
//! let client = Client::builder().server("quic://127.0.0.1:9093").connect().await?;
//! let producer = client.producer().build()?;
//! let written = producer.send("greetings", Record::new("hello").key("world")).await?.await?;
//! println!("durable in partition {} at offset {:?}", written.partition, written.offset);
//!
//! let mut consumer = client.consumer().group("readers").build()?;
//! consumer.subscribe(&["greetings"]);
//! let record = consumer.next_record().await?;
//! println!("{:?}", record.value);
//! consumer.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Where to read on: [`Producer`] on batches and idempotence, [`GroupConsumer`] on what is committed when,
//! [`Error`] on what may be tried again, and the examples, which run against `ebb dev`.

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
