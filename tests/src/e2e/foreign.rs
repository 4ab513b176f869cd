//! Kafka clients that are not ours: kcat, and confluent-kafka for Python.

use std::{ffi::OsStr, net::SocketAddr, path::PathBuf};

use super::program::{Ran, program, repository, run};
use crate::tools::Tool;

/// kcat against one broker.
#[derive(Debug)]
pub struct Kcat {
    program: PathBuf,
    broker: String,
}

impl Kcat {
    /// kcat for `test`; `None` when it is not installed.
    #[must_use]
    pub fn find(test: &str, broker: SocketAddr) -> Option<Self> {
        Some(Self { program: Tool::Kcat.find(test)?, broker: broker.to_string() })
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Ran {
        run(program(&self.program).args(["-b", &self.broker]).args(arguments), input)
    }
}

/// The scripts below `tests/python`, with an interpreter that has confluent-kafka.
#[derive(Debug)]
pub struct Python {
    program: PathBuf,
}

impl Python {
    /// The interpreter for `test`; `None` when it is not installed.
    #[must_use]
    pub fn find(test: &str) -> Option<Self> {
        Some(Self { program: Tool::Python.find(test)? })
    }

    /// The interpreter's path.
    #[must_use]
    pub fn path(&self) -> &OsStr {
        self.program.as_os_str()
    }

    /// Runs a script below `tests/python`.
    #[must_use]
    pub fn run(&self, script: &str, arguments: &[&str], input: &[u8]) -> Ran {
        let script = repository("tests/python").join(script);
        run(program(&self.program).arg(script).args(arguments), input)
    }
}
