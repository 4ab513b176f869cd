//! `ebb bench failover`: kills the agent that coordinates a group, and measures the time until the group's member is
//! known to another one, asking as Kafka's clients do. Starts two agents on one directory.

use std::{path::Path, time::Duration};

use ebbtide::Offset;
use tokio::time::{Instant, sleep};

use super::{
    Report, ensure_subscribed,
    member::Member,
    print,
    server::Server,
    wire::{Wire, Wires},
};
use crate::{
    args::{Connection, ReportArgs},
    connect::with_client,
    output::Failure,
    progress::Progress,
};

/// How long clients wait before they ask again (Kafka's `retry.backoff.ms`).
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// A group that has no coordinator after this time will never have one.
const FAILOVER_MAX: Duration = Duration::from_secs(60);
const GROUP: &str = "bench-failover";
const PARTITIONS: i32 = 6;
const OFFSET: i64 = 7;

pub(super) async fn run(args: ReportArgs) -> Result<(), Failure> {
    let mut runs = Vec::with_capacity(args.runs);
    let mut progress = Progress::count(Some(args.runs as u64));
    for _ in 0..args.runs {
        let directory = tempfile::tempdir().map_err(Failure::with("temporary directory"))?;
        runs.push(once(directory.path()).await?.as_secs_f64());
        progress.add(1);
    }
    progress.finish();
    print(&[Report::new("coordinator killed to its group being served again", "s", runs)], args.json)
}

async fn once(directory: &Path) -> Result<Duration, Failure> {
    let store = directory.join("store");
    let mut servers = Vec::new();
    for name in ["one", "two"] {
        servers.push(Server::start(&directory.join(name), Some(&store)).await?);
    }
    let connection = |server: &Server| Connection { server: server.kafka.clone(), ca: None };
    let first = connection(&servers[0]);
    let topic =
        with_client(&first, async |client| ensure_subscribed(client, "bench", PARTITIONS).await).await?;
    let mut member = Member::new(GROUP, format!("{GROUP}-member"), &topic);
    let mut wire = to_coordinator(&mut Wires::new(&first)?).await?;
    member.join(&mut wire).await?;
    member.commit(&mut wire, OFFSET).await?;

    let is_coordinator = |server: &Server| server.kafka == wire.server.to_string();
    let coordinator = servers.iter().position(is_coordinator);
    let coordinator = coordinator.ok_or_else(|| Failure::new("an unknown agent coordinates the group"))?;
    drop(servers.remove(coordinator));
    let killed = Instant::now();
    let survivor = connection(&servers[0]);
    while let Err(error) = beat(&survivor, &mut member).await {
        if killed.elapsed() > FAILOVER_MAX {
            return Err(error);
        }
        sleep(RETRY_PAUSE).await;
    }
    let elapsed = killed.elapsed();
    let kept = with_client(&survivor, async |client| {
        client.admin().group_offsets(GROUP).await.map_err(Failure::new)
    });
    if kept.await?.iter().filter(|kept| kept.offset == Offset(OFFSET)).count() != topic.partitions() {
        return Err(Failure::new("committed offsets are lost"));
    }
    Ok(elapsed)
}

/// Asks who coordinates the group, and sends a heartbeat there.
async fn beat(connection: &Connection, member: &mut Member) -> Result<(), Failure> {
    member.beat(&mut to_coordinator(&mut Wires::new(connection)?).await?).await
}

async fn to_coordinator(wires: &mut Wires) -> Result<Wire, Failure> {
    let found = wires.coordinators(&[GROUP.to_owned()]).await?.pop();
    found.ok_or_else(|| Failure::new("nobody coordinates the group"))
}
