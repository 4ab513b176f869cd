//! What Ebbtide needs of an S3 server, on a real one.

use ebb_tests::s3::S3Server;
use futures::future::join_all;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};

const ROUNDS: usize = 40;
const RACERS: usize = 16;

/// Creates the object, and tells whether this call was the one that did.
async fn create(bucket: &impl ObjectStore, key: &Path, value: String) -> bool {
    match bucket.put_opts(key, PutPayload::from(value), PutMode::Create.into()).await {
        Ok(_) => true,
        Err(Error::AlreadyExists { .. }) => false,
        Err(error) => panic!("creating {key}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_create_has_one_winner() {
    let Some(server) = S3Server::start("S3: conditional create").await else { return };
    let bucket = server.bucket();
    for round in 0..ROUNDS {
        let key = Path::from(format!("race/{round}"));
        let won = join_all((0..RACERS).map(|racer| create(&bucket, &key, racer.to_string()))).await;
        let winners: Vec<usize> = (0..RACERS).filter(|&racer| won[racer]).collect();
        assert_eq!(winners.len(), 1, "round {round}: winners {winners:?}");
        let stored =
            bucket.get(&key).await.expect("the object stands").bytes().await.expect("it can be read");
        assert_eq!(stored, winners[0].to_string(), "round {round}: the winner's bytes stand");
        assert!(!create(&bucket, &key, "late".to_owned()).await, "round {round}: a late create is refused");
    }
}

#[tokio::test]
async fn the_server_goes_away_with_its_data() {
    let Some(server) = S3Server::start("S3: the fixture itself").await else { return };
    let endpoint = server.env()[0].1.trim_start_matches("http://").to_owned();
    assert!(tokio::net::TcpStream::connect(&endpoint).await.is_ok(), "the server listens");
    drop(server);
    assert!(tokio::net::TcpStream::connect(&endpoint).await.is_err(), "nobody listens any more");
}
