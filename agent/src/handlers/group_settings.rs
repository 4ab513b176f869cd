//! What DescribeConfigs tells of groups: a group's own configuration, and the settings that the coordinator runs with, by
//! the names that Kafka's brokers have for them.

use ebb_coordinator::{GroupConfig, classic::ClassicConfig, consumer::ConsumerConfig};
use ebb_metastore::{
    limits::{OFFSETS_CHECK_MS, OFFSETS_RETENTION_MS},
    state::{
        config::ConfigKey,
        group_config::{GROUP_CONFIGS, HEARTBEAT_INTERVAL_MS, SESSION_TIMEOUT_MS},
    },
};

use super::{
    Call,
    configs::{configured_group, group_config},
    describe_configs::{Entry, INT, LIST, LONG, SOURCE_DEFAULT, SOURCE_GROUP, STRING, kind, read_only},
    errors::Failure,
};

/// What a group has set, and below it what holds where nothing is set.
pub(super) async fn of_group(call: &Call, name: &str) -> Result<Vec<Entry>, Failure> {
    let own = group_config(call, &configured_group(name)?).await?;
    let entry = |key: &ConfigKey| {
        let set = own.get(key.name).map(|value| (key.name, value.clone(), SOURCE_GROUP));
        Entry {
            name: key.name,
            kind: kind(key.kind),
            values: set.into_iter().chain([(key.broker, key.default.to_owned(), SOURCE_DEFAULT)]).collect(),
            read_only: false,
            doc: key.doc.to_owned(),
        }
    };
    Ok(GROUP_CONFIGS.iter().map(entry).collect())
}

/// What the coordinator of groups runs with.
pub(super) fn of_coordinator(config: &GroupConfig) -> Vec<Entry> {
    let protocols =
        fixed("group.coordinator.rebalance.protocols", LIST, "classic,consumer", "The protocols of groups.");
    let all =
        of_classic(&config.classic).into_iter().chain(of_consumer(&config.consumer)).chain(of_offsets());
    all.chain([protocols]).collect()
}

fn of_classic(config: &ClassicConfig) -> [Entry; 4] {
    [
        fixed(
            "group.min.session.timeout.ms",
            INT,
            config.session_timeout_ms_min,
            "The shortest session time-out that a member of the classic protocol may ask for, in milliseconds.",
        ),
        fixed(
            "group.max.session.timeout.ms",
            INT,
            config.session_timeout_ms_max,
            "The longest session time-out that a member of the classic protocol may ask for, in milliseconds.",
        ),
        fixed(
            "group.initial.rebalance.delay.ms",
            INT,
            config.initial_rebalance_delay_ms,
            "How long the first rebalance of an empty group waits for further members, in milliseconds.",
        ),
        fixed(
            "group.max.size",
            INT,
            config.members_max,
            "How many members a group of the classic protocol may have.",
        ),
    ]
}

fn of_consumer(config: &ConsumerConfig) -> Vec<Entry> {
    let of_all = GROUP_CONFIGS.iter().map(|key| fixed(key.broker, INT, key.default, key.doc));
    let bounds = [
        ("group.consumer.min.session.timeout.ms", SESSION_TIMEOUT_MS.0),
        ("group.consumer.max.session.timeout.ms", SESSION_TIMEOUT_MS.1),
        ("group.consumer.min.heartbeat.interval.ms", HEARTBEAT_INTERVAL_MS.0),
        ("group.consumer.max.heartbeat.interval.ms", HEARTBEAT_INTERVAL_MS.1),
    ];
    let bounds =
        bounds.map(|(name, bound)| fixed(name, INT, bound, "What can be set of a group, in milliseconds."));
    let rest = [
        fixed(
            "group.consumer.max.size",
            INT,
            config.members_max,
            "How many members a group of KIP-848 may have.",
        ),
        fixed(
            "group.consumer.assignors",
            LIST,
            "uniform,range",
            "The assignors of groups of KIP-848; the first is used when members ask for none.",
        ),
        fixed(
            "group.consumer.migration.policy",
            STRING,
            "bidirectional",
            "Which way a group may change its protocol while it has members.",
        ),
    ];
    of_all.chain(bounds).chain(rest).collect()
}

fn of_offsets() -> [Entry; 2] {
    [
        fixed(
            "offsets.retention.minutes",
            INT,
            OFFSETS_RETENTION_MS / 60_000,
            "How long the offsets of a group without members are kept, in minutes.",
        ),
        fixed(
            "offsets.retention.check.interval.ms",
            LONG,
            OFFSETS_CHECK_MS,
            "How often groups are looked at for offsets that have expired, in milliseconds.",
        ),
    ]
}

fn fixed(name: &'static str, kind: i8, value: impl ToString, doc: &str) -> Entry {
    read_only(name, kind, value.to_string(), SOURCE_DEFAULT, doc)
}

#[cfg(test)]
mod tests {
    use ebb_metastore::state::group_config::{HEARTBEAT_INTERVAL, SESSION_TIMEOUT};

    use super::*;

    #[test]
    fn the_defaults_that_are_told_are_those_that_groups_run_with() {
        let default = |name| ConfigKey::find(GROUP_CONFIGS, name).map(|key| key.default.parse::<i32>());
        let ConsumerConfig { session_timeout_ms, heartbeat_interval_ms, .. } = ConsumerConfig::default();
        assert_eq!(default(SESSION_TIMEOUT), Ok(Ok(session_timeout_ms)));
        assert_eq!(default(HEARTBEAT_INTERVAL), Ok(Ok(heartbeat_interval_ms)));
    }
}
