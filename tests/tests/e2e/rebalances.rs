//! Members of a group that come, go, die and come back, alone and among other clients: nobody loses a partition that
//! it could keep, and nobody waits longer than its time-outs say.

use std::collections::BTreeSet;

use ebb_tests::e2e::{
    contract::{Foreign, Member, Program},
    ebb::{Ebb, Server},
};
use ebbtide::Client;

use crate::{
    contract::{RECORDS, sdk_write, written},
    sharing::{SHARED, seen, until},
};

/// A member that has died is missed after this many milliseconds.
const SESSION_MS: &str = "6000";
/// A member that stalls does so for this many milliseconds, longer than its time between polls.
const STALL_MS: &str = "9000";
/// The topic that is shared.
const TOPIC: &str = "shared";

/// A server with the topic, and a client of our own for it.
async fn serve(ebb: &Ebb) -> (Server<'_>, Client) {
    let server = ebb.dev(&[]).await;
    server.create(TOPIC, usize::try_from(SHARED).expect("a count"));
    let client = server.client().connect().await.expect("the agent serves");
    (server, client)
}

fn options<'a>(group: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("topic", TOPIC), ("group", group)], more].concat()
}

/// Whether the members have all partitions, each once.
fn share(members: &mut [&mut Member]) -> bool {
    let mut all: Vec<_> = members.iter_mut().flat_map(|member| member.assigned().to_vec()).collect();
    all.sort_unstable();
    all == (0..SHARED).collect::<Vec<_>>()
}

/// Whether the members have all partitions, each once, and none has more than another.
fn share_equally(members: &mut [&mut Member]) -> bool {
    let most = members.iter_mut().map(|member| member.assigned().len()).max();
    let least = members.iter_mut().map(|member| member.assigned().len()).min();
    share(members) && most == least
}

/// Writes records and waits until the members have read them.
async fn flow(server: &Server<'_>, client: &Client, kind: &str, members: &mut [&mut Member]) {
    let before = seen(members).len();
    sdk_write(client, TOPIC, SHARED, "none", &written(kind)).await;
    until(server, &format!("all of {kind} is read"), || seen(members).len() >= before + RECORDS).await;
}

#[tokio::test]
async fn jvm_hands_over_only_what_another_gets() {
    hands_over(Foreign::Jvm).await;
}

#[tokio::test]
async fn franz_go_hands_over_only_what_another_gets() {
    hands_over(Foreign::FranzGo).await;
}

#[tokio::test]
async fn librdkafka_hands_over_only_what_another_gets() {
    hands_over(Foreign::Confluent).await;
}

/// With the cooperative assignor (KIP-429) a member keeps what it can keep, also while the others join.
async fn hands_over(foreign: Foreign) {
    let test = format!("{foreign:?} hands partitions over");
    let Some(ebb) = Ebb::find(&test) else { return };
    let (server, client) = serve(&ebb).await;
    let Some(program) = foreign.find(&test, server.addresses().kafka) else { return };
    let options = options("cooperative", &[("assignor", "cooperative-sticky")]);
    let mut first = program.follow(&options);
    until(&server, "one member has all", || share(&mut [&mut first])).await;
    let mut second = program.follow(&options);
    until(&server, "two members share", || share_equally(&mut [&mut first, &mut second])).await;
    let mut handed_over = first.revoked().to_vec();
    handed_over.sort_unstable();
    assert_eq!(handed_over, second.assigned(), "only what the other has was taken away");
    flow(&server, &client, "shared", &mut [&mut first, &mut second]).await;
    second.leave();
    until(&server, "one leaves", || second.has_left()).await;
    until(&server, "the other has all", || share(&mut [&mut first])).await;
    assert_eq!(first.revoked().len(), handed_over.len(), "nothing is taken away to give something");
    first.leave();
    until(&server, "the other leaves", || first.has_left()).await;
}

#[tokio::test]
async fn a_static_jvm_member_returns_unnoticed() {
    returns_unnoticed(Foreign::Jvm).await;
}

#[tokio::test]
async fn a_static_franz_go_member_returns_unnoticed() {
    returns_unnoticed(Foreign::FranzGo).await;
}

