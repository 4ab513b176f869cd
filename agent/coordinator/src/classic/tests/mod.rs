//! The classic protocol under test: its rules one by one, and at random.

mod join;
mod random;
mod statics;
mod support;
mod sync;
