//! The rules of KIP-848 one by one, and random groups.

mod classic_members;
mod limits;
mod random;
mod rules;
mod support;
