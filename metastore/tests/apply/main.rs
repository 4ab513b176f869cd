//! Tests of `apply`: tables per command, and random sequences of commands against a naive model.

mod agents;
mod archive;
mod claims;
mod commit;
mod forged;
mod groups;
mod groups_limits;
mod groups_random;
mod model;
mod objects;
mod ops;
mod producers;
mod random;
mod retention;
mod support;
mod topics;
