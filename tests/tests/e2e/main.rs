//! End to end: the real binary as a process, real clients, real kills. `tests/run --test e2e` builds what it needs.

mod archive;
mod bad_input;
mod catalog;
mod clients;
mod cluster;
mod compaction;
mod contract;
mod crash;
mod flights;
mod groups;
mod hours;
mod idle;
mod kcat;
mod members;
mod memberships;
mod merging;
mod patterns;
mod positions;
mod rebalances;
mod remote;
mod retention;
mod sharing;
mod streams;
mod tools;
mod tunnel;
