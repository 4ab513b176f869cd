//! Settings by their environment variables: those that the command line reads, and those that documents and
//! deployment files name.

use std::collections::BTreeSet;

use super::{File, Finding};

/// How every setting's variable begins.
const PREFIX: &str = "EBB_";
/// Variables of the tests, which the command line does not read.
const TESTS: &str = "EBB_TEST_";

/// The variables that the command line's sources declare with clap's `env = "..."`.
pub fn known<'a>(sources: impl Iterator<Item = &'a File>) -> BTreeSet<String> {
    sources
        .flat_map(|file| file.text.split("env = \"").skip(1))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Variables that a file names and the command line does not know.
#[must_use]
pub fn check(file: &File, known: &BTreeSet<String>) -> Vec<Finding> {
    let part = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let unknown = |name: &&str| {
        name.starts_with(PREFIX) && *name != PREFIX && !name.starts_with(TESTS) && !known.contains(*name)
    };
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for name in line.split(part).filter(unknown) {
            findings.push(file.finding(number, format!("no command reads {name}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_settings_that_nobody_reads() {
        let file = |text: &str| File { path: "a".to_owned(), text: text.to_owned() };
        let source = file("#[arg(long, env = \"EBB_STORE\")]");
        let known = known([&source].into_iter());
        let check =
            |text: &str, expected: usize| assert_eq!(super::check(&file(text), &known).len(), expected);
        check("EBB_STORE: s3://a and EBB_* and EBB_TEST_MINIO", 0);
        check("EBB_STOR: s3://a", 1);
    }
}
