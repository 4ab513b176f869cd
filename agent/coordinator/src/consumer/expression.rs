//! Regular expressions that members subscribe by (KIP-848): those of RE2, matched against a topic's whole name. Knows
//! neither members nor topics.
//!
//! An expression comes from a client and may be made to take long. So each becomes a deterministic automaton of
//! limited size, once, and one that does not is refused: a name is then matched with one step for each of its bytes,
//! whatever the expression is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use regex_automata::{
    Anchored, Input, MatchKind,
    dfa::{Automaton, StartKind, dense, sparse},
    nfa::thompson::{self, WhichCaptures},
    util::syntax,
};

use crate::GroupError;

/// The longest expression, in bytes.
const PATTERN_BYTES_MAX: usize = 4_096;

/// The largest automaton, and the most that it takes to make it, in bytes each.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;
const WORK_BYTES_MAX: usize = 512 << 10;

/// How many different expressions the members of one group may have. Most groups have one, and a second one while
/// members are replaced.
pub(super) const EXPRESSIONS_MAX: usize = 16;

/// The expressions of a group's members.
#[derive(Debug, Default)]
pub(super) struct Expressions(BTreeMap<String, Expression>);

impl Expressions {
    /// Sees to it that an expression is there.
    ///
    /// # Errors
    /// [`GroupError::InvalidRegularExpression`] with the reason.
    pub(super) fn learn(&mut self, pattern: &str) -> Result<(), GroupError> {
        if self.0.contains_key(pattern) {
            return Ok(());
        }
        if self.0.len() >= EXPRESSIONS_MAX {
            return Err(invalid(format!("the group has {EXPRESSIONS_MAX} different ones already")));
        }
        self.0.insert(pattern.to_owned(), Expression::new(pattern)?);
        Ok(())
    }

    /// Drops those that nobody uses any more.
    pub(super) fn retain(&mut self, used: &BTreeSet<&str>) {
        self.0.retain(|pattern, _| used.contains(pattern.as_str()));
    }

    /// True when an expression matches a topic's name. One that could not be learned matches nothing.
    pub(super) fn matches(&self, pattern: &str, name: &str) -> bool {
        self.0.get(pattern).is_some_and(|expression| expression.matches(name))
    }

    /// What they take in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(pattern, expression)| pattern.len() + expression.0.memory_usage()).sum()
    }
}

/// A compiled expression.
#[derive(Debug)]
struct Expression(sparse::DFA<Vec<u8>>);

impl Expression {
    fn new(pattern: &str) -> Result<Self, GroupError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(invalid(format!("it has more than {PATTERN_BYTES_MAX} bytes")));
        }
        // Topic names are ASCII, and so are RE2's classes like \d and \w.
        let ascii = syntax::Config::new().unicode(false).utf8(false);
        let parsed = syntax::parse_with(&without_quotes(pattern), &ascii).map_err(|error| {
            let text = error.to_string();
            invalid(text.lines().last().unwrap_or_default().trim_start_matches("error: "))
        })?;
        let limits = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(WORK_BYTES_MAX));
        let plan = thompson::Compiler::new().configure(limits).build_from_hir(&parsed);
        let plan = plan.map_err(|error| too_complex(&error))?;
        // All matches, so that an early short one does not hide the one of the whole name.
        let limits = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All)
            .accelerate(false)
            .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .determinize_size_limit(Some(WORK_BYTES_MAX));
        let automaton = dense::Builder::new().configure(limits).build_from_nfa(&plan);
        let automaton = automaton.map_err(|error| too_complex(&error))?;
        automaton.to_sparse().map(Self).map_err(|error| too_complex(&error))
    }

    fn matches(&self, name: &str) -> bool {
        let longest = self.0.try_search_fwd(&Input::new(name).anchored(Anchored::Yes));
        longest.is_ok_and(|end| end.is_some_and(|end| end.offset() == name.len()))
    }
}

fn invalid(reason: impl Into<String>) -> GroupError {
    GroupError::InvalidRegularExpression(reason.into())
}

fn too_complex(error: &impl Display) -> GroupError {
    invalid(format!("it is too complex: {error}"))
}

