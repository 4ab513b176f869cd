//! Kafka clients that are not ours: kcat, and confluent-kafka for Python.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::NamedTempFile;

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

    /// Starts a member of a group that reads a topic from its start.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn follow(&self, group: &str, topic: &str) -> KcatMember {
        let file = || NamedTempFile::new().expect("a temporary file can be made");
        let (records, notes) = (file(), file());
        let open = |file: &NamedTempFile| file.reopen().expect("the file was just made");
        let child = Command::new(&self.program)
            .args([
                "-b",
                &self.broker,
                "-X",
                "auto.offset.reset=earliest",
                "-u",
                "-f",
                "%p %o\n",
                "-G",
                group,
            ])
            .arg(topic)
            .stdin(Stdio::null())
            .stdout(open(&records))
            .stderr(open(&notes))
            .spawn()
            .expect("kcat can be started");
        KcatMember { child, records, notes }
    }
}

/// The scripts below `tests/python`, with an interpreter that has confluent-kafka.
#[derive(Debug)]
pub struct Python {
    program: PathBuf,
    env: Vec<(String, String)>,
}

impl Python {
    /// The interpreter for `test`; `None` when it is not installed.
    #[must_use]
    pub fn find(test: &str) -> Option<Self> {
        Some(Self { program: Tool::Python.find(test)?, env: Vec::new() })
    }

    /// The same with these variables in its environment.
    #[must_use]
    pub fn env(mut self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(env);
        self
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
        run(program(&self.program).arg(script).args(arguments).envs(self.env.iter().cloned()), input)
    }
}

/// A running kcat that is a member of a group. Dropping it kills it.
#[derive(Debug)]
pub struct KcatMember {
    child: Child,
    records: NamedTempFile,
    notes: NamedTempFile,
}

impl KcatMember {
    /// The partitions that it was given last; none while they are taken away.
    #[must_use]
    pub fn assigned(&self) -> Vec<i32> {
        let notes = fs::read_to_string(self.notes.path()).unwrap_or_default();
        let last = notes.lines().rev().find(|line| line.contains(" rebalanced "));
        let Some((_, partitions)) = last.and_then(|line| line.split_once("assigned: ")) else {
            return Vec::new();
        };
        let number = |part: &str| part.split_once(']')?.0.parse().ok();
        let mut assigned: Vec<i32> = partitions.split('[').filter_map(number).collect();
        assigned.sort_unstable();
        assigned
    }

    /// Partition and offset of each record that it has printed.
    #[must_use]
    pub fn read(&self) -> Vec<(i32, i64)> {
        let printed = fs::read_to_string(self.records.path()).unwrap_or_default();
        let place = |line: &str| {
            let (partition, offset) = line.split_once(' ')?;
            Some((partition.parse().ok()?, offset.parse().ok()?))
        };
        printed.lines().filter_map(place).collect()
    }

    /// Asks it to commit and to leave, without waiting.
    ///
    /// # Panics
    /// When no signal can be sent.
    pub fn leave(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is installed").success(), "the process takes a signal");
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When it failed.
    pub fn has_left(&mut self) -> bool {
        let Some(status) = self.child.try_wait().expect("the process is our child") else { return false };
        assert!(status.success(), "kcat: {}", fs::read_to_string(self.notes.path()).unwrap_or_default());
        true
    }
}

impl Drop for KcatMember {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
