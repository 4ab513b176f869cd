//! From subscriptions to topics: names and regular expressions on one side, ids and partition counts on the other.
//! Knows members only by what they subscribe to.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use ebb_metastore::command::ConsumerMember;
use ebb_protocol::ids::{TopicId, TopicName};

use super::{
    expression::Expressions,
    limits::{PARTITIONS_BYTES_MAX, topic_bytes},
};
use crate::Topics;

/// A subscription as a member wrote it: names, and a regular expression.
type Written<'a> = (&'a [String], Option<&'a str>);

/// What the members of a group subscribe to.
pub(super) struct Subscriptions {
    /// The existing topics of each member, in the order of the members; equal subscriptions share one set.
    pub(super) members: Vec<Rc<BTreeSet<TopicId>>>,
    /// The partition counts of all topics that some member subscribes to.
    pub(super) counts: BTreeMap<TopicId, i32>,
    /// There are more than a group may have: the counts are of the first ones alone.
    pub(super) is_cut: bool,
}

impl Subscriptions {
    /// Looks the members' subscriptions up. Each distinct one is looked up once.
    pub(super) fn resolve<'a>(
        members: impl Iterator<Item = &'a ConsumerMember>,
        expressions: &Expressions,
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
                if let Some(pattern) = &member.regex {
                    let names = all_names.get_or_insert_with(|| topics.names()).iter();
                    names
                        .map(TopicName::as_str)
                        .filter(|name| expressions.matches(pattern, name))
                        .for_each(add);
                }
                Rc::new(ids)
            };
            Rc::clone(known.entry(key).or_insert_with(lookup))
        };
        let members = members.map(&mut resolve).collect();
        let is_cut = cut(&mut counts);
        Self { members, counts, is_cut }
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

/// Cuts the topics off that are more than a group may have; true when there are such.
fn cut(counts: &mut BTreeMap<TopicId, i32>) -> bool {
    let before = counts.len();
    let mut bytes = 0_usize;
    counts.retain(|_, count| {
        bytes += topic_bytes(usize::try_from(*count).unwrap_or(0));
        bytes <= PARTITIONS_BYTES_MAX
    });
    counts.len() < before
}

/// True when the member subscribes to the topic.
pub(super) fn subscribes(member: &ConsumerMember, expressions: &Expressions, topic: &str) -> bool {
    let matches = |pattern: &str| expressions.matches(pattern, topic);
    member.topics.iter().any(|name| name == topic) || member.regex.as_deref().is_some_and(matches)
}
