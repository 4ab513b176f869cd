//! Finds the topics that requests name, by name or by id. Knows nothing of any one API.

use ebb_metastore::{
    Submission,
    command::Command,
    outcome::Outcome,
    state::{State, TopicInfo, config::TopicSettings},
};
use ebb_protocol::{
    error::ResponseError,
    ids::{PartitionIndex, TopicId, TopicName},
    messages,
};

use super::{
    Call,
    errors::{Failure, accepted},
};

/// What the data path must know of a topic.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) id: TopicId,
    pub(super) settings: TopicSettings,
}

/// How a request names a topic.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'a> {
    Name(&'a str),
    Id(TopicId),
}

impl<'a> Named<'a> {
    /// By id in versions of an API that have topic ids, by name before.
    pub(super) fn new(has_ids: bool, name: &'a messages::TopicName, id: uuid::Uuid) -> Self {
        if has_ids { Self::Id(TopicId(id)) } else { Self::Name(name) }
    }

    fn unknown(self) -> Failure {
        match self {
            Self::Name(_) => Failure::unknown_topic(),
            Self::Id(_) => Failure::unknown_topic_id(),
        }
    }
}

impl Call {
    /// The topic on the data path, for a request about partitions up to `last`. When the topic or that partition is not
    /// known here, the log's tail is looked at first: another agent may have created it. Which partitions there are is
    /// for the caller to check.
    pub(super) async fn target(&self, named: Named<'_>, last: Option<i32>) -> Result<Target, Failure> {
        let name = match named {
            Named::Name(name) => Some(TopicName::new(name).map_err(|_| named.unknown())?),
            Named::Id(_) => None,
        };
        let look = |state: &State| {
            let id = match (&name, named) {
                (_, Named::Id(id)) => id,
                (name, _) => state.topic_id(name.as_ref()?)?,
            };
            Some(Target { id, settings: state.settings(id)?.clone() })
        };
        let metastore = self.broker().metastore();
        if let Some(target) = metastore.read(look)
            && last.is_none_or(|last| self.has_partition(target.id, last))
        {
            return Ok(target);
        }
        metastore.tail_check().await?;
        metastore.read(look).ok_or_else(|| named.unknown())
    }

    /// The topic with its description. One that is not known here is looked for at the log's tail.
    pub(super) async fn topic(&self, named: Named<'_>) -> Result<TopicInfo, Failure> {
        let found = match named {
            Named::Name(name) => {
                let name = TopicName::new(name).map_err(|_| named.unknown())?;
                self.broker().topic_by_name(&name).await?
            }
            Named::Id(id) => self.broker().topic_by_id(id).await?,
        };
        found.ok_or_else(|| named.unknown())
    }

    /// The topic of a partition that exists.
    pub(super) async fn partition(&self, named: Named<'_>, partition: i32) -> Result<TopicId, Failure> {
        let topic = self.target(named, Some(partition)).await?.id;
        if self.has_partition(topic, partition) { Ok(topic) } else { Err(Failure::unknown_partition()) }
    }

    /// Whether the topic has the partition.
    pub(super) fn has_partition(&self, topic: TopicId, partition: i32) -> bool {
        self.broker().metastore().read(|state| state.head(topic, PartitionIndex(partition)).is_some())
    }

    /// Checks that the partition exists and that the client knows its leader epoch (KIP-320); -1 means that it does
    /// not say.
    pub(super) fn check_epoch(&self, topic: TopicId, partition: i32, known: i32) -> Result<(), Failure> {
        let head = self.broker().metastore().read(|state| state.head(topic, PartitionIndex(partition)));
        let epoch = head.ok_or_else(Failure::unknown_partition)?.epoch.0;
        let code = match known {
            -1 => return Ok(()),
            known if known == epoch => return Ok(()),
            known if known < epoch => ResponseError::FencedLeaderEpoch,
            _ => ResponseError::UnknownLeaderEpoch,
        };
        Err(Failure::new(code, format!("the client knows leader epoch {known}, the partition has {epoch}")))
    }

    /// Submits commands together; one result each, in their order.
    pub(super) async fn submit(&self, commands: Vec<Command>) -> Vec<Result<Outcome, Failure>> {
        let count = commands.len();
        if count == 0 {
            return Vec::new();
        }
        match self.broker().metastore().submit(Submission { commands, body: Vec::new() }).await {
            Ok(outcomes) => outcomes.into_iter().map(accepted).collect(),
            Err(error) => vec![Err(error.into()); count],
        }
    }
}
