//! The mirror before a catalog in memory, which fails as it is told. Real catalogs are asked end to end.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ebb_metastore::{
    Submission,
    command::{
        ArchiveSpan, BatchFacts, BodyPlace, Command, CommitSegment, CreateTopic, FileColumns, PublishArchive,
        Run,
    },
    outcome::Outcome,
};
use ebb_protocol::{
    clock::Clock,
    columns::{ColumnKind, TYPED_ROOT, TypedColumn},
    ids::{ByteRange, Offset, PartitionIndex},
};
use hyper::{Method, StatusCode};
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    transport::{Ask, Transport},
    *,
};
use crate::testing::{Cluster, Member};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const STORE: &str = "s3://bucket/";

/// A clock that is set.
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// How a catalog fails.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Fault {
    #[default]
    None,
    /// Nobody answers.
    Down,
    /// The next change is made, and its answer is lost.
    Lost,
}

/// A catalog with the prefix `p` and one namespace.
#[derive(Default)]
struct Books {
    has_namespace: bool,
    tables: BTreeMap<String, Value>,
    fault: Fault,
    asked: u64,
}

struct Fake {
    books: Arc<Mutex<Books>>,
    objects: Arc<InMemory>,
}

#[async_trait]
impl Transport for Fake {
    async fn ask(&self, ask: Ask) -> Result<(StatusCode, Value), MirrorError> {
        let path: Vec<_> = ask.path.iter().map(String::as_str).collect();
        let down = || MirrorError::Down("connection refused".to_owned());
        if self.books.lock().fault == Fault::Down {
            return Err(down());
        }
        let body = ask.body.unwrap_or_default();
        let answer = match (&ask.method, &path[..]) {
            (&Method::GET, ["config"]) => (200, json!({"overrides": {"prefix": "p"}})),
            (&Method::POST, ["p", "namespaces"]) => {
                self.books.lock().has_namespace = true;
                (200, Value::Null)
            }
            (_, ["p", "namespaces", "lake", ..]) if !self.books.lock().has_namespace => (404, Value::Null),
            (&Method::POST, [.., "register"]) => self.register(&body).await,
            (&Method::GET, [.., "tables", table]) => {
                self.books.lock().tables.get(*table).map_or((404, Value::Null), |table| (200, table.clone()))
            }
            (&Method::POST, [.., "tables", table]) => self.books.lock().commit(table, &body),
            other => panic!("nobody asks for {other:?}"),
        };
        let mut books = self.books.lock();
        books.asked += 1;
        if ask.method == Method::POST && books.fault == Fault::Lost {
            books.fault = Fault::None;
            return Err(down());
        }
        Ok((StatusCode::from_u16(answer.0).expect("a status"), answer.1))
    }
}

impl Fake {
    async fn register(&self, body: &Value) -> (u16, Value) {
        let (name, address) = (body["name"].as_str().expect("a name"), &body["metadata-location"]);
        if self.books.lock().tables.contains_key(name) {
            return (409, Value::Null);
        }
        let key = address.as_str().and_then(|address| address.strip_prefix(STORE)).expect("an address");
        let found = self.objects.get(&Path::from(key)).await.expect("what is registered was put");
        let metadata: Value = serde_json::from_slice(&found.bytes().await.expect("its bytes")).expect("JSON");
        let table = json!({"metadata-location": address, "metadata": metadata});
        self.books.lock().tables.insert(name.to_owned(), table.clone());
        (200, table)
    }
}

impl Books {
    fn commit(&mut self, table: &str, body: &Value) -> (u16, Value) {
        let metadata = &mut self.tables.get_mut(table).expect("it was loaded")["metadata"];
        for required in body["requirements"].as_array().expect("a list") {
            let holds = match required["type"].as_str() {
                Some("assert-table-uuid") => required["uuid"] == metadata["table-uuid"],
                Some("assert-ref-snapshot-id") => required["snapshot-id"] == metadata["current-snapshot-id"],
                Some("assert-current-schema-id") => {
                    required["current-schema-id"] == metadata["current-schema-id"]
                }
                other => panic!("{other:?}"),
            };
            if !holds {
                return (409, json!({"error": {"message": "it has changed"}}));
            }
        }
        for update in body["updates"].as_array().expect("a list") {
            Self::update(metadata, update);
        }
        (200, Value::Null)
    }