/// RE2 takes what stands between `\Q` and `\E` literally.
fn without_quotes(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix(r"\Q") {
            let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            literal.chars().for_each(|char| push_escaped(&mut plain, char));
            rest = after;
        } else {
            // The backslash and what it escapes, which may be another backslash.
            let escaped = rest.chars().take(2).map(char::len_utf8).sum();
            plain.push_str(&rest[..escaped]);
            rest = &rest[escaped..];
        }
    }
    plain.push_str(rest);
    plain
}

/// Letters and digits would get a meaning by a backslash, and so would `<` and `>`.
fn push_escaped(pattern: &mut String, char: char) {
    if char.is_ascii_punctuation() && !matches!(char, '<' | '>') {
        pattern.push('\\');
    }
    pattern.push(char);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_whole_names() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let mut known = Expressions::default();
            known.learn(pattern).expect("it compiles");
            assert_eq!(known.matches(pattern, name), expected, "{pattern} on {name}");
        };
        check("a.*", "abc", true);
        check("a.*", "bac", false);
        check("b", "abc", false);
        check("a|ab", "ab", true);
        check("a|ab", "abb", false);
        check("a??b*?", "abb", true);
        check("^ab$", "ab", true);
        check("^a|b$", "b", true);
        check(r"\bab\b", "ab", true);
        check(r"\w+-\d", "a_B-7", true);
        check("(?i)A", "a", true);
        check("(?i:A)b", "aB", false);
        check(r"\Qa.b\E.*", "a.bc", true);
        check(r"\Qa.b\E.*", "axbc", false);
        check(r"\Q[a-z]<b>\d", r"[a-z]<b>\d", true);
        check(r"a\\Qb", "a", false);
        check("(a*)*", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false);
        check("(a|aa)+", &"a".repeat(249), true);
        check(".*[a-z].{10}", "x-0123456789", false);
        check(".*[a-z].{10}", "xy0123456789", true);
        check("", "", true);
        // A list of a hundred names.
        let names: Vec<String> = (0..100).map(|number| format!("team-{number}.orders.v1")).collect();
        check(&names.join("|"), "team-77.orders.v1", true);
        check(&names.join("|"), "team-77.orders.v", false);
    }

    #[test]
    fn bad_expressions_are_refused_with_a_reason() {
        let check = |pattern: &str, reason: &str| match Expressions::default().learn(pattern) {
            Err(GroupError::InvalidRegularExpression(text)) => assert!(text.contains(reason), "{text}"),
            other => panic!("{pattern}: {other:?}"),
        };
        check("(", "unclosed group");
        check("a)|(b", "unopened group");
        check("[z-a]", "invalid character class range");
        check(r"(a)\1", "backreferences are not supported");
        check("(?=a)", "look-around");
        check(&"(".repeat(300), "unclosed group");
        check(&"a".repeat(PATTERN_BYTES_MAX + 1), "more than");
        // What would take long, or much: at the latest the automaton finds out.
        check("((a{100}){100}){100}", "too complex");
        check(&format!("{}{}", "a?".repeat(2_000), "a{2000}"), "too complex");
        check(".*[ab].{40}", "too complex");
        check("(.*a){30}.*[a-z].{200}", "too complex");
        check("(.*[a-m].{9}|.*[n-z].{11}|.*[0-9].{13}){3}", "too complex");
        check("(?i)(.*(x+x+)+y.*){20}[^q]{300}.*[^r]{30}", "too complex");
    }

    #[test]
    fn a_group_has_so_many_different_ones() {
        let mut known = Expressions::default();
        for number in 0..EXPRESSIONS_MAX {
            known.learn(&format!("a{number}")).expect("there is room");
        }
        assert!(matches!(known.learn("b"), Err(GroupError::InvalidRegularExpression(_))));
        assert_eq!(known.learn("a0"), Ok(()), "it is known");
        assert!(known.bytes() > 0);
        known.retain(&["a1"].into());
        assert_eq!((known.learn("b"), known.0.len()), (Ok(()), 2));
        assert!(known.matches("b", "b") && !known.matches("a0", "a0"));
    }
}
