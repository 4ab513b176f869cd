//! The product as its users run it: the real binary, foreign clients and load, each as a process or over the network.
//! Knows nothing of how an agent works inside.

pub mod careless;
pub mod contract;
pub mod crew;
pub mod ebb;
pub mod foreign;
pub mod history;
pub mod http;
pub mod load;
pub mod program;
pub mod tunnel;
