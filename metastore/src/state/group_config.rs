//! Group configuration: Kafka's keys for groups of KIP-848 in one table, and the settings that they make, parsed. Like
//! topics' overrides they are stored unread, and checked before they become commands.

use std::collections::BTreeMap;

use ebb_protocol::ids::GroupId;

use super::{
    State,
    config::{ConfigError, ConfigKey, ConfigKind, ConfigOwner, Effect},
};

/// How long a member may be silent (KIP-848).
pub const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";

/// How often members send heartbeats (KIP-848).
pub const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";

/// The shortest and the longest session time-out of a group, in milliseconds: what members of the classic protocol may
/// have. Brokers of Kafka allow 45 to 60 seconds unless they are told otherwise, and agents cannot be told.
pub const SESSION_TIMEOUT_MS: (i32, i32) = (6_000, 1_800_000);

/// The shortest and the longest heartbeat interval of a group, in milliseconds. Kafka: 5 to 15 seconds.
pub const HEARTBEAT_INTERVAL_MS: (i32, i32) = (1_000, 60_000);

/// Every key that a group's configuration may have. Those of Kafka's share groups and streams groups are not among
/// them, since there are no such groups here.
pub const GROUP_CONFIGS: &[ConfigKey] = &[
    key(
        SESSION_TIMEOUT,
        "group.consumer.session.timeout.ms",
        SESSION_TIMEOUT_MS,
        "45000",
        "After how long without a heartbeat a member is taken for dead, in milliseconds.",
    ),
    key(
        HEARTBEAT_INTERVAL,
        "group.consumer.heartbeat.interval.ms",
        HEARTBEAT_INTERVAL_MS,
        "5000",
        "How often members are told to send heartbeats, in milliseconds.",
    ),
];

const fn key(
    name: &'static str,
    broker: &'static str,
    (min, max): (i32, i32),
    default: &'static str,
    doc: &'static str,
) -> ConfigKey {
    let kind = ConfigKind::Int { min, max };
    ConfigKey { owner: ConfigOwner::Group, name, broker, kind, default, effect: Effect::Works, doc }
}

/// What a group's configuration sets; the agents' settings hold where it sets nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// [`SESSION_TIMEOUT`], in milliseconds.
    pub session_timeout_ms: Option<i32>,
    /// [`HEARTBEAT_INTERVAL`], in milliseconds.
    pub heartbeat_interval_ms: Option<i32>,
}

impl GroupSettings {
    /// The settings of a group with this configuration. What does not hold counts as absent.
    #[must_use]
    pub fn new(config: &BTreeMap<String, String>) -> Self {
        let value = |name: &str| {
            let key = ConfigKey::find(GROUP_CONFIGS, name).ok()?;
            let value = config.get(name).filter(|value| key.check(value).is_ok())?;
            value.parse().ok()
        };
        Self { session_timeout_ms: value(SESSION_TIMEOUT), heartbeat_interval_ms: value(HEARTBEAT_INTERVAL) }
    }

    /// Checks that members can send a heartbeat before they are taken for dead, when `session_timeout_ms` and
    /// `heartbeat_interval_ms` hold where nothing is set.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`]
    pub fn check(&self, session_timeout_ms: i32, heartbeat_interval_ms: i32) -> Result<(), ConfigError> {
        let session = self.session_timeout_ms.unwrap_or(session_timeout_ms);
        let heartbeat = self.heartbeat_interval_ms.unwrap_or(heartbeat_interval_ms);
        if session > heartbeat {
            return Ok(());
        }
        let (greater, less) = ((SESSION_TIMEOUT, session), (HEARTBEAT_INTERVAL, heartbeat));
        Err(ConfigError::Contradiction { greater, less })
    }
}

impl State {
    /// What is set of a group's configuration, whether or not the group exists.
    #[must_use]
    pub fn group_config(&self, group: &GroupId) -> Option<&BTreeMap<String, String>> {
        self.group_configs.get(group)
    }

    /// A group's settings.
    #[must_use]
    pub fn group_settings(&self, group: &GroupId) -> GroupSettings {
        self.group_config(group).map(GroupSettings::new).unwrap_or_default()
    }

    /// The groups that have a configuration, sorted by name.
    pub fn configured_groups(&self) -> impl Iterator<Item = &GroupId> {
        self.group_configs.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn settings_are_what_holds() {
        let set = |pairs: &[(&str, &str)]| {
            let settings = GroupSettings::new(&config(pairs));
            (settings.session_timeout_ms, settings.heartbeat_interval_ms)
        };
        assert_eq!(set(&[]), (None, None));
        assert_eq!(
            set(&[(SESSION_TIMEOUT, "50000"), (HEARTBEAT_INTERVAL, "2000")]),
            (Some(50_000), Some(2_000))
        );
        assert_eq!(set(&[(SESSION_TIMEOUT, "1"), (HEARTBEAT_INTERVAL, "soon")]), (None, None));
        assert_eq!(set(&[("share.session.timeout.ms", "50000")]), (None, None));
    }

    #[test]
    fn a_session_is_longer_than_a_heartbeat() {
        let check = |pairs: &[(&str, &str)]| GroupSettings::new(&config(pairs)).check(45_000, 5_000);
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[(SESSION_TIMEOUT, "6000")]), Ok(()));
        let error = check(&[(HEARTBEAT_INTERVAL, "45000")]).expect_err("no heartbeat comes in time");
        assert_eq!(
            error.to_string(),
            "consumer.session.timeout.ms (45000) must be greater than consumer.heartbeat.interval.ms (45000)"
        );
    }

    #[test]
    fn defaults_hold_and_unknown_keys_are_named() {
        for key in GROUP_CONFIGS {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
        let error = ConfigKey::find(GROUP_CONFIGS, "retention.ms").expect_err("it is a topic's");
        assert_eq!(error.to_string(), "unknown group config \"retention.ms\"");
    }
}
