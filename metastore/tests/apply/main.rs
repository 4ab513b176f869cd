//! Tests of `apply`: tables per command, and random sequences of commands against a naive model.

mod agents;
mod commit;

mod objects;
mod producers;

mod support;
mod topics;
