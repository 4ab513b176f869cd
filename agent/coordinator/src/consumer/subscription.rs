//! From subscriptions to topics: names and regular expressions on one side, ids and partition counts on the other.
//! Knows members only by what they subscribe to.
//!
//! Regular expressions are those of RE2, as KIP-848 wants, and match a topic's whole name. They are matched in time
//! linear in the name, whatever the expression; its own size is limited here.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use ebb_metastore::command::ConsumerMember;
use ebb_protocol::ids::{TopicId, TopicName};
use regex::bytes::{Regex, RegexBuilder};

use crate::{GroupError, Topics};

/// The longest regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 4096;

/// The largest compiled regular expression, in bytes.
const REGEX_PROGRAM_BYTES_MAX: usize = 1 << 20;

/// A subscription as a member wrote it: names, and a regular expression.
type Written<'a> = (&'a [String], Option<&'a str>);

/// What the members of a group subscribe to.
pub(super) struct Subscriptions {
    /// The existing topics of each member, in the order of the members; equal subscriptions share one set.
    pub(super) members: Vec<Rc<BTreeSet<TopicId>>>,
    /// The partition counts of all topics that some member subscribes to.
    pub(super) counts: BTreeMap<TopicId, i32>,
}

impl Subscriptions {
    /// Looks the members' subscriptions up. Each distinct one is looked up once.
    pub(super) fn resolve<'a>(
        members: impl Iterator<Item = &'a ConsumerMember>,
        topics: &dyn Topics,
    ) -> Self {
        let mut all_names: Option<Vec<TopicName>> = None;
        let mut counts = BTreeMap::new();
        let mut known: BTreeMap<Written<'_>, Rc<BTreeSet<TopicId>>> = BTreeMap::new();
        let mut resolve = |member: &'a ConsumerMember| {
            let key = (member.topics.as_slice(), member.regex.as_deref());
            let lookup = || {
                let mut ids = BTreeSet::new();
                let mut add = |name: &str| {
                    if let Some((topic, count)) = topics.by_name(name) {
                        ids.insert(topic);
                        counts.insert(topic, count);
                    }
                };
                member.topics.iter().for_each(|name| add(name));
                // One that does not compile matches nothing: it was checked when it came.
                if let Some(Ok(regex)) = member.regex.as_deref().map(compile) {
                    let names = all_names.get_or_insert_with(|| topics.names());
                    names
                        .iter()
                        .map(TopicName::as_str)
                        .filter(|name| regex.is_match(name.as_bytes()))
                        .for_each(add);
                }
                Rc::new(ids)
            };
            Rc::clone(known.entry(key).or_insert_with(lookup))
        };
        let members = members.map(&mut resolve).collect();
        Self { members, counts }
    }

    /// True when the targets cover all partitions of the topics and no others: then no topic has come, gone or grown.
    pub(super) fn are_covered_by<'a>(&self, members: impl Iterator<Item = &'a ConsumerMember>) -> bool {
        let mut covered: BTreeMap<TopicId, i32> = BTreeMap::new();
        for (topic, partitions) in members.flat_map(|member| &member.target) {
            *covered.entry(*topic).or_default() += i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        }
        covered == self.counts
    }
}

/// True when the member subscribes to the topic.
pub(super) fn subscribes(member: &ConsumerMember, topic: &str) -> bool {
    let matches = |pattern: &str| compile(pattern).is_ok_and(|regex| regex.is_match(topic.as_bytes()));
    member.topics.iter().any(|name| name == topic) || member.regex.as_deref().is_some_and(matches)
}

/// Checks a regular expression.
///
/// # Errors
/// [`GroupError::InvalidRegularExpression`] with the reason.
pub(super) fn check(pattern: &str) -> Result<(), GroupError> {
    compile(pattern).map(drop)
}

fn compile(pattern: &str) -> Result<Regex, GroupError> {
    if pattern.len() > REGEX_BYTES_MAX {
        let reason = format!("it has more than {REGEX_BYTES_MAX} bytes");
        return Err(GroupError::InvalidRegularExpression(reason));
    }
    let pattern = without_quotes(pattern);
    // Topic names are ASCII, and so are RE2's classes like \d and \w.
    let build = |pattern: &str| {
        RegexBuilder::new(pattern).unicode(false).size_limit(REGEX_PROGRAM_BYTES_MAX).build().map_err(
            |error| {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                GroupError::InvalidRegularExpression(reason.to_owned())
            },
        )
    };
    // By itself first: parentheses that do not match must not close those around it.
    build(&pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
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
            plain.push_str(&regex::escape(literal));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_match_whole_names() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let member = ConsumerMember { regex: Some(pattern.to_owned()), ..ConsumerMember::default() };
            assert_eq!(subscribes(&member, name), expected, "{pattern} on {name}");
        };
        check("a.*", "abc", true);
        check("a.*", "bac", false);
        check("b", "abc", false);
        check("a|ab", "ab", true);
        check("^ab$", "ab", true);
        check(r"\w+-\d", "a_B-7", true);
        check("(?i)A", "a", true);
        check(r"\Qa.b\E.*", "a.bc", true);
        check(r"\Qa.b\E.*", "axbc", false);
        check(r"a\\Qb", "a", false);
        check("(a*)*", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false);
        check("", "", true);
    }

    #[test]
    fn bad_regular_expressions_are_refused_with_a_reason() {
        let check = |pattern: &str, reason: &str| match super::check(pattern) {
            Err(GroupError::InvalidRegularExpression(text)) => assert!(text.contains(reason), "{text}"),
            other => panic!("{pattern}: {other:?}"),
        };
        check("(", "unclosed group");
        check("a)|(b", "unopened group");
        check("[z-a]", "invalid character class range");
        check(r"(a)\1", "backreferences are not supported");
        check("(?=a)", "look-around");
        check("((a{100}){100}){100}", "size limit");
        check(&"a".repeat(REGEX_BYTES_MAX + 1), "more than");
    }
}
