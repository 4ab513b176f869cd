//! What a person or a script reads: one line for an error, tables or JSON for a listing, and the exit code.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

/// A command that failed: one line that names the thing and the remedy. Exit code 1.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }

    /// Prefixes an error with what was being done, as in `with("topic flights")`.
    pub(crate) fn with<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints the failure, if there is one, and gives the exit code.
pub(crate) fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing can be done when standard error is closed.
            let _ = writeln!(io::stderr(), "ebb: {failure}");
            ExitCode::from(1)
        }
    }
}

/// Prints lines to standard output; a reader that went away ends the program quietly, as `head` expects.
pub(crate) fn line(text: impl fmt::Display) -> Result<(), Failure> {
    written(writeln!(io::stdout().lock(), "{text}"))
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::with("json"))?;
    line(text)
}

/// Maps the outcome of a write to standard output.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(Failure::with("standard output")),
    }
}

/// Says something to a person, on standard error, so that it does not mix with data.
pub(crate) fn note(text: impl fmt::Display) {
    // Nothing can be done when standard error is closed.
    let _ = writeln!(io::stderr(), "{text}");
}
