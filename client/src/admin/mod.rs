//! Administrative calls: topics, their configuration, their offsets, groups, and the cluster.

mod config;
mod group_types;
mod groups;
mod offsets;
mod topics;
mod types;

use std::sync::Arc;

use ebb_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
pub use group_types::{GroupDescription, GroupMember, GroupOffset, GroupProtocol, ListedGroup};
pub(crate) use offsets::look_up;
pub use types::{
    Broker, Cluster, Config, ConfigChange, ConfigSource, ListedOffset, NewTopic, OffsetSpec,
    PartitionDescription, TopicDescription,
};

use crate::{BrokerId, Error, ErrorCode, cluster, rpc::Effect};

/// The administrative calls. Reads are retried within the client's call time; changes are sent again only when it is
/// certain that they had no effect.
#[derive(Debug, Clone)]
pub struct Admin {
    cluster: Arc<cluster::Cluster>,
}

impl Admin {
    pub(crate) fn new(cluster: Arc<cluster::Cluster>) -> Self {
        Self { cluster }
    }

    /// The cluster's id and agents.
    ///
    /// # Errors
    /// What a request can fail with.
    pub async fn describe_cluster(&self) -> Result<Cluster, Error> {
        let what = "describing the cluster";
        let read = |answer: DescribeClusterResponse| {
            check(answer.error_code, what, answer.error_message.as_deref())?;
            let broker =
                |broker: &ebb_protocol::messages::describe_cluster_response::DescribeClusterBroker| {
                    let port = u16::try_from(broker.port);
                    let port =
                        port.map_err(|_| Error::Corrupt(format!("{what}: port {}", broker.port).into()))?;
                    let rack = broker.rack.as_ref().map(ToString::to_string);
                    Ok(Broker { id: BrokerId(broker.broker_id.0), host: broker.host.to_string(), port, rack })
                };
            let mut brokers = answer.brokers.iter().map(broker).collect::<Result<Vec<_>, Error>>()?;
            brokers.sort_by_key(|broker| broker.id);
            let controller = (answer.controller_id.0 >= 0).then_some(BrokerId(answer.controller_id.0));
            Ok(Cluster { id: answer.cluster_id.to_string(), controller, brokers })
        };
        self.cluster.call(Effect::Reads, what, |_| DescribeClusterRequest::default(), read).await
    }

    /// How long a server may work on a change, in Kafka's field for it.
    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.cluster.request_timeout.as_millis() / 2).unwrap_or(i32::MAX)
    }
}

/// The error for an answer's code, if there is one.
fn check(code: i16, what: &str, reason: Option<&str>) -> Result<(), Error> {
    ErrorCode::try_from_code(code).map_or(Ok(()), |code| Err(Error::from_code(code, what, reason)))
}

/// The error for an answer that does not say what was asked.
fn left_out(what: &str) -> Error {
    Error::Corrupt(format!("{what}: the server's answer leaves it out").into())
}
