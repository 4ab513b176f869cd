//! Tests of the crate from outside: the format and the store.

mod format;
mod store;
mod support;
