//! What Ebbtide needs of an S3 server, on a real one.

use std::{cell::Cell, sync::Arc};

use ebb_metastore::log::{
    CommitLog, RetryConfig,
    bucket::{BucketLog, probe},
    conformance,
};
use ebb_protocol::{clock::SystemClock, ids::IdSource, random::Random};
use ebb_tests::s3::S3Server;
use futures::future::join_all;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};

const ROUNDS: usize = 40;
const RACERS: usize = 16;

/// Creates the object, and tells whether this call was the one that did.
async fn create(store: &Arc<dyn ObjectStore>, key: &Path, value: String) -> bool {
    match store.put_opts(key, PutPayload::from(value), PutMode::Create.into()).await {
        Ok(_) => true,
        Err(Error::AlreadyExists { .. }) => false,
        Err(error) => panic!("creating {key}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_create_has_one_winner() {
    let Some(server) = S3Server::start("S3: conditional create").await else { return };
    let store = server.store("race");
    for round in 0..ROUNDS {
        let key = Path::from(round.to_string());
        let won = join_all((0..RACERS).map(|racer| create(&store, &key, racer.to_string()))).await;
        let winners: Vec<usize> = (0..RACERS).filter(|&racer| won[racer]).collect();
        assert_eq!(winners.len(), 1, "round {round}: winners {winners:?}");
        let object = store.get(&key).await.expect("the object stands");
        let stored = object.bytes().await.expect("it can be read");
        assert_eq!(stored, winners[0].to_string(), "round {round}: the winner's bytes stand");
        assert!(!create(&store, &key, "late".to_owned()).await, "round {round}: a late create is refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commit_log_keeps_its_contract_in_a_bucket() {
    let Some(server) = S3Server::start("S3: the commit log").await else { return };
    let random = Random::from_seed(1);
    let ids = IdSource::new(Arc::new(SystemClock), random.clone());
    probe(&server.store("probe"), &ids, &random).await.expect("the server may hold a commit log");
    let logs = Cell::new(0);
    conformance::run_all(async || {
        logs.set(logs.get() + 1);
        let store = server.store(&format!("log-{}", logs.get()));
        let log: Arc<dyn CommitLog> = Arc::new(BucketLog::new(store, random.fork(), RetryConfig::default()));
        log
    })
    .await;
}

#[tokio::test]
async fn the_server_goes_away_with_its_data() {
    let Some(server) = S3Server::start("S3: the fixture itself").await else { return };
    let address = server.address();
    assert!(tokio::net::TcpStream::connect(address).await.is_ok(), "the server listens");
    drop(server);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
