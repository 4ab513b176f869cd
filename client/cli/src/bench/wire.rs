//! Kafka's requests on bare streams: a benchmark of groups plays thousands of members, for which clients would be too
//! heavy. Knows frames and who coordinates a group; knows nothing of what members say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::BytesMut;
use ebb_protocol::{
    frame::{FRAME_BYTES_MAX, FRAME_LENGTH_BYTES, frame_len, response_correlation_id},
    messages::{
        DescribeQuorumRequest, FindCoordinatorRequest, Request, StrBytes, TopicName, decode_response,
        describe_quorum_request::{PartitionData, TopicData},
        encode_request,
    },
};
use ebbtide::{
    ErrorCode, ServerAddress,
    transport::{self, Connection, Dialer, ReadHalf, WriteHalf},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{args, output::Failure};

/// Streams on one QUIC connection; agents allow some more. Over TCP every stream is a connection of its own.
const STREAMS_MAX: usize = 100;
/// An answer that takes longer counts as lost.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Groups whose coordinators are asked for in one request.
const KEYS_MAX: usize = 1_000;
const FIND_COORDINATOR_VERSION: i16 = 4;
const DESCRIBE_QUORUM_VERSION: i16 = 1;

/// Opens streams to the agents of a cluster.
pub(super) struct Wires {
    dialer: Arc<dyn Dialer>,
    start: ServerAddress,
    /// The connection to each agent that has room for more streams, and how many it has.
    connections: BTreeMap<ServerAddress, (Arc<dyn Connection>, usize)>,
}

impl Wires {
    /// Streams to the cluster that the command line names.
    pub(super) fn new(connection: &args::Connection) -> Result<Self, Failure> {
        let start: ServerAddress = connection.server.parse().map_err(Failure::new)?;
        let dialer = transport::dialer(start.transport, connection.ca.iter().cloned().collect());
        Ok(Self { dialer, start, connections: BTreeMap::new() })
    }

    /// A stream to the agent that the command line names.
    pub(super) async fn any(&mut self) -> Result<Wire, Failure> {
        self.open(&self.start.clone()).await
    }

    /// A stream to the coordinator of each group.
    pub(super) async fn coordinators(&mut self, groups: &[String]) -> Result<Vec<Wire>, Failure> {
        let mut wires = Vec::with_capacity(groups.len());
        let mut asking = self.any().await?;
        for groups in groups.chunks(KEYS_MAX) {
            let keys = groups.iter().cloned().map(StrBytes::from_string).collect();
            let request = FindCoordinatorRequest::default().with_coordinator_keys(keys);
            let found = asking.call(&request, FIND_COORDINATOR_VERSION).await?;
            for coordinator in found.coordinators {
                accepted("FindCoordinator", coordinator.error_code)?;
                let host = coordinator.host.to_string();
                let port = u16::try_from(coordinator.port).map_err(Failure::with("FindCoordinator"))?;
                let transport = self.start.transport;
                wires.push(self.open(&ServerAddress { transport, host, port }).await?);
            }
        }
        Ok(wires)
    }

    async fn open(&mut self, server: &ServerAddress) -> Result<Wire, Failure> {
        let connection = match self.connections.get_mut(server) {
            Some((connection, streams)) if *streams < STREAMS_MAX => {
                *streams += 1;
                connection.clone()
            }
            _ => {
                let connection = self.dialer.connect(server).await.map_err(Failure::new)?;
                self.connections.insert(server.clone(), (connection.clone(), 1));
                connection
            }
        };
        let (read, write) = connection.open_stream().await.map_err(Failure::new)?;
        Ok(Wire { server: server.clone(), read, write, next_id: 0, _connection: connection })
    }

    /// Ends all connections.
    pub(super) async fn close(self) {
        self.dialer.close().await;
    }
}

/// A stream, on which one request is answered after the other.
pub(super) struct Wire {
    /// The agent at its other end.
    pub(super) server: ServerAddress,
    read: ReadHalf,
    write: WriteHalf,
    next_id: i32,
    /// Dropping the last one would end its streams.
    _connection: Arc<dyn Connection>,
}

impl Wire {
    /// Asks, and waits for the answer. Dropping the future leaves the stream in the middle of a frame.
    pub(super) async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Failure> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let client = StrBytes::from_static_str("ebb-bench");
        let frame = encode_request(request, version, id, Some(&client)).map_err(Failure::new)?;
        let exchange = async {
            self.write.write_all(&frame).await?;
            self.write.flush().await?;
            let mut prefix = [0; FRAME_LENGTH_BYTES];
            self.read.read_exact(&mut prefix).await?;
            let len = frame_len(prefix, FRAME_BYTES_MAX).map_err(std::io::Error::other)?;
            let mut frame = BytesMut::zeroed(len);
            self.read.read_exact(&mut frame).await?;
            Ok::<_, std::io::Error>(frame.freeze())
        };
        let answer = tokio::time::timeout(ANSWER_MAX, exchange).await;
        let answer = answer.map_err(|_| Failure::new(format!("no answer within {ANSWER_MAX:?}")))?;
        let answer = answer.map_err(Failure::with("the connection to the agent"))?;
        if response_correlation_id(&answer).map_err(Failure::new)? != id {
            return Err(Failure::new("the agent answered out of order"));
        }
        decode_response::<R>(&answer, version).map_err(Failure::new)
    }

    /// The position of the commit log's next entry, which agents tell as the end of the quorum's log.
    pub(super) async fn log_position(&mut self) -> Result<i64, Failure> {
        let topic = TopicData::default()
            .with_topic_name(TopicName(StrBytes::from_static_str("__cluster_metadata")))
            .with_partitions(vec![PartitionData::default()]);
        let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
        let answer = self.call(&request, DESCRIBE_QUORUM_VERSION).await?;
        accepted("DescribeQuorum", answer.error_code)?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        let partition = partition.ok_or_else(|| Failure::new("DescribeQuorum answered nothing"))?;
        accepted("DescribeQuorum", partition.error_code)?;
        Ok(partition.high_watermark)
    }
}

/// Fails unless Kafka's error code is that of success.
pub(super) fn accepted(what: &str, code: i16) -> Result<(), Failure> {
    match ErrorCode::try_from_code(code) {
        Some(error) => Err(Failure::new(format!("{what} was refused: {error}"))),
        None => Ok(()),
    }
}
