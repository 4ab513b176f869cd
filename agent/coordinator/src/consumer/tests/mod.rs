//! The rules of KIP-848 one by one, and random groups.

mod random;
mod rules;
mod support;
