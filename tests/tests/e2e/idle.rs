//! An agent that nobody uses asks nothing of its store.

use std::{collections::BTreeMap, time::Duration};

use ebb_tests::e2e::{ebb::Ebb, http};
use tokio::time::sleep;

/// How long the agent is watched: longer than every timer of a fetch or a flush.
const WATCHED: Duration = Duration::from_secs(4);

fn requests(metrics: &BTreeMap<String, f64>) -> BTreeMap<&String, &f64> {
    metrics.iter().filter(|(name, _)| name.starts_with("ebb_store_requests_total")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_agent_makes_no_request_to_its_store() {
    let Some(ebb) = Ebb::find("requests while idle") else { return };
    let server = ebb.dev(&[]).await;
    let http = server.addresses().http;
    server.create("idle", 3);
    let _ = server.run(&["produce", "idle"], b"once\n").ok();

    let before = http::metrics(http).await;
    assert!(requests(&before).values().any(|count| **count > 0.0), "requests are counted: {before:?}");
    sleep(WATCHED).await;
    let after = http::metrics(http).await;
    assert_eq!(requests(&after), requests(&before), "without clients");

    // What is written afterwards is counted again.
    let _ = server.run(&["produce", "idle"], b"twice\n").ok();
    assert_ne!(requests(&http::metrics(http).await), requests(&after), "with a client");
}
