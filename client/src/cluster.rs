//! The cluster as a client knows it: its agents, its topics, and whom to ask for a partition.
//! Metadata is read when it is needed and kept until it is old or proves wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use ebb_protocol::{
    clock::SharedClock,
    ids::{BrokerId, PartitionIndex, TopicId},
    messages::{
        MetadataRequest, MetadataResponse, Request, StrBytes, TopicName, metadata_request, metadata_response,
    },
    random::Random,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    Error, ErrorCode, ServerAddress, Transport,
    rpc::{Effect, Link, Node, NodeSettings, Retry},
};

/// How many topics' metadata are kept. Beyond that the oldest goes.
const TOPICS_CACHED_MAX: usize = 10_000;

/// What producers, consumers and admins share.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) clock: SharedClockDebug,
    pub(crate) random: Random,
    pub(crate) retry: Retry,
    pub(crate) request_timeout: Duration,
    metadata_age_max: Duration,
    settings: Arc<NodeSettings>,
    transport: Transport,
    seeds: Vec<ServerAddress>,
    /// The seed that is asked next when no agent is known.
    next_seed: AtomicUsize,
    nodes: Mutex<BTreeMap<ServerAddress, Arc<Node>>>,
    view: Mutex<View>,
    /// Who coordinated which group when it was last asked.
    pub(crate) coordinators: Mutex<BTreeMap<Arc<str>, ServerAddress>>,
}

/// A clock that can stand in a struct that derives Debug.
#[derive(Clone)]
pub(crate) struct SharedClockDebug(pub(crate) SharedClock);

impl std::fmt::Debug for SharedClockDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// What the last metadata said.
#[derive(Debug, Default)]
struct View {
    brokers: Arc<BTreeMap<BrokerId, ServerAddress>>,
    topics: BTreeMap<Arc<str>, Arc<TopicMetadata>>,
}

/// A topic as the last metadata told it.
#[derive(Debug)]
pub(crate) struct TopicMetadata {
    pub(crate) name: Arc<str>,
    /// None from servers too old to have topic ids.
    pub(crate) id: Option<TopicId>,
    /// By partition index.
    pub(crate) partitions: Vec<PartitionMetadata>,
    read_at: Instant,
}

/// Whom a partition prefers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionMetadata {
    pub(crate) leader: Option<BrokerId>,
}

/// What a cluster is made from.
pub(crate) struct ClusterSettings {
    pub(crate) clock: SharedClock,
    pub(crate) retry: Retry,
    pub(crate) metadata_age_max: Duration,
    pub(crate) node: NodeSettings,
    pub(crate) transport: Transport,
    pub(crate) seeds: Vec<ServerAddress>,
}

impl Cluster {
    pub(crate) fn new(settings: ClusterSettings) -> Self {
        Self {
            clock: SharedClockDebug(settings.clock),
            random: settings.node.random.fork(),
            retry: settings.retry,
            request_timeout: settings.node.request_timeout,
            metadata_age_max: settings.metadata_age_max,
            settings: Arc::new(settings.node),
            transport: settings.transport,
            seeds: settings.seeds,
            next_seed: AtomicUsize::new(0),
            nodes: Mutex::default(),
            view: Mutex::default(),
            coordinators: Mutex::default(),
        }
    }

    /// How the cluster's agents are talked to.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// All agents that there are now.
    pub(crate) async fn all_nodes(&self) -> Result<Vec<Arc<Node>>, Error> {
        self.refresh_brokers().await?;
        let brokers = self.view.lock().brokers.clone();
        Ok(brokers.values().map(|server| self.node(server)).collect())
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        self.nodes.lock().clear();
        self.settings.dialer.close().await;
    }

