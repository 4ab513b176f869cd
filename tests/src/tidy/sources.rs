//! Rules for a Rust file: it says what it is, is not too long, polls in a fixed order, and nothing in it waits to
//! be written. Functions that are too long are clippy's to find.

use super::{File, Finding};

/// A file longer than this should be split by responsibility.
pub const LINES_GOOD: usize = 500;
/// A file must not be longer than this.
pub const LINES_MAX: usize = 800;

// Put together from parts, so that this file does not find itself.
const UNFINISHED: [&str; 4] =
    [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME"), concat!("TO", "DO")];
const IGNORED: &str = concat!("#[ig", "nore");
const SELECT: &str = concat!("sel", "ect!");

// Kafka's messages as structs. What lies below the handlers works with ids, batches and coordinates.
const WIRE: [&str; 2] = [concat!("kafka_", "protocol"), concat!("protocol::", "messages")];
const WITHOUT_WIRE: [&str; 6] = [
    "agent/coordinator/",
    "agent/segment/",
    "agent/src/broker/",
    "agent/src/groups/",
    "compactor/",
    "metastore/",
];

/// Places where code that must not know Kafka's messages names them.
#[must_use]
pub fn check_wire(file: &File) -> Vec<Finding> {
    if !WITHOUT_WIRE.iter().any(|folder| file.path.starts_with(folder)) {
        return Vec::new();
    }
    (1..)
        .zip(file.text.lines())
        .filter(|(_, line)| {
            WIRE.iter().any(|wire| line.contains(wire)) || line.trim().starts_with("messages::")
        })
        .map(|(number, _)| file.finding(number, "Kafka's messages end in the handlers: take ids and batches"))
        .collect()
}

/// What is wrong with a Rust file.
#[must_use]
pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.text.starts_with("//!") {
        findings.push(file.finding(1, "begin the file with `//!`: what it owns and what it must not know"));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        findings.push(file.finding(lines, format!("{lines} lines: split it by responsibility")));
    }
    for (number, line) in (1..).zip(file.text.lines()) {
        if let Some(word) = UNFINISHED.iter().find(|word| line.contains(*word)) {
            findings.push(file.finding(number, format!("`{word}` is left: finish it")));
        }
        if line.contains(IGNORED) {
            findings.push(file.finding(number, "an ignored test proves nothing: make it run or remove it"));
        }
    }
    findings.extend(unordered_selects(file));
    findings
}

/// Places where tokio would pick a ready branch at random, so that a seed would not replay.
fn unordered_selects(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (start, _) in file.text.match_indices(SELECT) {
        let before = file.text[..start].lines().next_back().unwrap_or_default();
        let body = file.text[start + SELECT.len()..].trim_start();
        let Some(body) = body.strip_prefix('{') else { continue };
        if !before.contains("//") && !body.trim_start().starts_with("biased;") {
            let line = file.text[..start].lines().count().max(1);
            findings.push(file.finding(line, "begin the body of `select` with `biased;`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_edge_knows_kafkas_messages() {
        let check = |path: &str, expected: usize| {
            let file = File { path: path.to_owned(), text: format!("//! A.\nuse {}::a;\n", WIRE[0]) };
            assert_eq!(check_wire(&file).len(), expected, "{path}");
        };
        check("agent/src/handlers/fetch.rs", 0);
        check("agent/src/broker/mod.rs", 1);
        check("metastore/src/lib.rs", 1);
    }

    #[test]
    fn finds_what_a_rust_file_must_not_be() {
        let check = |text: &str, expected: &[usize]| {
            let file = File { path: "a.rs".to_owned(), text: text.to_owned() };
            let lines: Vec<usize> = super::check(&file).iter().map(|finding| finding.line).collect();
            assert_eq!(lines, expected, "{text}");
        };
        check("//! A file.\n", &[]);
        check("fn a() {}\n", &[1]);
        check(&format!("//! A.\nfn a() {{ {}) }}\n", UNFINISHED[0]), &[2]);
        check(&format!("//! A.\n\n{}]\n", IGNORED), &[3]);
        check(&format!("//! A.\ntokio::{SELECT} {{\n    biased;\n}}\n"), &[]);
        check(&format!("//! A.\ntokio::{SELECT} {{\n    a = b => {{}}\n}}\n"), &[2]);
        check(&format!("//! A.\n{}", "\n".repeat(LINES_MAX)), &[LINES_MAX + 1]);
    }
}
