//! The commands that documents show, so that a test can ask the program whether it knows them. Splits a line as a
//! shell does, as far as documents need it.

/// The commands in a Markdown text's fenced code, each with its line, counted from 1, and its words. Pipelines and
/// lists are taken apart; redirections stay words.
#[must_use]
pub fn commands(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut in_code = false;
    let mut commands = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if in_code {
            commands.extend(split(line).into_iter().map(|words| (number, words)));
        }
    }
    commands
}

/// The arguments that a command gives to `ebb`, however it is started; `None` for another program.
#[must_use]
pub fn arguments_of_ebb(words: &[String]) -> Option<&[String]> {
    let words = match words {
        [program, rest @ ..] if program == "ebb" || program.ends_with("/ebb") => rest,
        [cargo, run, rest @ ..] if cargo == "cargo" && run == "run" => {
            let separator = rest.iter().position(|word| word == "--")?;
            &rest[separator + 1..]
        }
        _ => return None,
    };
    let end = words.iter().position(|word| word.starts_with('>') || word.starts_with('<'));
    Some(&words[..end.unwrap_or(words.len())])
}

/// Splits a line into commands at `|`, `;` and `&`, and commands into words. Quotes group, `#` begins a comment.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c == '#' && word.is_none() => break,
            None if c.is_whitespace() || matches!(c, '|' | ';' | '&') => {
                let command = commands.last_mut().expect("there is always a last command");
                command.extend(word.take());
                if !c.is_whitespace() {
                    commands.push(Vec::new());
                }
            }
            None => word.get_or_insert_default().push(c),
        }
    }
    commands.last_mut().expect("there is always a last command").extend(word);
    commands.retain(|command| !command.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_out_of_code() {
        let check = |text: &str, expected: &[&[&str]]| {
            let found: Vec<Vec<String>> = commands(&format!("ebb prose\n```sh\n{text}\n```\n"))
                .into_iter()
                .filter_map(|(_, words)| arguments_of_ebb(&words).map(<[String]>::to_vec))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("ebb topic list", &[&["topic", "list"]]);
        check("cat a | ebb produce t -K '|' # ebb comment", &[&["produce", "t", "-K", "|"]]);
        check("target/release/ebb dev & ebb fsck > out", &[&["dev"], &["fsck"]]);
        check("cargo run --release -- dev", &[&["dev"]]);
        check("kcat -L", &[]);
    }
}
