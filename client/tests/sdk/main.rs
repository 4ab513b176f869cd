//! The SDK against a cluster in memory, under paused time.

mod consumer;
mod fake;
mod fake_group;
mod group;
mod group_faults;
mod producer;