#[tokio::test]
async fn a_static_librdkafka_member_returns_unnoticed() {
    returns_unnoticed(Foreign::Confluent).await;
}

/// A static member (KIP-345) that comes back within its session time-out has what it had, and nobody else notices.
async fn returns_unnoticed(foreign: Foreign) {
    let test = format!("{foreign:?} as a static member");
    let Some(ebb) = Ebb::find(&test) else { return };
    let (server, client) = serve(&ebb).await;
    let Some(program) = foreign.find(&test, server.addresses().kafka) else { return };
    let options = |instance| options("static", &[("assignor", "range"), ("instance", instance)]);
    let mut first = program.follow(&options("one"));
    until(&server, "one member has all", || share(&mut [&mut first])).await;
    let mut second = program.follow(&options("two"));
    until(&server, "two members share", || share_equally(&mut [&mut first, &mut second])).await;
    flow(&server, &client, "before", &mut [&mut first, &mut second]).await;
    let (had, taken) = (first.assigned().to_vec(), second.revoked().len());
    // Both are restarted in turn, so that the one that leads the group is among them.
    for instance in ["one", "two"] {
        let (restarted, other) =
            if instance == "one" { (&mut first, &mut second) } else { (&mut second, &mut first) };
        let had = restarted.assigned().to_vec();
        restarted.kill();
        *restarted = program.follow(&options(instance));
        until(&server, "the member has what it had", || restarted.assigned() == had).await;
        flow(&server, &client, instance, &mut [restarted, other]).await;
    }
    assert_eq!(first.assigned(), had);
    assert!(first.revoked().is_empty(), "the restart of the other took {:?}", first.revoked());
    assert!(second.revoked().is_empty() && taken == 0, "{:?}", second.revoked());
}

/// The partitions of a member that is killed go to the others after its session time-out.
#[tokio::test]
async fn a_member_that_is_killed_is_missed() {
    let test = "members that are killed";
    let Some(ebb) = Ebb::find(test) else { return };
    let (server, client) = serve(&ebb).await;
    let mut pairs = Vec::new();
    for (foreign, group) in
        [(Foreign::Jvm, "jvm"), (Foreign::FranzGo, "franz"), (Foreign::Confluent, "librdkafka")]
    {
        let Some(program) = foreign.find(test, server.addresses().kafka) else { return };
        let options = options(group, &[("session", SESSION_MS)]);
        pairs.push([program.follow(&options), program.follow(&options)]);
    }
    for [first, second] in &mut pairs {
        until(&server, "two members share", || share_equally(&mut [first, second])).await;
    }
    sdk_write(&client, TOPIC, SHARED, "none", &written("before")).await;
    for [first, second] in &mut pairs {
        until(&server, "both read", || seen(&mut [first, second]).len() == RECORDS).await;
        first.kill();
    }
    sdk_write(&client, TOPIC, SHARED, "none", &written("after")).await;
    for [first, second] in &mut pairs {
        until(&server, "the other has all", || share(&mut [second])).await;
        until(&server, "the other reads on", || seen(&mut [first, second]).len() == 2 * RECORDS).await;
    }
}

/// Clients of five libraries share a topic in one group, by the assignor that all of them know.
#[tokio::test]
async fn different_clients_share_a_group() {
    let test = "different clients in one group";
    let Some(ebb) = Ebb::find(test) else { return };
    let (server, client) = serve(&ebb).await;
    let all = [Foreign::Jvm, Foreign::FranzGo, Foreign::Confluent, Foreign::Sarama, Foreign::KafkaPython];
    let mut members: Vec<Member> = Vec::new();
    for foreign in all {
        let Some(program) = foreign.find(test, server.addresses().kafka) else { return };
        let knows_assignors = !matches!(foreign, Foreign::Sarama | Foreign::KafkaPython);
        let assignor: &[_] = if knows_assignors { &[("assignor", "range")] } else { &[] };
        members.push(program.follow(&options("mixed", assignor)));
        let mut so_far: Vec<_> = members.iter_mut().collect();
        until(&server, &format!("{foreign:?} has its share"), || {
            share(&mut so_far) && so_far.iter_mut().all(|member| !member.assigned().is_empty())
        })
        .await;
    }
    flow(&server, &client, "five", &mut members.iter_mut().collect::<Vec<_>>()).await;
    let mut read: BTreeSet<_> = BTreeSet::new();
    while members.len() > 1 {
        let mut leaving = members.remove(0);
        leaving.leave();
        until(&server, "a member leaves", || leaving.has_left()).await;
        read.extend(leaving.read().to_vec());
        let mut others: Vec<_> = members.iter_mut().collect();
        until(&server, "the others share", || share(&mut others)).await;
    }
    sdk_write(&client, TOPIC, SHARED, "none", &written("one")).await;
    until(&server, "the last one reads all", || {
        read.extend(members[0].read().to_vec());
        read.len() == 2 * RECORDS
    })
    .await;
}

