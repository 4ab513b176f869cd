//! What has a configuration, and how a client changes it: the part that AlterConfigs and IncrementalAlterConfigs share.
//! Configurations of topics and of groups can be changed by clients; whatever cannot be is refused by name, never
//! passed over.

use std::collections::{BTreeMap, BTreeSet};

use ebb_archive::ValueReader;
use ebb_metastore::{
    command::Command,
    limits::GROUP_ID_BYTES_MAX,
    state::{
        config::{ConfigKey, ConfigKind, TOPIC_CONFIGS, TopicSettings, list},
        group_config::{GROUP_CONFIGS, GroupSettings},
    },
};
use ebb_protocol::{error::ResponseError, ids::GroupId, messages::StrBytes};

use super::{Call, errors::Failure, topics::Named};

/// Resource types (KIP-133, KIP-412, KIP-714, KIP-848).
pub(super) const RESOURCE_TOPIC: i8 = 2;
pub(super) const RESOURCE_BROKER: i8 = 4;
pub(super) const RESOURCE_BROKER_LOGGER: i8 = 8;
pub(super) const RESOURCE_CLIENT_METRICS: i8 = 16;
pub(super) const RESOURCE_GROUP: i8 = 32;

/// Operations on a key (KIP-339).
pub(super) const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// The keys of a topic that say how its values are written.
const VALUE_KEYS: &str = "archive.value.";

/// A resource, and what a client wants to change of its configuration.
#[derive(Clone, Debug)]
pub(super) struct Alteration {
    pub(super) kind: i8,
    pub(super) name: StrBytes,
    /// Whether keys that are not named go back to their defaults.
    pub(super) replaces: bool,
    pub(super) changes: Vec<Change>,
}

/// A change of one key.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) key: StrBytes,
    /// One of Kafka's numbers for operations.
    pub(super) operation: i8,
    pub(super) value: Option<StrBytes>,
}

/// Makes the alterations, or only checks them. Each is made whole or not at all; the answers are in their order.
pub(super) async fn alter_all(
    call: &Call,
    alterations: &[Alteration],
    validate_only: bool,
) -> Vec<Result<(), Failure>> {
    let mut results = Vec::with_capacity(alterations.len());
    let mut mentions: BTreeMap<(i8, &str), usize> = BTreeMap::new();
    for wanted in alterations {
        *mentions.entry((wanted.kind, &*wanted.name)).or_default() += 1;
    }
    for wanted in alterations {
        let result = if mentions.get(&(wanted.kind, &*wanted.name)) != Some(&1) {
            Err(invalid("the resource is named more than once"))
        } else {
            alter(call, wanted, validate_only).await
        };
        results.push(result);
    }
    results
}

async fn alter(call: &Call, wanted: &Alteration, validate_only: bool) -> Result<(), Failure> {
    match wanted.kind {
        RESOURCE_TOPIC => alter_topic(call, wanted, validate_only).await,
        RESOURCE_BROKER => {
            check_broker(call, &wanted.name)?;
            refuse_all(wanted, "an agent's settings come from its command line")
        }
        RESOURCE_GROUP => alter_group(call, wanted, validate_only).await,
        RESOURCE_BROKER_LOGGER => {
            Err(invalid("log levels are set by the agent's command line, not by clients"))
        }
        RESOURCE_CLIENT_METRICS => {
            Err(invalid("no metrics of clients are collected, so there is nothing to set"))
        }
        other => Err(unknown_resource(other)),
    }
}

/// Refuses by its name every key that is to be set. Where nothing is set, taking a key back is as good as done: tools do
/// so with throttles.
fn refuse_all(wanted: &Alteration, reason: &str) -> Result<(), Failure> {
    let set = wanted.changes.iter().filter(|change| change.operation != DELETE);
    let keys: Vec<_> = set.map(|change| &*change.key).collect();
    if keys.is_empty() {
        return Ok(());
    }
    Err(invalid(format!("{} cannot be changed: {reason}", keys.join(", "))))
}

async fn alter_topic(call: &Call, wanted: &Alteration, validate_only: bool) -> Result<(), Failure> {
    let topic = call.topic(Named::Name(&wanted.name)).await?;
    let own: BTreeMap<_, _> = topic.config.into_iter().collect();
    let changes = changes(TOPIC_CONFIGS, wanted, &own)?;
    if changes.iter().any(|(key, _)| key.starts_with(VALUE_KEYS)) {
        check_values(&changed(own, &changes))?;
    }
    if validate_only || changes.is_empty() {
        return Ok(());
    }
    submit(call, Command::AlterTopicConfig { topic: topic.id, changes }).await
}

