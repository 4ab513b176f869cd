//! `ebb bench rebalance`: the members of a new group join at once, and the time is measured until each holds its final
//! assignment, so that every partition has one owner, and has had it confirmed by the coordinator.

use std::time::Duration;

use ebb_protocol::random::Random;
use ebbtide::Client;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    Report, classic, ensure_subscribed,
    member::{self, Topic},
    print,
    wire::{Wire, Wires},
};
use crate::{
    args::{GroupProtocol, RebalanceArgs},
    connect::with_client,
    output::Failure,
    progress::Progress,
};

/// A group that is not settled after this time will never be.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// The JVM client's default for groups of the classic protocol; those of KIP-848 are told by the coordinator.
const CLASSIC_HEARTBEAT: Duration = Duration::from_secs(3);

pub(super) async fn run(args: RebalanceArgs) -> Result<(), Failure> {
    let reports = with_client(&args.connection, async |client| measure_all(client, &args).await).await?;
    print(&reports, args.report.json)
}

async fn measure_all(client: &Client, args: &RebalanceArgs) -> Result<Vec<Report>, Failure> {
    let topic = ensure_subscribed(client, &args.topic, args.partitions).await?;
    let mut wires = Wires::new(&args.connection)?;
    let random = Random::from_os();
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    let mut progress = Progress::count(Some(args.report.runs as u64));
    for _ in 0..args.report.runs {
        for (members, runs) in [(1, &mut alone), (args.members, &mut together)] {
            let group = format!("bench-rebalance-{:016x}", random.next_u64());
            let streams = wires.coordinators(&vec![group.clone(); members]).await?;
            runs.push(once(&group, &topic, args.protocol, streams).await?.as_secs_f64() * 1e3);
            client.admin().delete_group(&group).await.map_err(Failure::new)?;
        }
        progress.add(1);
    }
    progress.finish();
    wires.close().await;
    Ok(vec![
        Report::new("all members settled", "ms", together),
        Report::new("baseline, a group of one member", "ms", alone),
    ])
}

/// What a member tells of itself when the coordinator has confirmed its assignment.
struct Settled {
    member: usize,
    /// Its epoch or generation.
    epoch: i32,
    owned: Vec<i32>,
}

/// One run: a member on each stream.
async fn once(
    group: &str,
    topic: &Topic,
    protocol: GroupProtocol,
    streams: Vec<Wire>,
) -> Result<Duration, Failure> {
    let count = streams.len();
    let (news, mut heard) = mpsc::channel(count);
    let (stop, stopped) = watch::channel(());
    let mut members = JoinSet::new();
    let started = Instant::now();
    for (index, wire) in streams.into_iter().enumerate() {
        let member = match protocol {
            GroupProtocol::Consumer => {
                Member::Consumer(member::Member::new(group, format!("{group}-{index}"), topic), wire)
            }
            GroupProtocol::Classic => Member::Classic(classic::Member::new(wire, group, topic)),
        };
        members.spawn(live(member, index, news.clone(), stopped.clone()));
    }
    let all = settle(&mut heard, count, topic.partitions);
    let elapsed = tokio::select! {
        biased;
        settled = timeout(SETTLE_MAX, all) => {
            settled.map_err(|_| Failure::new(format!("the group has not settled within {SETTLE_MAX:?}")))?;
            started.elapsed()
        }
        Some(ended) = members.join_next() => {
            ended.map_err(Failure::new)??;
            return Err(Failure::new("a member has left before the group was settled"));
        }
    };
    drop((stop, heard));
    while let Some(ended) = members.join_next().await {
        ended.map_err(Failure::new)??;
    }
    Ok(elapsed)
}

/// Returns when all members have the same epoch and share all partitions.
async fn settle(heard: &mut mpsc::Receiver<Settled>, members: usize, partitions: i32) {
    let mut known: Vec<Option<(i32, Vec<i32>)>> = vec![None; members];
    while let Some(Settled { member, epoch, owned }) = heard.recv().await {
        known[member] = Some((epoch, owned));
        if is_settled(&known, partitions) {
            return;
        }
    }
    // All members have ended, and why is found out by the caller.
    std::future::pending().await
}

fn is_settled(known: &[Option<(i32, Vec<i32>)>], partitions: i32) -> bool {
    let Some(known) = known.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else { return false };
    let is_one_epoch = known.windows(2).all(|pair| pair[0].0 == pair[1].0);
    let mut owned: Vec<i32> = known.iter().flat_map(|(_, owned)| owned.iter().copied()).collect();
    owned.sort_unstable();
    is_one_epoch && owned.into_iter().eq(0..partitions)
}

/// A member of either protocol, with the stream that it speaks on.
enum Member {
    Consumer(member::Member, Wire),
    Classic(classic::Member),
}

impl Member {
    async fn join(&mut self) -> Result<(), Failure> {
        match self {
            Self::Consumer(member, wire) => member.join(wire).await,
            Self::Classic(member) => member.join().await,
        }
    }

    /// Sends a heartbeat, and does what its answer asks for.
    async fn beat(&mut self) -> Result<(), Failure> {
        match self {
            Self::Consumer(member, wire) => member.beat(wire).await,
            Self::Classic(member) => {
                let is_calm = member.beat().await?;
                if is_calm { Ok(()) } else { member.join().await }
            }
        }
    }

    async fn leave(&mut self) -> Result<(), Failure> {
        match self {
            Self::Consumer(member, wire) => member.leave(wire).await,
            Self::Classic(member) => member.leave().await,
        }
    }

    /// When the next heartbeat is due after the last one.
    fn interval(&self) -> Duration {
        match self {
            Self::Consumer(member, _) => member.interval,
            Self::Classic(_) => CLASSIC_HEARTBEAT,
        }
    }

    /// Its epoch or generation, and its partitions.
    fn place(&self) -> (i32, &[i32]) {
        match self {
            Self::Consumer(member, _) => (member.epoch, &member.owned),
            Self::Classic(member) => (member.generation, &member.owned),
        }
    }
}

/// What a member does, until the benchmark has seen enough.
async fn live(
    mut member: Member,
    index: usize,
    news: mpsc::Sender<Settled>,
    mut stopped: watch::Receiver<()>,
) -> Result<(), Failure> {
    member.join().await?;
    loop {
        let (epoch, owned) = member.place();
        let settled = Settled { member: index, epoch, owned: owned.to_vec() };
        // The benchmark may have seen enough.
        let _ = news.send(settled).await;
        tokio::select! {
            biased;
            _ = stopped.changed() => return member.leave().await,
            () = tokio::time::sleep(member.interval()) => member.beat().await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_settled_when_each_partition_has_one_owner_in_one_epoch() {
        let check = |known: &[Option<(i32, &[i32])>], expect| {
            let known: Vec<_> =
                known.iter().map(|it| it.map(|(epoch, owned)| (epoch, owned.to_vec()))).collect();
            assert_eq!(is_settled(&known, 3), expect, "{known:?}");
        };
        check(&[Some((2, &[2, 0])), Some((2, &[1]))], true);
        check(&[Some((2, &[0, 1, 2])), Some((2, &[]))], true);
        check(&[Some((2, &[0, 1, 2])), None], false);
        check(&[Some((2, &[0, 1])), Some((1, &[2]))], false);
        check(&[Some((2, &[0, 1])), Some((2, &[1, 2]))], false);
        check(&[Some((2, &[0])), Some((2, &[1]))], false);
    }
}
