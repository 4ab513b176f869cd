//! The sweeper beside real replicas over a bucket in memory, on simulated time: what it deletes, when, and what it
//! must never delete.

mod archives;
mod dead;
mod orphans;
mod projections;
mod support;