    /// The node of an address; there is one per address.
    pub(crate) fn node(&self, server: &ServerAddress) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let make = || Arc::new(Node::new(server.clone(), self.settings.clone()));
        nodes.entry(server.clone()).or_insert_with(make).clone()
    }

    /// The agent to ask for a partition: its leader, or any other while the leader cannot be reached, since every
    /// agent takes every partition.
    pub(crate) fn route(&self, leader: Option<BrokerId>) -> Arc<Node> {
        let brokers = self.view.lock().brokers.clone();
        let preferred = leader.and_then(|id| brokers.get(&id));
        let known: Vec<_> =
            preferred.into_iter().chain(brokers.values()).map(|server| self.node(server)).collect();
        let reachable = known.iter().find(|node| !node.is_failing());
        match reachable.or(known.first()) {
            Some(node) => node.clone(),
            None => self.seed(),
        }
    }

    /// Whether there is more than one agent, as far as is known.
    pub(crate) fn has_several(&self) -> bool {
        self.view.lock().brokers.len() > 1
    }

    /// The agent that a partition prefers, as far as is known.
    pub(crate) fn leader(&self, topic: &str, partition: PartitionIndex) -> Option<BrokerId> {
        let index = usize::try_from(partition.0).ok()?;
        self.view.lock().topics.get(topic)?.partitions.get(index)?.leader
    }

    /// Whether the topic of this name is known to be another one than that with this id.
    pub(crate) fn is_another(&self, name: &str, id: Option<TopicId>) -> bool {
        let known = self.view.lock().topics.get(name).and_then(|topic| topic.id);
        known.is_some() && known != id
    }

    fn seed(&self) -> Arc<Node> {
        let index = self.next_seed.load(Ordering::Relaxed) % self.seeds.len().max(1);
        self.node(&self.seeds[index])
    }

    /// A connection to any agent. Known agents come first; when none answers, the seeds take turns.
    pub(crate) async fn any(&self) -> Result<Arc<Link>, Error> {
        let node = self.route(None);
        let first = match node.link().await {
            Ok(link) => return Ok(link),
            Err(error) => error,
        };
        self.next_seed.fetch_add(1, Ordering::Relaxed);
        let seed = self.seed();
        if seed.server() == node.server() {
            return Err(first);
        }
        seed.link().await
    }

    /// Calls any agent, again if that can help. `judge` turns the answer into a result, and may find that it is one
    /// to try again on.
    pub(crate) async fn call<R: Request, T>(
        &self,
        effect: Effect,
        what: &str,
        build: impl Fn(i16) -> R,
        judge: impl Fn(R::Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.retry.run(effect, || async { judge(self.any().await?.call(what, &build).await?) }).await
    }

    /// Whether a topic's metadata should be read anew.
    pub(crate) fn is_old(&self, topic: &TopicMetadata) -> bool {
        topic.read_at.elapsed() >= self.metadata_age_max
    }

    /// A topic's metadata, from memory when it is young enough.
    pub(crate) async fn topic(&self, name: &str) -> Result<Arc<TopicMetadata>, Error> {
        let known = self.view.lock().topics.get(name).cloned();
        match known.filter(|topic| !self.is_old(topic)) {
            Some(topic) => Ok(topic),
            None => self.refresh(name).await,
        }
    }

    /// Reads a topic's metadata anew.
    pub(crate) async fn refresh(&self, name: &str) -> Result<Arc<TopicMetadata>, Error> {
        let what = format!("topic {name:?}");
        let read = |response: MetadataResponse| {
            self.learn_brokers(&response);
            let topic =
                response.topics.into_iter().find(|topic| topic.name.as_deref().is_some_and(|n| **n == *name));
            let topic =
                topic.ok_or_else(|| Error::Corrupt(format!("{what}: the server left it out").into()))?;
            match ErrorCode::try_from_code(topic.error_code) {
                Some(code @ ErrorCode::UnknownTopicOrPartition) => {
                    Err(Error::from_code(code, &what, Some("create it, or correct the name")))
                }
                Some(code) => Err(Error::from_code(code, &what, None)),
                None => self.learn_topic(name, &topic),
            }
        };
        let names = [name.to_owned()];
        let result = self.call(Effect::Reads, &what, |_| metadata_request(Some(&names)), read).await;
        if let Err(Error::NotFound { .. }) = &result {
            self.view.lock().topics.remove(name);
        }
        result
    }

    /// A topic's metadata by its id, from memory when they are young enough.
    pub(crate) async fn topic_by_id(&self, id: TopicId) -> Result<Arc<TopicMetadata>, Error> {
        let known = self.view.lock().topics.values().find(|topic| topic.id == Some(id)).cloned();
        if let Some(topic) = known.filter(|topic| !self.is_old(topic)) {
            return Ok(topic);
        }
        let what = format!("topic with id {id}");
        let build = |_| {
            let topic = metadata_request::MetadataRequestTopic::default().with_topic_id(id.0).with_name(None);
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)
        };
        let read = |response: MetadataResponse| {
            self.learn_brokers(&response);
            let topic = response.topics.into_iter().find(|topic| topic.topic_id == id.0);
            let topic =
                topic.ok_or_else(|| Error::Corrupt(format!("{what}: the server left it out").into()))?;
            if let Some(code) = ErrorCode::try_from_code(topic.error_code) {
                return Err(Error::from_code(code, &what, None));
            }
            let name = topic.name.as_deref().map(|name| name.to_string());
            let name = name.ok_or_else(|| Error::Corrupt(format!("{what}: it has no name").into()))?;
            self.learn_topic(&name, &topic)
        };
        self.call(Effect::Reads, &what, build, read).await
    }

    /// Learns the agents from the first seed that answers. Whoever starts a tool wants to hear soon that nobody is
    /// there, so this is not tried again.
    pub(crate) async fn refresh_brokers(&self) -> Result<(), Error> {
        let mut link = self.any().await;
        for _ in 1..self.seeds.len() {
            if link.is_err() {
                link = self.any().await;
            }
        }
        let link = link?;
        let response = link.call("the list of agents", |_| metadata_request(Some(&[]))).await?;
        self.learn_brokers(&response);
        Ok(())
    }

    fn learn_brokers(&self, response: &MetadataResponse) {
        let address = |broker: &metadata_response::MetadataResponseBroker| {
            let port = u16::try_from(broker.port).ok()?;
            let server = ServerAddress { transport: self.transport, host: broker.host.to_string(), port };
            Some((BrokerId(broker.node_id.0), server))
        };
        let brokers: BTreeMap<_, _> = response.brokers.iter().filter_map(address).collect();
        if brokers.is_empty() {
            return;
        }
        let keep =
            |server: &ServerAddress| self.seeds.contains(server) || brokers.values().any(|b| b == server);
        self.nodes.lock().retain(|server, _| keep(server));
        self.view.lock().brokers = Arc::new(brokers);
    }

    fn learn_topic(
        &self,
        name: &str,
        topic: &metadata_response::MetadataResponseTopic,
    ) -> Result<Arc<TopicMetadata>, Error> {
        let count = topic.partitions.len();
        let mut partitions = vec![PartitionMetadata { leader: None }; count];
        for partition in &topic.partitions {
            let index = usize::try_from(partition.partition_index).ok();
            let slot = index.and_then(|index| partitions.get_mut(index)).ok_or_else(|| {
                Error::Corrupt(format!("topic {name:?}: the server's partitions are not dense").into())
            })?;
            let leader = (partition.leader_id.0 >= 0).then_some(BrokerId(partition.leader_id.0));
            *slot = PartitionMetadata { leader };
        }
        let id = (!topic.topic_id.is_nil()).then_some(TopicId(topic.topic_id));
        let learned = TopicMetadata { name: name.into(), id, partitions, read_at: Instant::now() };
        let learned = Arc::new(learned);
        let mut view = self.view.lock();
        if view.topics.len() >= TOPICS_CACHED_MAX {
            let oldest =
                view.topics.values().min_by_key(|topic| topic.read_at).map(|topic| topic.name.clone());
            oldest.and_then(|name| view.topics.remove(&name));
        }
        view.topics.insert(learned.name.clone(), learned.clone());
        Ok(learned)
    }
}

/// A request for the metadata of some topics, or of all. None is created by it: a wrong name must not become a topic.
pub(crate) fn metadata_request(topics: Option<&[String]>) -> MetadataRequest {
    let topic = |name: &String| {
        let name = TopicName(StrBytes::from_string(name.clone()));
        metadata_request::MetadataRequestTopic::default().with_name(Some(name))
    };
    MetadataRequest::default()
        .with_topics(topics.map(|names| names.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(false)
}