async fn alter_group(call: &Call, wanted: &Alteration, validate_only: bool) -> Result<(), Failure> {
    let group = configured_group(&wanted.name)?;
    let own = group_config(call, &group).await?;
    let changes = changes(GROUP_CONFIGS, wanted, &own)?;
    let agents = call.handlers.groups.config().consumer;
    GroupSettings::new(&changed(own, &changes))
        .check(agents.session_timeout_ms, agents.heartbeat_interval_ms)?;
    if validate_only || changes.is_empty() {
        return Ok(());
    }
    submit(call, Command::AlterGroupConfig { group, changes }).await
}

/// The group that a resource names.
pub(super) fn configured_group(name: &str) -> Result<GroupId, Failure> {
    match name.len() {
        0 => Err(invalid("a group's name is not empty")),
        1..=GROUP_ID_BYTES_MAX => Ok(name.into()),
        _ => Err(invalid(format!("a group's name has at most {GROUP_ID_BYTES_MAX} bytes"))),
    }
}

/// What is set of a group's configuration, whichever agent was told.
pub(super) async fn group_config(call: &Call, group: &GroupId) -> Result<BTreeMap<String, String>, Failure> {
    let metastore = call.broker().metastore();
    metastore.tail_check().await?;
    Ok(metastore.read(|state| state.group_config(group).cloned().unwrap_or_default()))
}

/// What is wanted, as changes of keys in the table that a resource of its kind has. `own` is what it has set.
fn changes(
    table: &'static [ConfigKey],
    wanted: &Alteration,
    own: &BTreeMap<String, String>,
) -> Result<Vec<(String, Option<String>)>, Failure> {
    let mut named = BTreeSet::new();
    let mut changes = Vec::with_capacity(wanted.changes.len());
    for change in &wanted.changes {
        let key = ConfigKey::find(table, &change.key)?;
        if !named.insert(key.name) {
            return Err(invalid(format!("{} config {} is named more than once", key.owner, key.name)));
        }
        let value = value(key, change, own)?;
        if let Some(value) = &value {
            key.check(value)?;
        }
        changes.push((key.name.to_owned(), value));
    }
    if wanted.replaces {
        let rest = own.keys().filter(|name| !named.contains(name.as_str()));
        changes.extend(rest.map(|name| (name.clone(), None)));
    }
    Ok(changes)
}

/// Checks whether a topic's values can be read as its configuration says, which takes several keys to know.
pub(super) fn check_values(config: &BTreeMap<String, String>) -> Result<(), Failure> {
    let Some(format) = TopicSettings::new(config).values else { return Ok(()) };
    let failed = |error| invalid(format!("invalid value for topic config archive.value.schema: {error}"));
    ValueReader::new(&format).map(drop).map_err(failed)
}

/// A configuration after changes.
fn changed(
    mut config: BTreeMap<String, String>,
    changes: &[(String, Option<String>)],
) -> BTreeMap<String, String> {
    for (key, value) in changes.iter().cloned() {
        match value {
            Some(value) => config.insert(key, value),
            None => config.remove(&key),
        };
    }
    config
}

async fn submit(call: &Call, command: Command) -> Result<(), Failure> {
    call.submit(vec![command]).await.into_iter().try_for_each(|result| result.map(|_| ()))
}

/// The key's new value; none takes it back to its default.
fn value(
    key: &ConfigKey,
    change: &Change,
    own: &BTreeMap<String, String>,
) -> Result<Option<String>, Failure> {
    let missing = || invalid(format!("{} config {} needs a value", key.owner, key.name));
    let given = || change.value.as_deref().ok_or_else(missing);
    let present = || list(own.get(key.name).map_or(key.default, String::as_str));
    match change.operation {
        SET => Ok(Some(given()?.to_owned())),
        DELETE => Ok(None),
        APPEND | SUBTRACT if !matches!(key.kind, ConfigKind::List(_)) => {
            let message = format!("{} config {} is no list: set or delete it", key.owner, key.name);
            Err(Failure::new(ResponseError::InvalidConfig, message))
        }
        APPEND => {
            let mut words: Vec<_> = present().collect();
            for word in list(given()?) {
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            Ok(Some(words.join(",")))
        }
        SUBTRACT => {
            let gone: Vec<_> = list(given()?).collect();
            Ok(Some(present().filter(|word| !gone.contains(word)).collect::<Vec<_>>().join(",")))
        }
        other => Err(invalid(format!("config operation {other} is not known: use 0 to 3"))),
    }
}

/// Checks that a broker's name means this agent: its own number, or the empty name for all brokers.
pub(super) fn check_broker(call: &Call, name: &str) -> Result<(), Failure> {
    let own = call.placement().controller().0;
    if name.is_empty() || name.parse() == Ok(own) {
        return Ok(());
    }
    Err(invalid(format!("this is broker {own}: ask broker {name:?} itself, or leave the name empty")))
}

pub(super) fn unknown_resource(kind: i8) -> Failure {
    invalid(format!("resource type {kind} has no configuration: name a topic, a broker or a group"))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(ResponseError::InvalidRequest, message)
}
