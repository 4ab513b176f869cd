//! The programs that come with librdkafka and its users: kcat as a member of a group, and librdkafka's own benchmark.

use std::collections::BTreeSet;

use ebb_tests::{
    e2e::{
        ebb::Ebb,
        foreign::{Kcat, KcatMember},
        program::{program, run},
    },
    tools::Tool,
};

use crate::{
    contract::{RECORDS, sdk_write, written},
    sharing::until,
};

/// Partitions of the topics.
const PARTITIONS: i32 = 4;
/// Records that the benchmark writes and reads.
const BENCHMARK: &str = "5000";

fn seen(members: &[&KcatMember]) -> BTreeSet<(i32, i64)> {
    members.iter().flat_map(|member| member.read()).collect()
}

/// Two share the partitions; when one leaves, the other has all and goes on where the group has committed.
#[tokio::test]
async fn kcat_shares_a_topic() {
    let test = "kcat in a group";
    let Some(ebb) = Ebb::find(test) else { return };
    let server = ebb.dev(&[]).await;
    let Some(kcat) = Kcat::find(test, server.addresses().kafka) else { return };
    let client = server.client().connect().await.expect("the agent serves");
    server.create("shared", usize::try_from(PARTITIONS).expect("a count"));
    let write = async |kind| sdk_write(&client, "shared", PARTITIONS, "zstd", &written(kind)).await;

    write("one").await;
    let mut first = kcat.follow("kcat", "shared");
    until(&server, "one member has all", || first.assigned() == [0, 1, 2, 3]).await;
    until(&server, "one member reads all", || first.read().len() == RECORDS).await;
    let mut second = kcat.follow("kcat", "shared");
    until(&server, "two members share", || {
        let (first, second) = (first.assigned(), second.assigned());
        first.len() == 2 && second.len() == 2 && !first.iter().any(|partition| second.contains(partition))
    })
    .await;
    write("two").await;
    until(&server, "both read", || seen(&[&first, &second]).len() == 2 * RECORDS).await;
    assert!(!second.read().is_empty(), "the second member has its share");
    first.leave();
    until(&server, "one leaves", || first.has_left()).await;
    until(&server, "the other has all", || second.assigned() == [0, 1, 2, 3]).await;
    write("three").await;
    until(&server, "the other reads", || seen(&[&first, &second]).len() == 3 * RECORDS).await;
    second.leave();
    until(&server, "the other leaves", || second.has_left()).await;
    let twice = first.read().len() + second.read().len() - 3 * RECORDS;
    assert_eq!(twice, 0, "whoever leaves commits what it has read");
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

/// What librdkafka's benchmark has written it reads, alone and in a group.
#[tokio::test]
async fn the_benchmark_of_librdkafka() {
    let test = "librdkafka's benchmark";
    let (Some(ebb), Some(path)) = (Ebb::find(test), Tool::RdkafkaPerformance.find(test)) else { return };
    let server = ebb.dev(&[]).await;
    server.create("bench", 1);
    let broker = server.addresses().kafka.to_string();
    let told = |mode: &[&str]| {
        let mut command = program(&path);
        command.args(mode).args(["-b", &broker, "-t", "bench", "-c", BENCHMARK]);
        run(&mut command, b"").ok().text().to_owned()
    };
    let written = told(&["-P", "-s", "100", "-a", "-1"]);
    assert!(written.contains("5000 messages produced"), "{written}");
    for mode in
        [&["-C", "-p", "0", "-o", "beginning"][..], &["-G", "benchmark", "-X", "auto.offset.reset=earliest"]]
    {
        let read = told(mode);
        assert!(read.contains("5000 messages (500000 bytes) consumed"), "{mode:?}: {read}");
    }
    assert!(!server.said().contains("panicked"), "{}", server.said());
}
