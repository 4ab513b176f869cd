//! What the tests of the whole product share: the tools they find, the servers they start, and the tidy checks.

pub mod check;
pub mod compatibility;
pub mod e2e;
pub mod s3;
pub mod sim;
pub mod tidy;
pub mod tools;
