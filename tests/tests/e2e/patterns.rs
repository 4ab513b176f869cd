//! Members that subscribe by a regular expression get topics that come later, and lose those that are deleted: by the
//! client's own look at all topics in a classic group, by the coordinator in one of KIP-848.

use std::time::Duration;

use ebb_tests::e2e::{
    contract::{Foreign, Member},
    ebb::Ebb,
};
use ebbtide::Client;

use crate::{
    contract::{RECORDS, sdk_write, written},
    sharing::{seen, until},
};

/// How long a commit may take, on a machine that is busy with other tests.
const COMMIT_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks at what is committed.
const POLL: Duration = Duration::from_millis(50);

/// What a member has, without regard to topics, of which two have a partition of the same number.
fn has(member: &mut Member, partitions: std::ops::Range<i32>) -> bool {
    let mut assigned = member.assigned().to_vec();
    assigned.dedup();
    assigned == partitions.collect::<Vec<_>>()
}

/// Waits until a group has committed all that it has read: for a topic that is deleted nobody can.
async fn committed(client: &Client, group: &str) {
    let waiting = async {
        loop {
            let offsets = client.admin().group_offsets(group).await.expect("the agent serves");
            if offsets.iter().map(|offset| offset.offset.0).sum::<i64>() == RECORDS as i64 {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(COMMIT_MAX, waiting).await.unwrap_or_else(|_| panic!("{group} does not commit"));
}

#[tokio::test]
async fn members_follow_topics_that_come_and_go() {
    let test = "regular expressions";
    let Some(ebb) = Ebb::find(test) else { return };
    let server = ebb.dev(&[]).await;
    let client = server.client().connect().await.expect("the agent serves");
    server.create("watched-first", 2);
    server.create("unwatched", 8);
    let mut members = Vec::new();
    for (foreign, protocol) in [
        (Foreign::Jvm, "classic"),
        (Foreign::Jvm, "consumer"),
        (Foreign::FranzGo, "classic"),
        (Foreign::FranzGo, "consumer"),
        (Foreign::Confluent, "classic"),
        (Foreign::Confluent, "consumer"),
        (Foreign::KafkaPython, "classic"),
        (Foreign::Aiokafka, "classic"),
    ] {
        let Some(program) = foreign.find(test, server.addresses().kafka) else { return };
        let group = format!("{foreign:?} {protocol}");
        let options =
            [("pattern", "^watched-.*"), ("topic", "none"), ("group", &group), ("protocol", protocol)];
        let member = program.follow(&options);
        members.push((group, member));
    }
    for (group, member) in &mut members {
        until(&server, &format!("{group} has what is there"), || has(member, 0..2)).await;
    }
    server.create("watched-second", 4);
    for (group, member) in &mut members {
        until(&server, &format!("{group} has what came later"), || has(member, 0..4)).await;
    }
    sdk_write(&client, "watched-second", 4, "none", &written("second")).await;
    for (group, member) in &mut members {
        until(&server, &format!("{group} reads it"), || seen(&mut [member]).len() == RECORDS).await;
        committed(&client, group).await;
    }
    let _ = server.run(&["topic", "delete", "watched-second"], b"").ok();
    // franz-go takes a topic for deleted only when it was missing for long.
    members.retain(|(group, _)| !group.starts_with("FranzGo"));
    for (group, member) in &mut members {
        until(&server, &format!("{group} loses what is deleted"), || has(member, 0..2)).await;
    }
    sdk_write(&client, "watched-first", 2, "none", &written("first")).await;
    for (group, member) in &mut members {
        until(&server, &format!("{group} reads on"), || seen(&mut [member]).len() == 2 * RECORDS).await;
    }
    assert!(!server.said().contains("panicked"), "{}", server.said());
}
