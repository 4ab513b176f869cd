//! `ebb group` and the SDK's calls about groups, on groups that other clients fill with life.

use ebb_tests::e2e::{
    ebb::{Ebb, Server},
    foreign::Kcat,
    tunnel::Tunnel,
};
use ebbtide::{ErrorCode, PartitionIndex};
use serde_json::{Value, json};

/// Records in the topic.
const RECORDS: usize = 1000;

/// What a tool prints as JSON.
fn printed(server: &Server<'_>, arguments: &[&str]) -> Value {
    let ran = server.run(&[arguments, &["--json"]].concat(), b"").ok();
    serde_json::from_str(ran.text()).expect("it prints JSON")
}

/// A field of every offset that a group has, by partition.
fn offsets(server: &Server<'_>, group: &str, field: &str) -> Vec<i64> {
    let described = printed(server, &["group", "describe", group]);
    let offsets = described["offsets"].as_array().expect("a list");
    offsets.iter().map(|offset| offset[field].as_i64().expect("a number")).collect()
}

/// Reads a topic with a group until its end, and answers how many records that gave.
fn read(kcat: &Kcat, group: &str) -> usize {
    let settings = ["-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000"];
    kcat.run(&[&settings[..], &["-e", "-q", "-G", group, "logbook"]].concat(), b"")
        .ok()
        .text()
        .lines()
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_listed_described_moved_and_deleted() {
    let test = "ebb group";
    let Some(ebb) = Ebb::find(test) else { return };
    let server = ebb.dev(&[]).await;
    server.create("logbook", 2);
    let input: String = (0..RECORDS).map(|i| format!("record {i}\n")).collect();
    let _ = server.run(&["produce", "logbook"], input.as_bytes()).ok();
    // A group that nobody has joined can be told where to begin.
    let reset = ["group", "reset-offsets", "fresh", "--topic", "logbook", "--to"];
    let shown = printed(&server, &[&reset[..], &["latest", "--dry-run"]].concat());
    assert_eq!(shown.as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(printed(&server, &["group", "list"]), json!([]), "a dry run changes nothing");
    let _ = server.run(&[&reset[..], &["latest"]].concat(), b"").ok();
    assert_eq!(offsets(&server, "fresh", "lag"), [0, 0]);
    let _ = server.run(&[&reset[..], &["0", "--partition", "1"]].concat(), b"").ok();
    assert_eq!(offsets(&server, "fresh", "offset")[1], 0);

    // Through a tunnel, a group's coordinator has to be found too.
    let tunnel = Tunnel::start(&ebb, &server).await;
    if let Some(kcat) = Kcat::find(test, tunnel.address()) {
        assert_eq!(read(&kcat, "readers"), RECORDS);
        // A partition without records has no offset.
        let lags = offsets(&server, "readers", "lag");
        assert!(!lags.is_empty() && lags.iter().all(|lag| *lag == 0), "what was read is committed: {lags:?}");
        assert_eq!(read(&kcat, "readers"), 0, "and is not read again");
        let to_start = ["group", "reset-offsets", "readers", "--topic", "logbook", "--to", "earliest"];
        let _ = server.run(&to_start, b"").ok();
        assert_eq!(read(&kcat, "readers"), RECORDS);
    }

    let _ = server.run(&["group", "delete", "fresh"], b"").ok();
    for gone in [["group", "describe", "fresh"], ["group", "delete", "fresh"]] {
        let ran = server.run(&gone, b"");
        assert_eq!((ran.code, ran.stderr.lines().count()), (1, 1), "{}", ran.stderr);
    }
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

#[tokio::test]
async fn the_sdk_forgets_offsets_and_names_what_is_not_there() {
    let test = "the SDK's calls about groups";
    let Some(ebb) = Ebb::find(test) else { return };
    let server = ebb.dev(&[]).await;
    server.create("logbook", 2);
    let client = server.client().connect().await.expect("the agent serves");
    let admin = client.admin();
    let (zero, one) = (PartitionIndex(0), PartitionIndex(1));
    let offset = |partition| ("logbook".to_owned(), partition, ebbtide::Offset(0));
    admin.alter_group_offsets("group", &[offset(zero), offset(one)]).await.expect("it has no members");
    admin.delete_group_offsets("group", "logbook", &[zero]).await.expect("nobody reads it");
    let left = admin.group_offsets("group").await.expect("the agent serves");
    assert_eq!(left.iter().map(|left| left.partition).collect::<Vec<_>>(), [one]);
    assert_eq!(admin.group_offsets("nobody").await.expect("the agent serves"), []);
    let unknown = admin.describe_group("nobody").await.expect_err("there is none");
    assert_eq!(unknown.code(), Some(ErrorCode::GroupIdNotFound), "{unknown}");
    client.close().await;
}
