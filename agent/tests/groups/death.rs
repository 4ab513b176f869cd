//! Coordinators that go: in order, and without a word.

use std::{path::Path, time::Duration};

use ebb_agent::{Agent, Storage};
use ebb_protocol::error::ResponseError;
use tokio::time::{Instant, sleep};

use super::{
    commit, committed,
    common::{
        Connection, config, environment,
        pair::{Pair, connect, start},
    },
    consumer::{beat, joins},
    coordinator, fetched,
};

/// An agent that is dead must be found out within this time.
const FOUND_OUT_MAX: Duration = Duration::from_secs(5);

impl Pair {
    /// Takes out the agent that coordinates the group: that one, and a connection to the other.
    async fn take(&mut self, name: &str) -> (Agent, Connection) {
        let mut client = connect(&self.agents[0]).await;
        let port = coordinator(&mut client, name).await.port;
        let at = |agent: &Agent| agent.addresses().kafka.expect("it listens").port();
        let index = self.agents.iter().position(|agent| i32::from(at(agent)) == port);
        let taken = self.agents.remove(index.expect("one of them coordinates the group"));
        (taken, connect(&self.agents[0]).await)
    }
}

/// Asks the agent who coordinates the group until it names itself.
async fn takes_over(client: &mut Connection, agent: &Agent, name: &str) {
    let own = i32::from(agent.addresses().kafka.expect("it listens on TCP").port());
    while coordinator(client, name).await.port != own {
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_coordinator_that_dies_is_replaced_and_nothing_is_lost() {
    let mut pair = Pair::start().await;
    let (doomed, mut other) = pair.take("g").await;
    let mut client = connect(&doomed).await;
    client.create_topic("t", 1, &[]).await;
    let joined = client.call(&joins("g", "member", "t"), 1).await;
    assert_eq!(joined.error_code, 0, "{:?}", joined.error_message);
    let epoch = joined.member_epoch;
    let said = commit("g", "t", &[(0, 42)])
        .with_member_id(super::text("member"))
        .with_generation_id_or_member_epoch(epoch);
    let elsewhere = committed(&mut other, &said, 9).await;
    assert_eq!(elsewhere, [ResponseError::NotCoordinator.code()], "the other does not coordinate the group");
    assert_eq!(committed(&mut client, &said, 9).await, [0]);

    drop(doomed);
    let died = Instant::now();
    takes_over(&mut other, &pair.agents[0], "g").await;
    assert!(died.elapsed() < FOUND_OUT_MAX, "{:?}", died.elapsed());
    assert_eq!(fetched(&mut other, "g", "t").await, 42);
    let answer = other.call(&beat("g", "member", epoch), 1).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, epoch), "the member goes on as if nothing was");
}

#[tokio::test]
async fn a_coordinator_that_leaves_hands_its_groups_over_at_once() {
    let mut pair = Pair::start().await;
    let (leaving, mut other) = pair.take("g").await;
    let mut client = connect(&leaving).await;
    client.create_topic("t", 1, &[]).await;
    assert_eq!(committed(&mut client, &commit("g", "t", &[(0, 7)]), 8).await, [0]);
    drop(client);
    leaving.shutdown().await;
    let found = coordinator(&mut other, "g").await;
    let own = pair.agents[0].addresses().kafka.expect("it listens on TCP").port();
    assert_eq!((found.error_code, found.port), (0, i32::from(own)), "the first answer names it");
    assert_eq!(fetched(&mut other, "g", "t").await, 7);
}

#[tokio::test]
async fn groups_move_to_an_agent_that_comes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = |path: &Path| config(path.to_owned());
    let settings = config(directory.path());
    let storage = Storage::open(&settings, &environment()).await.expect("storage in memory opens");
    let old = start(&storage, settings, 0).await;
    let mut client = connect(&old).await;
    client.create_topic("t", 1, &[]).await;
    let names: Vec<_> = (0..16).map(|index| format!("g{index}")).collect();
    for name in &names {
        assert_eq!(committed(&mut client, &commit(name, "t", &[(0, 3)]), 8).await, [0]);
    }
    let new = start(&storage, config(directory.path()), 1).await;
    let own = i32::from(new.addresses().kafka.expect("it listens on TCP").port());
    let mut newcomer = connect(&new).await;
    let mut moved = 0;
    for name in &names {
        let found = coordinator(&mut client, name).await.port;
        assert_eq!(coordinator(&mut newcomer, name).await.port, found, "both agents say the same");
        if found == own {
            moved += 1;
            assert_eq!(fetched(&mut newcomer, name, "t").await, 3);
            let stale = committed(&mut client, &commit(name, "t", &[(0, 4)]), 8).await;
            assert_eq!(stale, [ResponseError::NotCoordinator.code()]);
        } else {
            assert_eq!(fetched(&mut client, name, "t").await, 3);
        }
    }
    assert!((1..16).contains(&moved), "{moved} of 16 groups moved");
}
