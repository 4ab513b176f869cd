//! What has a configuration, and how a client changes it: the part that AlterConfigs and IncrementalAlterConfigs share.
//! Only a topic's configuration can be changed by clients; whatever cannot be is refused by name, never passed over.

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::{
    command::Command,
    state::{
        TopicInfo,
        config::{ConfigKey, ConfigKind, list},
    },
};
use ebb_protocol::{error::ResponseError, messages::StrBytes};

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
            refuse_all(
                wanted,
                ResponseError::InvalidRequest,
                "an agent's settings come from its command line",
            )
        }
        RESOURCE_GROUP => {
            refuse_all(wanted, ResponseError::InvalidConfig, "all groups have the settings of the agents")
        }
        RESOURCE_BROKER_LOGGER => {
            Err(invalid("log levels are set by the agent's command line, not by clients"))
        }
        RESOURCE_CLIENT_METRICS => {
            Err(invalid("no metrics of clients are collected, so there is nothing to set"))
        }
        other => Err(unknown_resource(other)),
    }
}

/// Refuses every key by its name; an alteration without any is as good as made.
fn refuse_all(wanted: &Alteration, code: ResponseError, reason: &str) -> Result<(), Failure> {
    if wanted.changes.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = wanted.changes.iter().map(|change| &*change.key).collect();
    Err(Failure::new(code, format!("{} cannot be changed: {reason}", keys.join(", "))))
}

async fn alter_topic(call: &Call, wanted: &Alteration, validate_only: bool) -> Result<(), Failure> {
    let topic = call.topic(Named::Name(&wanted.name)).await?;
    let mut named = BTreeSet::new();
    let mut changes: Vec<(String, Option<String>)> = Vec::with_capacity(wanted.changes.len());
    for change in &wanted.changes {
        let key = ConfigKey::find(&change.key)?;
        if !named.insert(key.name) {
            return Err(invalid(format!("topic config {} is named more than once", key.name)));
        }
        let value = value(key, change, &topic)?;
        if let Some(value) = &value {
            key.check(value)?;
        }
        changes.push((key.name.to_owned(), value));
    }
    if wanted.replaces {
        let rest = topic.config.iter().filter(|(name, _)| !named.contains(name.as_str()));
        changes.extend(rest.map(|(name, _)| (name.clone(), None)));
    }
    if validate_only || changes.is_empty() {
        return Ok(());
    }
    let command = Command::AlterTopicConfig { topic: topic.id, changes };
    call.submit(vec![command]).await.into_iter().try_for_each(|result| result.map(|_| ()))
}

/// The key's new value; none takes it back to its default.
fn value(key: &ConfigKey, change: &Change, topic: &TopicInfo) -> Result<Option<String>, Failure> {
    let missing = || invalid(format!("topic config {} needs a value", key.name));
    let given = || change.value.as_deref().ok_or_else(missing);
    let present = || {
        let own = topic.config.iter().find(|(name, _)| name == key.name);
        list(own.map_or(key.default, |(_, value)| value))
    };
    match change.operation {
        SET => Ok(Some(given()?.to_owned())),
        DELETE => Ok(None),
        APPEND | SUBTRACT if !matches!(key.kind, ConfigKind::List(_)) => {
            let message = format!("topic config {} is no list: set or delete it", key.name);
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