/// A group moves from the classic protocol to that of KIP-848 and back, member by member, while it reads.
#[tokio::test]
async fn a_group_changes_its_protocol_while_it_reads() {
    let test = "groups that change their protocol";
    let Some(ebb) = Ebb::find(test) else { return };
    let (server, client) = serve(&ebb).await;
    let find = |foreign: Foreign| foreign.find(test, server.addresses().kafka);
    let (Some(jvm), Some(librdkafka), Some(franz)) =
        (find(Foreign::Jvm), find(Foreign::Confluent), find(Foreign::FranzGo))
    else {
        return;
    };
    let join = |program: &Program, protocol| program.follow(&options("changing", &[("protocol", protocol)]));
    let mut first = join(&jvm, "classic");
    until(&server, "the classic member has all", || share(&mut [&mut first])).await;
    let mut second = join(&librdkafka, "consumer");
    until(&server, "both protocols share", || share_equally(&mut [&mut first, &mut second])).await;
    flow(&server, &client, "both", &mut [&mut first, &mut second]).await;
    first.leave();
    until(&server, "the classic member leaves", || first.has_left()).await;
    until(&server, "the new protocol has all", || share(&mut [&mut second])).await;
    let mut third = join(&franz, "classic");
    until(&server, "both protocols share again", || share_equally(&mut [&mut second, &mut third])).await;
    flow(&server, &client, "again", &mut [&mut first, &mut second, &mut third]).await;
    second.leave();
    until(&server, "the new protocol leaves", || second.has_left()).await;
    until(&server, "the classic member has all again", || share(&mut [&mut third])).await;
    flow(&server, &client, "last", &mut [&mut first, &mut second, &mut third]).await;
}

/// A member that processes for longer than its `max.poll.interval.ms` loses its partitions to the others, although it
/// is alive, and has its share again when it is done.
#[tokio::test]
async fn a_member_that_polls_too_late_is_left_out() {
    let test = "members that poll too late";
    let Some(ebb) = Ebb::find(test) else { return };
    let (server, client) = serve(&ebb).await;
    let mut pairs = Vec::new();
    for (foreign, protocol, group) in [
        (Foreign::Jvm, "classic", "jvm"),
        (Foreign::Jvm, "consumer", "jvm consumer"),
        (Foreign::Confluent, "classic", "librdkafka"),
    ] {
        let Some(program) = foreign.find(test, server.addresses().kafka) else { return };
        let usual = options(group, &[("protocol", protocol), ("session", SESSION_MS)]);
        let stalling = [&usual[..], &[("stall", STALL_MS)]].concat();
        pairs.push([program.follow(&stalling), program.follow(&usual)]);
    }
    for [first, second] in &mut pairs {
        until(&server, "two members share", || share_equally(&mut [first, second])).await;
    }
    sdk_write(&client, TOPIC, SHARED, "none", &written("before")).await;
    for [_, second] in &mut pairs {
        until(&server, "the other has all", || share(&mut [second])).await;
        until(&server, "the other reads all", || seen(&mut [second]).len() == RECORDS).await;
    }
    for [first, second] in &mut pairs {
        until(&server, "two members share again", || share_equally(&mut [first, second])).await;
    }
    sdk_write(&client, TOPIC, SHARED, "none", &written("after")).await;
    for [first, second] in &mut pairs {
        until(&server, "both read on", || seen(&mut [first, second]).len() == 2 * RECORDS).await;
        assert!(!first.read().is_empty(), "the member that was late has its share");
    }
}
