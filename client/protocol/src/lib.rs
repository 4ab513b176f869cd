//! Kafka's wire format as Ebbtide uses it: ids and positions, the record batch view, the record codec,
//! frames, the API table, error codes, typed columns and formats of values, and the injected clock and randomness.
//!
//! This crate does no I/O and must not know tokio, stores, segments or the metastore.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod api;
pub mod batch;
pub mod clock;
pub mod columns;
pub mod error;
pub mod frame;
pub mod ids;
pub mod messages;
pub mod planted;
pub mod random;
pub mod shape;
pub mod values;
pub mod wire;
