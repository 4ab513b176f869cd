//! Programs that run to their end: input goes in, output and exit code come out. None outlives its deadline.

use std::{
    ffi::OsStr,
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
};

/// The longest that a program may run, in seconds, on a machine that is busy with other tests.
const RUN_SECONDS_MAX: &str = "180";

/// What a program did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; 124 when it did not end in time.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output as text.
    ///
    /// # Panics
    /// When it is no UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("the program writes text")
    }

    /// The result of a program that has to succeed.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "the program failed: {}", self.stderr);
        self
    }
}

/// A program that is stopped at its deadline.
#[must_use]
pub fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", RUN_SECONDS_MAX]).arg(path);
    command
}

/// Runs a program on `input` and waits for its end.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(command: &mut Command, input: &[u8]) -> Ran {
    // A file, since a pipe would have to be filled while the output is read.
    let mut stdin = tempfile::tempfile().expect("a temporary file can be made");
    stdin.write_all(input).expect("a temporary file can be written");
    stdin.seek(SeekFrom::Start(0)).expect("a file can be read from its start");
    let output = command.stdin(Stdio::from(stdin)).output().expect("the program can be started");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A file of the repository, by its path from the root.
#[must_use]
pub fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
