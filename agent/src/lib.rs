//! The stateless Kafka agent. Wire structs live and die in `handlers`; everything below works with ids, batches and
//! coordinates.

pub mod broker;