    fn update(metadata: &mut Value, update: &Value) {
        let push = |list: &mut Value, item: &Value| list.as_array_mut().expect("a list").push(item.clone());
        match update["action"].as_str() {
            Some("add-schema") => {
                let mut schema = update["schema"].clone();
                // Catalogs number schemas as they come.
                schema["schema-id"] = metadata["schemas"].as_array().map_or(0, Vec::len).into();
                push(&mut metadata["schemas"], &schema);
            }
            Some("set-current-schema") => {
                assert_eq!(update["schema-id"], -1);
                let last = metadata["schemas"].as_array().and_then(|all| all.last()).expect("one was added");
                metadata["current-schema-id"] = last["schema-id"].clone();
            }
            Some("add-snapshot") => {
                let last = metadata["last-sequence-number"].as_i64();
                assert!(update["snapshot"]["sequence-number"].as_i64() > last, "{update}");
                metadata["last-sequence-number"] = update["snapshot"]["sequence-number"].clone();
                push(&mut metadata["snapshots"], &update["snapshot"]);
            }
            Some("set-snapshot-ref") => {
                assert_eq!((&update["ref-name"], &update["type"]), (&"main".into(), &"branch".into()));
                metadata["current-snapshot-id"] = update["snapshot-id"].clone();
            }
            Some("remove-snapshots") => {
                let gone = update["snapshot-ids"].as_array().expect("a list");
                let all = metadata["snapshots"].as_array_mut().expect("a list");
                all.retain(|snapshot| !gone.contains(&snapshot["snapshot-id"]));
            }
            other => panic!("{other:?}"),
        }
    }
}

struct World {
    member: Member,
    clock: Arc<SetClock>,
    objects: Arc<InMemory>,
    books: Arc<Mutex<Books>>,
    mirror: Mirror,
}

impl World {
    /// A cluster with a topic `events` that nothing was archived of.
    async fn new() -> Self {
        let member = Cluster::new().agent("a").await;
        let clock = Arc::new(SetClock(AtomicI64::new(20_780 * DAY_MS)));
        let (objects, books) = (Arc::new(InMemory::new()), Arc::default());
        let mirror = Self::mirror(&member, &clock, &objects, &books);
        let world = Self { member, clock, objects, books, mirror };
        world.create("events", 7).await;
        world
    }

    fn mirror(
        member: &Member,
        clock: &Arc<SetClock>,
        objects: &Arc<InMemory>,
        books: &Arc<Mutex<Books>>,
    ) -> Mirror {
        let fake = Fake { books: books.clone(), objects: objects.clone() };
        let client = Client::new(Box::new(fake), None, "lake".to_owned());
        let (metastore, random) = (member.metastore.clone(), Random::from_seed(1));
        Mirror::over(client, metastore, objects.clone(), STORE, clock.clone(), random)
    }

    /// What is there when the process has died and another one starts.
    fn restart(&mut self) {
        self.mirror = Self::mirror(&self.member, &self.clock, &self.objects, &self.books);
    }

    async fn create(&self, name: &str, id: u128) {
        let (topic, name) = (TopicId(Uuid::from_u128(id)), TopicName::new(name).expect("a topic's name"));
        let create = CreateTopic { topic, name, partitions: 1, config: Vec::new() };
        let outcome = self.member.run(Command::CreateTopic(create)).await;
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }

    /// Commits one record at an offset, and publishes a file of it with more columns.
    async fn publish(&self, id: u128, at: i64, known: u32, added: Vec<TypedColumn>) {
        let (topic, partition) = (TopicId(Uuid::from_u128(id)), PartitionIndex(0));
        let range = ByteRange { start: 0, len: 100 };
        let batch = BatchFacts { bytes: 100, records: 1, max_timestamp: Timestamp(at), producer: None };
        let runs = vec![Run { topic, partition, range, batches: vec![batch] }];
        let segment = self.member.ids.segment();
        let commit = Command::CommitSegment(CommitSegment { segment, body: BodyPlace::Inline, runs });
        let body = vec![Bytes::from_static(&[0; 100])];
        let commit = Submission { commands: vec![commit], body };
        let committed = self.member.metastore.submit(commit).await.expect("it is recorded");
        assert!(matches!(committed[..], [Outcome::Committed { .. }]), "{committed:?}");
        let (first, next) = (Offset(at), Offset(at + 1));
        let replaces = self.member.metastore.read(|state| state.fingerprint(topic, partition, first, next));
        let span = ArchiveSpan {
            partition,
            first,
            next,
            replaces: replaces.expect("the record is there"),
            rows: 1,
            range: ByteRange { start: 4, len: 900 },
            min_timestamp: Timestamp(at),
            max_timestamp: Timestamp(at),
        };
        let publish = PublishArchive {
            archive: self.member.ids.archive_since(Timestamp(0)),
            topic,
            bytes: 1_000,
            tail_bytes: 50,
            tail_checksum: 7,
            spans: vec![span],
            columns: FileColumns { known, added },
        };
        let outcome = self.member.run(Command::PublishArchive(publish)).await;
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }

