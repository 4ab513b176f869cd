//! The catalog over a metastore and a store in memory. Real readers are asked end to end.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use ebb_metastore::{
    command::{Command, CreateTopic},
    outcome::Outcome,
};
use ebb_protocol::{
    clock::Clock,
    ids::{Timestamp, TopicId},
    random::Random,
};
use ebb_segment::{
    counted::{CountedStore, RequestCounters},
    store::StoreConfig,
};
use object_store::memory::InMemory;
use uuid::Uuid;

use super::*;
use crate::testing::{Cluster, Member};

const EVENTS: &str = "/v1/namespaces/kafka/tables/events";

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A clock that is set.
#[derive(Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct World {
    clock: Arc<SetClock>,
    member: Member,
    catalog: Catalog,
    requests: Arc<RequestCounters>,
}

impl World {
    /// A cluster with the topic `events`.
    async fn new() -> Self {
        let member = Cluster::new().agent("a").await;
        let store = CountedStore::new(Arc::new(InMemory::new()));
        let requests = store.counters();
        let store = SegmentStore::new(Arc::new(store), Random::from_seed(1), StoreConfig::default());
        let clock = Arc::new(SetClock(AtomicI64::new(20_780 * DAY_MS)));
        let settings = vec![("s3.region".to_owned(), "eu-central-1".to_owned())];
        let catalog = Catalog::new(member.metastore.clone(), store, "s3://bucket", settings, clock.clone());
        let world = Self { clock, member, catalog, requests };
        world.create("events", 7).await;
        world
    }

    async fn create(&self, name: &str, id: u128) {
        let create = CreateTopic {
            topic: TopicId(Uuid::from_u128(id)),
            name: TopicName::new(name).expect("a topic's name"),
            partitions: 1,
            config: Vec::new(),
        };
        let outcome = self.member.run(Command::CreateTopic(create)).await;
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }

    async fn ask(&self, method: Method, path: &str) -> (u16, Value) {
        let answer = self.catalog.answer(&method, path, None).await;
        (answer.status.as_u16(), answer.body.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path).await
    }
}

#[tokio::test(start_paused = true)]
async fn topics_are_tables() {
    let world = World::new().await;
    world.create("more", 8).await;
    assert_eq!(world.get("/v1/namespaces").await.1, json!({"namespaces": [["kafka"]]}));
    let (status, tables) = world.get("/v1/namespaces/kafka/tables").await;
    let names: Vec<_> = tables["identifiers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|id| id["name"].as_str().unwrap_or_default())
        .collect();
    assert_eq!((status, names), (200, vec!["events", "more"]));
    let (status, table) = world.get(EVENTS).await;
    assert_eq!((status, &table["config"]["s3.region"]), (200, &"eu-central-1".into()));
    assert_eq!(table["metadata"]["table-uuid"], Uuid::from_u128(7).to_string());
    let location = table["metadata-location"].as_str().expect("an address");
    assert!(
        location.starts_with("s3://bucket/iceberg/20780/00000000-0000-0000-0000-000000000007/00000-"),
        "{location}"
    );
}

#[tokio::test(start_paused = true)]
async fn metadata_is_put_once_a_day() {
    let world = World::new().await;
    let load = async || {
        assert_eq!(world.get(EVENTS).await.0, 200);
        world.requests.counts().puts
    };
    assert_eq!(world.requests.counts().puts, 0, "a table that nobody asks for costs nothing");
    assert_eq!(load().await, 1);
    assert_eq!(load().await, 1);
    world.clock.0.fetch_add(DAY_MS - 1, Ordering::Relaxed);
    assert_eq!(load().await, 1);
    world.clock.0.fetch_add(1, Ordering::Relaxed);
    assert_eq!(load().await, 2, "yesterday's is swept tomorrow");
    assert_eq!(load().await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_named() {
    let world = World::new().await;
    let check = async |method: Method, path: &str, expect: u16, kind: &str| {
        let (status, body) = world.ask(method, path).await;
        assert_eq!((status, body["error"]["type"].as_str().unwrap_or_default()), (expect, kind), "{path}");
    };
    check(Method::HEAD, EVENTS, 204, "").await;
    check(Method::HEAD, "/v1/namespaces/kafka", 204, "").await;
    check(Method::GET, "/v1/namespaces/kafka/tables/none", 404, "NoSuchTableException").await;
    check(Method::HEAD, "/v1/namespaces/kafka/tables/none", 404, "NoSuchTableException").await;
    check(Method::GET, "/v1/namespaces/kafka/tables/no%20name", 404, "NoSuchTableException").await;
    check(Method::GET, "/v1/namespaces/other/tables/events", 404, "NoSuchNamespaceException").await;
    check(Method::DELETE, EVENTS, 405, "UnsupportedOperationException").await;
}

#[tokio::test(start_paused = true)]
async fn without_the_commit_log_nothing_is_shown() {
    let world = World::new().await;
    // What the replica knows may be old; a reader would not notice.
    world.member.line.cut(true);
    let (status, body) = world.get(EVENTS).await;
    assert_eq!((status, &body["error"]["type"]), (503, &"ServiceUnavailableException".into()));
}
