//! Words that have no place in the repository, since it speaks of the product alone: paths of one machine, hosts of
//! package registries, papers that a reader of the repository cannot open.

use super::{File, Finding};

// Put together from parts, so that this file does not find itself.
const WORDS: [(&str, &str); 14] = [
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/tm", "p/brief"), "a path of one machine"),
    (concat!("/tm", "p/setup"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("index.cra", "tes.io"), "the host of a registry"),
    (concat!("proxy.gol", "ang.org"), "the host of a registry"),
    (concat!("pyp", "i.org"), "the host of a registry"),
    (concat!("DESIGN", ".md"), "a paper outside the repository"),
    (concat!("DESIGN", " section"), "a paper outside the repository"),
    (concat!("STYLE", ".md"), "a paper outside the repository"),
    (concat!("KAFKA", ".md"), "a paper outside the repository"),
    (concat!("FAULTS", " "), "a paper outside the repository"),
    (concat!("FAULTS", ".md"), "a paper outside the repository"),
    (concat!("FIGURES", ".md"), "a paper outside the repository"),
];

/// Forbidden words in a file, each with the reason.
#[must_use]
pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for (word, reason) in WORDS {
            if line.contains(word) {
                findings.push(file.finding(number, format!("`{word}` is {reason}: leave it out")));
            }
        }
        if names_an_issue(line) {
            findings
                .push(file.finding(number, "an issue's number says nothing here: write the reason itself"));
        }
    }
    findings
}

/// True for "issue" followed by a number.
fn names_an_issue(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.match_indices("issue ").any(|(at, word)| {
        let rest = line[at + word.len()..].trim_start_matches('#');
        rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_words_that_do_not_belong() {
        let check = |text: &str, expected: usize| {
            let file = File { path: "a.md".to_owned(), text: text.to_owned() };
            assert_eq!(super::check(&file).len(), expected, "{text}");
        };
        check("an issue of time, and https://crates.io\n", 0);
        check(&format!("see {}shared\n", WORDS[0].0), 1);
        check(&format!("as iss{} asks\nand Iss{} too\n", "ue 12", "ue #3"), 2);
        check(&format!("see {}5\n", WORDS[8].0), 1);
    }
}