    fn table(&self) -> Value {
        self.books.lock().tables.get("events").map(|table| table["metadata"].clone()).unwrap_or_default()
    }

    /// The snapshots of the foreign table, the present one last.
    fn snapshots(&self) -> Vec<i64> {
        let table = self.table();
        let all = table["snapshots"].as_array().into_iter().flatten();
        let all: Vec<_> = all.filter_map(|snapshot| snapshot["snapshot-id"].as_i64()).collect();
        assert_eq!(table["current-snapshot-id"].as_i64(), all.last().copied());
        all
    }

    /// Every list of the foreign table must be in the store, wherever the clock stands.
    async fn check_lists(&self) {
        for snapshot in self.table()["snapshots"].as_array().into_iter().flatten() {
            let list = snapshot["manifest-list"].as_str().and_then(|list| list.strip_prefix(STORE));
            let list = Path::from(list.expect("an address in the store"));
            assert!(self.objects.head(&list).await.is_ok(), "{list} is gone");
        }
    }

    fn pass_a_day(&self) {
        self.clock.0.fetch_add(DAY_MS, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_is_registered_and_followed() {
    let mut world = World::new().await;
    world.mirror.pass().await;
    assert_eq!(world.books.lock().asked, 0, "nothing is archived yet");
    for at in 0..4 {
        world.publish(7, at, 0, Vec::new()).await;
        world.mirror.pass().await;
        assert_eq!(world.snapshots(), Vec::from_iter(1..at + 2));
    }
    let table = world.table();
    assert_eq!(table["table-uuid"], Uuid::from_u128(7).to_string());
    assert_eq!(table["properties"]["gc.enabled"], "false");
    assert_eq!(table["location"], format!("{STORE}mirror/{}", Uuid::from_u128(7)));
    world.check_lists().await;
    let asked = world.books.lock().asked;
    world.mirror.pass().await;
    assert_eq!(world.books.lock().asked, asked, "what is known to be up to date is not asked for");
    tokio::time::advance(CHECK_INTERVAL).await;
    world.books.lock().tables.clear();
    world.mirror.pass().await;
    assert_eq!(world.snapshots(), [1, 2, 3, 4], "a table that was dropped is registered again");
}

#[tokio::test(start_paused = true)]
async fn typed_columns_come_with_the_snapshots_that_have_them() {
    let mut world = World::new().await;
    let column = |name: &str| {
        let (key, name) = (name.to_owned(), name.to_owned());
        TypedColumn { parent: TYPED_ROOT, key, name, kind: ColumnKind::Long }
    };
    world.publish(7, 0, 0, Vec::new()).await;
    world.mirror.pass().await;
    for (at, name) in [(1, "a"), (2, "b")] {
        world.publish(7, at, u32::try_from(at).expect("small") - 1, vec![column(name)]).await;
        world.mirror.pass().await;
    }
    let table = world.table();
    assert_eq!(world.snapshots(), [1, 2, 3]);
    assert_eq!(table["current-schema-id"], 2);
    let fields = table["schemas"][2]["fields"].as_array().expect("columns");
    let typed = fields.iter().find(|field| field["id"] == 13).expect("typed columns");
    let names: Vec<_> = typed["type"]["fields"].as_array().into_iter().flatten().collect();
    assert_eq!(names.iter().map(|field| &field["name"]).collect::<Vec<_>>(), ["a", "b"]);
    world.mirror.pass().await;
    assert_eq!(world.mirror.counters.lag(), Lag::default());
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_is_down_is_waited_for() {
    let mut world = World::new().await;
    world.publish(7, 0, 0, Vec::new()).await;
    world.mirror.pass().await;
    world.books.lock().fault = Fault::Down;
    for at in 1..3 {
        world.publish(7, at, 0, Vec::new()).await;
    }
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let due = world.mirror.pass().await;
        pauses.push((due - Instant::now()).as_secs());
        tokio::time::sleep_until(due).await;
    }
    assert!(pauses[0] <= 2 && pauses[8] >= 60 && pauses.iter().all(|pause| *pause <= 120), "{pauses:?}");
    let lag = world.mirror.counters.lag();
    assert_eq!((lag.tables, lag.snapshots), (1, 2), "the lag is visible");
    world.books.lock().fault = Fault::None;
    world.mirror.pass().await;
    assert_eq!((world.snapshots(), world.mirror.counters.lag()), (vec![1, 2, 3], Lag::default()));
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_answer_was_lost_is_made_once() {
    let mut world = World::new().await;
    for at in 0..3 {
        world.publish(7, at, 0, Vec::new()).await;
        world.books.lock().fault = Fault::Lost;
        let due = world.mirror.pass().await;
        if at == 1 {
            world.restart();
        }
        tokio::time::sleep_until(due).await;
        let due = world.mirror.pass().await;
        tokio::time::sleep_until(due).await;
        world.mirror.pass().await;
        assert_eq!(world.snapshots(), Vec::from_iter(1..at + 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_not_ours_is_left_alone_and_others_go_on() {
    let mut world = World::new().await;
    world.publish(7, 0, 0, Vec::new()).await;
    world.mirror.pass().await;
    let ours = world.books.lock().tables["events"].clone();
    let spoil = |change: &dyn Fn(&mut Value)| {
        let mut table = ours.clone();
        change(&mut table["metadata"]);
        table
    };
    let tables = [
        spoil(&|metadata| metadata["table-uuid"] = Uuid::from_u128(8).to_string().into()),
        // As a catalog would have numbered the columns that makes the table itself.
        spoil(&|metadata| metadata["schemas"][0]["fields"][3]["id"] = 5.into()),
        spoil(&|metadata| metadata["current-snapshot-id"] = 8_027_658_604_211_071_520_i64.into()),
    ];
    world.create("more", 9).await;
    world.publish(7, 1, 0, Vec::new()).await;
    for (at, table) in (0..).zip(tables) {
        world.books.lock().tables.insert("events".to_owned(), table.clone());
        world.publish(9, at, 0, Vec::new()).await;
        world.mirror.pass().await;
        assert_eq!(world.table(), table["metadata"], "case {at}");
        let more = world.books.lock().tables["more"]["metadata"]["current-snapshot-id"].as_i64();
        assert_eq!(more, Some(at + 1));
        assert_eq!(world.mirror.counters.lag().tables, 1);
        tokio::time::advance(REFUSED_PAUSE).await;
    }
    world.books.lock().tables.remove("events");
    world.mirror.pass().await;
    assert_eq!(world.snapshots(), [1, 2], "once it is dropped, it is registered");
}

#[tokio::test(start_paused = true)]
async fn what_no_snapshot_needs_is_deleted_after_a_day() {
    let mut world = World::new().await;
    let folder = ebb_segment::key::mirror_folder(TopicId(Uuid::from_u128(7)));
    let count = async |world: &World| futures::StreamExt::count(world.objects.list(Some(&folder))).await;
    world.publish(7, 0, 0, Vec::new()).await;
    // It dies between the metadata and the registration.
    world.books.lock().fault = Fault::Down;
    let facts = world.member.metastore.read(|state| {
        Facts::copy(state, &TopicName::new("events").expect("a topic's name"), SNAPSHOTS_SHOWN_MAX)
    });
    world.mirror.put(facts.expect("the topic is there")).await.expect("it is put");
    assert_eq!(count(&world).await, 3);
    world.restart();
    world.books.lock().fault = Fault::None;
    world.pass_a_day();
    world.mirror.pass().await;
    assert_eq!(count(&world).await, 6, "what was put yesterday stays");
    for at in 1..3 {
        world.pass_a_day();
        world.publish(7, at, 0, Vec::new()).await;
        world.mirror.pass().await;
        tokio::time::advance(CHECK_INTERVAL).await;
        world.mirror.pass().await;
        world.check_lists().await;
    }
    let listed: Vec<_> = futures::TryStreamExt::try_collect::<Vec<_>>(world.objects.list(Some(&folder)))
        .await
        .expect("a list");
    let oldest = listed.iter().filter_map(|object| {
        ebb_segment::key::mirror_day(object.location.as_ref(), TopicId(Uuid::from_u128(7)))
    });
    assert_eq!(oldest.min(), Some(Day(20_781)), "what the table refers to stays, however old");
}
