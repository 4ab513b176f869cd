//! Two agents on one directory under real clients, while one after the other is killed and started again: groups go
//! on through the agent that is left, nothing that was acknowledged is lost, and committed offsets hold.

use std::time::Duration;

use ebb_tests::e2e::{
    contract::{Foreign, Member, Program, records},
    ebb::{Ebb, Server},
};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    contract::{RECORDS, sdk_write, written},
    sharing::{SHARED, seen, until},
};

/// Within this time after an agent was killed all members must read on. An agent is missed after five seconds.
const INTERRUPTION_MAX: Duration = Duration::from_secs(30);
/// After this time every client knows an agent that has started: librdkafka asks each second. A client whose brokers
/// have all died at once is another matter, and librdkafka 2.16 may then hang for good: see docs/reliability.md.
const NEWCOMER_KNOWN: Duration = Duration::from_secs(4);
/// The topic that is shared.
const TOPIC: &str = "tide";

/// Two agents of one cluster.
struct Agents<'a>([Server<'a>; 2]);

impl Agents<'_> {
    /// A client's program that is told of both.
    fn find(&self, foreign: Foreign, test: &str) -> Option<Program> {
        let [one, two] = &self.0;
        Some(foreign.find(test, one.addresses().kafka)?.also(two.addresses().kafka))
    }

    /// The sum of what a group has committed, as an agent tells it.
    fn committed(&self, agent: usize, group: &str) -> u64 {
        let told = self.0[agent].run(&["group", "describe", group, "--json"], b"").ok();
        let told: Value = serde_json::from_str(told.text()).expect("it prints JSON");
        let offsets = told["offsets"].as_array().expect("a list");
        offsets.iter().filter_map(|offset| offset["offset"].as_u64()).sum()
    }
}

/// A client with a group of its own.
struct Client {
    program: Program,
    foreign: Foreign,
    live: String,
    done: String,
    members: [Member; 2],
}

impl Client {
    fn options<'a>(group: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [&[("topic", TOPIC), ("group", group)], more].concat()
    }

    /// Writes records with this client, through whichever agents it finds.
    fn write(&self, kind: &str) {
        let input: String = written(kind).iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
        let _ = self.program.play("produce", &[("topic", TOPIC), ("codecs", "none")], input.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_real_clients_outlive_the_agents() {
    let test = "two agents under real clients";
    let Some(ebb) = Ebb::find(test) else { return };
    let store = format!("file://{}", ebb.data().display());
    let mut agents = Agents([ebb.agent(&store).await, ebb.agent(&store).await]);
    agents.0[0].create(TOPIC, usize::try_from(SHARED).expect("a count"));
    let sdk = agents.0[0].client().connect().await.expect("the agent serves");
    sdk_write(&sdk, TOPIC, SHARED, "none", &written("first")).await;
    let mut expect = RECORDS;

    let mut clients = Vec::new();
    for (foreign, protocol) in
        [(Foreign::Jvm, "classic"), (Foreign::Confluent, "consumer"), (Foreign::FranzGo, "classic")]
    {
        let Some(program) = agents.find(foreign, test) else { return };
        let (live, done) = (format!("{foreign:?}-live"), format!("{foreign:?}-done"));
        let read = program.play("consume", &Client::options(&done, &[("count", "60")]), b"");
        assert_eq!(records(read).len(), RECORDS);
        let options = Client::options(&live, &[("protocol", protocol)]);
        let members = [program.follow(&options), program.follow(&options)];
        clients.push(Client { program, foreign, live, done, members });
    }
    read_on(&agents.0[0], &mut clients, expect).await;

    for victim in [0, 1] {
        agents.0[victim].kill();
        let killed = Instant::now();
        for client in &clients {
            client.write(&format!("{:?} without {victim}", client.foreign));
            expect += RECORDS;
        }
        read_on(&agents.0[1 - victim], &mut clients, expect).await;
        let interrupted = killed.elapsed();
        assert!(interrupted < INTERRUPTION_MAX, "all read on after {interrupted:?}");
        for client in &clients {
            assert_eq!(agents.committed(1 - victim, &client.done), 60, "{:?}", client.foreign);
        }
        agents.0[victim].restart().await;
        tokio::time::sleep(NEWCOMER_KNOWN).await;
    }
    for client in &mut clients {
        let [first, second] = &mut client.members;
        first.leave();
        until(&agents.0[0], "one member leaves", || first.has_left()).await;
        // Before it knows, the other would commit with an epoch that is past.
        until(&agents.0[0], "the other has all", || second.assigned().len() == 6).await;
        second.leave();
        until(&agents.0[0], "the other leaves", || second.has_left()).await;
        let committed = agents.committed(0, &client.live);
        assert_eq!(committed, u64::try_from(expect).expect("a count"), "{:?}", client.foreign);
    }
    for agent in &agents.0 {
        assert!(!agent.said().contains("panicked"), "{}", agent.said());
    }
}

/// Waits until every client has read so many different records.
async fn read_on(agent: &Server<'_>, clients: &mut [Client], count: usize) {
    for client in clients {
        let what = format!("{:?} reads {count} records", client.foreign);
        until(agent, &what, || seen(&mut client.members.iter_mut().collect::<Vec<_>>()).len() >= count).await;
    }
}
