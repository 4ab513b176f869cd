//! Checks of the repository itself: what the compiler and clippy do not see. Each check gives findings, and a test
//! fails with them. Knows nothing of how the product works.

pub mod commands;
pub mod crates;
pub mod dockerfile;
pub mod markdown;
pub mod settings;
pub mod sources;
pub mod words;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// Names of what is no source of ours: directories, and the file by which a worktree finds its repository.
const SKIPPED: [&str; 6] = [".git", "target", "ebb-data", "corpus", "artifacts", "__pycache__"];

/// Something that a check does not like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the repository's root.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A text file of the repository.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path, relative to the repository's root.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl File {
    /// A finding on a line, which is counted from 1.
    #[must_use]
    pub fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }

    /// The part of the name after the last dot; empty when there is none.
    #[must_use]
    pub fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(|extension| extension.to_str()).unwrap_or_default()
    }
}

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository").to_owned()
}

/// The repository's text files, sorted by path. What is not UTF-8 is not text.
///
/// # Panics
/// When the repository cannot be read.
#[must_use]
pub fn files() -> Vec<File> {
    let root = root();
    let mut directories = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("the repository can be read") {
            let entry = entry.expect("the repository can be read");
            let kind = entry.file_type().expect("the entry was just listed");
            if SKIPPED.iter().any(|skipped| *skipped == entry.file_name()) {
                continue;
            }
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                let path = entry.path();
                let path = path.strip_prefix(&root).expect("the walk began at the root");
                files.push(File { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}
