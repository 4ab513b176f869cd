//! An agent on a local directory is killed, again and again, under load. The checker judges what the clients saw.

use std::{env, time::Duration};

use ebb_protocol::random::Random;
use ebb_tests::e2e::{
    ebb::{Ebb, Server},
    load::{Load, Plan},
};
use tokio::time::sleep;

/// How often the agent is killed when nothing else is said; `tests/soak` says more.
const CYCLES: u64 = 50;
/// The variable that says how often.
const CYCLES_VARIABLE: &str = "EBB_TEST_KILL_CYCLES";
/// Records that must be acknowledged between two kills, and the time for it: less than a request may go unanswered, so
/// clients have to notice at once that an agent was replaced.
const PROGRESS: usize = 20;
const PROGRESS_MAX: Duration = Duration::from_secs(25);
/// A kill comes at a random time within this after progress was made, or after the start.
const LIFE_MAX_MS: u64 = 60;
const START_LIFE_MAX_MS: u64 = 30;
/// An agent has to stop in order within this time.
const STOP_MAX: Duration = Duration::from_secs(30);

fn plan(seed: u64) -> Plan {
    Plan {
        topic: "crash",
        partitions: 3,
        // Small records ride in the log's entries, large ones go into segments.
        producers: vec![100, 1000, 20_000],
        delivery_timeout: Duration::from_secs(120),
        seed,
    }
}

async fn load(server: &Server<'_>, plan: Plan) -> (Load, ebbtide::Client) {
    server.create(plan.topic, usize::try_from(plan.partitions).expect("a topic has partitions"));
    let client = server.client().connect().await.expect("the agent serves");
    let clients = [client.clone(), server.client().connect().await.expect("the agent serves")];
    (Load::start(plan, &clients), client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures of a soak run")]
async fn nothing_is_lost_however_often_the_agent_is_killed() {
    let Some(ebb) = Ebb::find("kill -9 under load") else { return };
    let cycles = env::var(CYCLES_VARIABLE).map_or(CYCLES, |text| text.parse().expect("a number of cycles"));
    let random = Random::from_seed(cycles);
    let mut server = ebb.dev(&["--inline-bytes-max", "16KiB"]).await;
    let (load, client) = load(&server, plan(cycles)).await;
    for cycle in 0..cycles {
        load.progress(PROGRESS, PROGRESS_MAX).await;
        sleep(Duration::from_millis(random.below(LIFE_MAX_MS))).await;
        server.kill();
        if cycle % 5 == 4 {
            // Into the start itself, wherever that is by then.
            server.respawn();
            sleep(Duration::from_millis(random.below(START_LIFE_MAX_MS))).await;
            server.kill();
        }
        server.restart().await;
    }
    let history = load.finish(&client).await;
    server.kill();
    ebb.fsck();
    history.judge("crash");
    let counts = history.counts();
    assert!(counts.read >= counts.acknowledged, "everything was read: {counts:?}");
    assert!(!server.said().contains("panicked"), "{}", server.said());
    println!("{cycles} kills: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_asked_to_stop_stops_in_order() {
    let Some(ebb) = Ebb::find("SIGTERM under load") else { return };
    let mut server = ebb.dev(&[]).await;
    let (load, client) = load(&server, plan(1)).await;
    for _ in 0..3 {
        load.progress(PROGRESS, PROGRESS_MAX).await;
        server.terminate();
        let status = server.ended(STOP_MAX).await.expect("it stops in time");
        assert_eq!(status.code(), Some(0), "{}", server.said());
        server.restart().await;
    }
    let history = load.finish(&client).await;
    server.kill();
    ebb.fsck();
    history.judge("stop");
    assert!(!server.said().contains("panicked"), "{}", server.said());
}
