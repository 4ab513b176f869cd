//! Links in Markdown files that lead somewhere in the repository, and whether they arrive.

use std::{fs, path::Path};

use super::{File, Finding};

/// Links of a Markdown file to files or headings that do not exist.
#[must_use]
pub fn check(root: &Path, file: &File) -> Vec<Finding> {
    let folder = root.join(&file.path).parent().expect("a file lies in a folder").to_owned();
    let mut findings = Vec::new();
    for (number, target) in links(&file.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let text = if path.is_empty() {
            file.text.clone()
        } else if !folder.join(path).exists() {
            findings.push(file.finding(number, format!("the link to {target} leads nowhere")));
            continue;
        } else {
            // A folder, or a file that is no text, has no headings.
            fs::read_to_string(folder.join(path)).unwrap_or_default()
        };
        if !anchor.is_empty() && !headings(&text).any(|heading| heading == anchor) {
            findings.push(
                file.finding(number, format!("the link to {target} names a heading that is not there")),
            );
        }
    }
    findings
}

/// The targets of the inline links, each with its line. What stands in code is no link.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        // Every second part lies between backquotes.
        for part in line.split('`').step_by(2) {
            for (at, opening) in part.match_indices("](") {
                let target = &part[at + opening.len()..];
                if let Some((target, _)) = target.split_once(')') {
                    links.push((number, target.trim()));
                }
            }
        }
    }
    links
}

/// The anchors that GitHub gives a text's headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}

/// The lines outside fenced code, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_links_that_lead_nowhere() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::write(folder.path().join("b.md"), "# Life of a *produce*\n").expect("a file can be written");
        let check = |text: &str, expected: usize| {
            let file = File { path: "a.md".to_owned(), text: text.to_owned() };
            assert_eq!(super::check(folder.path(), &file).len(), expected, "{text}");
        };
        check("[b](b.md) and [there](b.md#life-of-a-produce) and [out](https://example.org)\n", 0);
        check("# Top\n[up](#top)\n", 0);
        check("[c](c.md)\n", 1);
        check("[b](b.md#death)\n", 1);
        check("[up](#top)\n", 1);
        check("`a[0](c)` is code\n```\n[c](c.md)\n```\n", 0);
    }
}
