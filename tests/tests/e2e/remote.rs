//! Agents on a real S3 server: crashes, several agents at once, and a store that cannot hold a log.

use std::time::Duration;

use ebb_tests::{
    e2e::{
        careless::CarelessStore,
        ebb::Ebb,
        load::{Load, Plan},
    },
    s3::S3Server,
};

/// How often agents are killed.
const KILLS: usize = 6;
/// Records that must be acknowledged between two kills, and the time for it.
const PROGRESS: usize = 20;
const PROGRESS_MAX: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_on_one_bucket_lose_nothing_when_they_crash() {
    let test = "S3: two agents on a bucket";
    let Some(s3) = S3Server::start(test).await else { return };
    let Some(ebb) = Ebb::find(test).map(|ebb| ebb.env(s3.env())) else { return };
    let store = s3.url("log");
    let mut agents = [ebb.agent(&store).await, ebb.agent(&store).await];
    let plan = Plan {
        topic: "remote",
        partitions: 2,
        producers: vec![1000, 20_000, 1000, 20_000],
        delivery_timeout: Duration::from_secs(120),
        seed: 3,
    };
    agents[0].create(plan.topic, 2);
    let mut clients = Vec::new();
    for agent in &agents {
        clients.push(agent.client().connect().await.expect("the agent serves"));
    }
    let load = Load::start(plan, &clients);
    for kill in 0..KILLS {
        load.progress(PROGRESS, PROGRESS_MAX).await;
        let agent = &mut agents[kill % 2];
        agent.kill();
        agent.restart().await;
    }
    load.progress(PROGRESS, PROGRESS_MAX).await;
    let history = load.finish(&clients[0]).await;
    for agent in &mut agents {
        agent.kill();
        assert!(!agent.said().contains("panicked"), "{}", agent.said());
    }
    let checked = ebb.run(&["fsck", "--store", &store], b"");
    assert_eq!(checked.code, 0, "fsck: {}", checked.stderr);
    history.judge("remote");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_ignores_conditions_is_refused() {
    let careless = CarelessStore::start().await.expect("a port is free");
    let Some(ebb) = Ebb::find("a store that ignores conditions").map(|ebb| ebb.env(careless.env())) else {
        return;
    };
    let refused = ebb
        .run(&["agent", "--store", "s3://ebb/log", "--quic", "127.0.0.1:0", "--kafka", "127.0.0.1:0"], b"");
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("If-None-Match"), "the guarantee is named: {}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
}
