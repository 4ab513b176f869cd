//! A Dockerfile read as instructions, and what must hold for the product's image. Knows the form of the file, not
//! what the commands in it do.

use super::{File, Finding};

/// The instructions of the Dockerfile reference.
const KNOWN: [&str; 17] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// An instruction with its arguments, continued lines joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The line it begins on, counted from 1.
    pub line: usize,
    /// Its name, in capitals.
    pub name: String,
    /// What follows the name.
    pub arguments: String,
}

/// The instructions of a Dockerfile, without comments and empty lines.
#[must_use]
pub fn parse(text: &str) -> Vec<Instruction> {
    let mut instructions: Vec<Instruction> = Vec::new();
    let mut continued = false;
    for (line, content) in (1..).zip(text.lines().map(str::trim)) {
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let ends = !content.ends_with('\\');
        let content = content.trim_end_matches('\\').trim_end();
        match instructions.last_mut().filter(|_| continued) {
            Some(instruction) => instruction.arguments.extend([" ", content]),
            None => {
                let (name, arguments) = content.split_once(' ').unwrap_or((content, ""));
                let (name, arguments) = (name.to_uppercase(), arguments.trim().to_owned());
                instructions.push(Instruction { line, name, arguments });
            }
        }
        continued = !ends;
    }
    instructions
}

/// What is wrong with the Dockerfile of an image that must hold only a static binary.
#[must_use]
pub fn check(file: &File) -> Vec<Finding> {
    let instructions = parse(&file.text);
    let mut findings = Vec::new();
    let mut stages: Vec<String> = Vec::new();
    for Instruction { line, name, arguments } in &instructions {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        match (name.as_str(), words.as_slice()) {
            ("FROM", [image, rest @ ..]) => {
                let earlier = stages.iter().any(|stage| stage == image);
                if *image != "scratch" && !earlier && !image.contains([':', '@']) {
                    findings.push(file.finding(*line, format!("{image} has no version")));
                }
                stages.push(rest.get(1).map_or_else(String::new, |stage| (*stage).to_owned()));
            }
            ("COPY", [from, ..]) if from.starts_with("--from=") => {
                if !stages.iter().any(|stage| format!("--from={stage}") == **from) {
                    findings.push(file.finding(*line, format!("{from} names no earlier stage")));
                }
            }
            ("ENTRYPOINT" | "CMD", _) if serde_json::from_str::<Vec<String>>(arguments).is_err() => {
                findings
                    .push(file.finding(*line, format!("{name} needs a JSON array: the image has no shell")));
            }
            (known, [_, ..]) if KNOWN.contains(&known) => {}
            _ => findings.push(file.finding(*line, format!("{name} is no instruction, or has no argument"))),
        }
    }
    findings.extend(check_last_stage(file, &instructions));
    findings
}

/// The last stage is the image: it starts from nothing and does not run as root.
fn check_last_stage(file: &File, instructions: &[Instruction]) -> Vec<Finding> {
    let Some(start) = instructions.iter().rposition(|instruction| instruction.name == "FROM") else {
        return vec![file.finding(1, "FROM is missing")];
    };
    let last = &instructions[start..];
    let line = last[0].line;
    let of = |name: &str| last.iter().find(|instruction| instruction.name == name);
    let mut findings = Vec::new();
    if last[0].arguments != "scratch" {
        findings.push(file.finding(line, "the image must start FROM scratch"));
    }
    let user = of("USER").map_or("", |user| user.arguments.as_str());
    if !user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)) {
        findings.push(file.finding(line, "the image needs a USER by number that is not root"));
    }
    if of("ENTRYPOINT").is_none() {
        findings.push(file.finding(line, "the image needs an ENTRYPOINT"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "FROM rust:1 AS build\nRUN a && \\\n    b\nFROM scratch\nCOPY --from=build /a /\nUSER 5:5\nENTRYPOINT [\"/a\"]\n";

    #[test]
    fn lines_are_joined_into_instructions() {
        let run = &parse(GOOD)[1];
        assert_eq!((run.line, run.name.as_str(), run.arguments.as_str()), (2, "RUN", "a && b"));
    }

    #[test]
    fn finds_what_the_image_must_not_be() {
        let check = |from: &str, to: &str, expected: usize| {
            let text = GOOD.replace(from, to);
            assert!(from.is_empty() || text != GOOD, "{from} stands in the example");
            let file = File { path: "Dockerfile".to_owned(), text };
            let findings = super::check(&file);
            assert_eq!(findings.len(), expected, "{to}: {findings:?}");
        };
        check("", "", 0);
        check("rust:1", "rust", 1);
        check("scratch", "debian:12", 1);
        check("--from=build", "--from=built", 1);
        check("USER 5:5", "USER 0", 1);
        check("USER 5:5\n", "", 1);
        check("[\"/a\"]", "/a", 1);
        check("RUN a", "RUNN a", 1);
    }
}
