//! `ebb bench groups`: fills an agent of its own with groups, and measures what they cost it: memory, and computing
//! time for each heartbeat. Many members share a stream, so that connections do not count.

use ebb_protocol::random::Random;
use ebbtide::Client;
use tokio::{task::JoinSet, time::Instant};

use super::{
    MEGABYTE, Report, ensure_subscribed,
    member::{Member, Topic},
    print,
    server::{Server, Usage},
    wire::{Wire, Wires},
};
use crate::{
    args::{Connection, GroupsArgs},
    connect::with_client,
    output::Failure,
    progress::Progress,
};

/// A group in which members still get other partitions after so many rounds of heartbeats will never settle.
const ROUNDS_MAX: usize = 20;

pub(super) async fn run(args: GroupsArgs) -> Result<(), Failure> {
    let mut runs = Vec::with_capacity(args.report.runs);
    let mut progress = Progress::count(Some(args.report.runs as u64));
    for _ in 0..args.report.runs {
        let directory = tempfile::tempdir().map_err(Failure::with("temporary directory"))?;
        let server = Server::start(directory.path(), None).await?;
        let connection = Connection { server: server.quic.clone(), ca: None };
        let once = async |client: &Client| once(client, &connection, &server, &args).await;
        runs.push(with_client(&connection, once).await?);
        progress.add(1);
    }
    progress.finish();
    let report = |what, unit, pick: fn(&Run) -> f64| Report::new(what, unit, runs.iter().map(pick).collect());
    let reports = [
        report("memory for the groups", "MB", |run| run.megabytes),
        report("memory in all", "MB", |run| run.megabytes_in_all),
        report("memory at the peak", "MB", |run| run.megabytes_at_peak),
        report("baseline, the agent without groups", "MB", |run| run.megabytes_in_all - run.megabytes),
        report("members that joined and settled", "members/s", |run| run.joins_per_second),
        report("heartbeats, as fast as they are answered", "heartbeats/s", |run| run.beats_per_second),
        report("computing time of the agent for one heartbeat", "us", |run| run.microseconds_per_beat),
    ];
    print(&reports, args.report.json)
}

/// What one run gave.
struct Run {
    megabytes: f64,
    megabytes_in_all: f64,
    megabytes_at_peak: f64,
    joins_per_second: f64,
    beats_per_second: f64,
    microseconds_per_beat: f64,
}

/// A stream and the groups whose members speak on it, one after the other.
struct Worker {
    wire: Wire,
    groups: Vec<Vec<Member>>,
}

#[expect(clippy::cast_precision_loss, reason = "figures need no more than 52 bits")]
async fn once(
    client: &Client,
    connection: &Connection,
    server: &Server,
    args: &GroupsArgs,
) -> Result<Run, Failure> {
    let topic = ensure_subscribed(client, "bench-groups", args.partitions).await?;
    let mut wires = Wires::new(connection)?;
    let mut workers = Vec::with_capacity(args.streams);
    for _ in 0..args.streams {
        workers.push(Worker { wire: wires.any().await?, groups: Vec::new() });
    }
    let run = Random::from_os().next_u64();
    for (group, worker) in (0..args.groups).zip((0..args.streams.max(1)).cycle()) {
        let group = format!("bench-groups-{run:016x}-{group}");
        let member = |nth| Member::new(&group, format!("{group}-{nth}"), &topic);
        workers[worker].groups.push((0..args.members).map(member).collect());
    }
    let empty = server.usage()?;
    let started = Instant::now();
    let workers = all(workers, |worker| fill(worker, topic.clone())).await?;
    let members = args.groups * args.members;
    let joins_per_second = members as f64 / started.elapsed().as_secs_f64();

    let before = server.usage()?;
    let started = Instant::now();
    let workers = all(workers, |worker| beat(worker, args.rounds)).await?;
    let beats = (members * args.rounds) as f64;
    let beats_per_second = beats / started.elapsed().as_secs_f64();
    let Usage { cpu, resident_bytes, peak_bytes } = server.usage()?;
    drop(workers);
    wires.close().await;
    let megabytes = |bytes: u64| bytes as f64 / MEGABYTE as f64;
    Ok(Run {
        megabytes: megabytes(resident_bytes) - megabytes(empty.resident_bytes),
        megabytes_in_all: megabytes(resident_bytes),
        megabytes_at_peak: megabytes(peak_bytes),
        joins_per_second,
        beats_per_second,
        microseconds_per_beat: (cpu - before.cpu).as_secs_f64() * 1e6 / beats,
    })
}

/// Lets all workers do something, side by side.
async fn all<F>(workers: Vec<Worker>, work: impl Fn(Worker) -> F) -> Result<Vec<Worker>, Failure>
where
    F: Future<Output = Result<Worker, Failure>> + Send + 'static,
{
    let mut working = JoinSet::new();
    for worker in workers {
        working.spawn(work(worker));
    }
    let mut workers = Vec::with_capacity(working.len());
    while let Some(ended) = working.join_next().await {
        workers.push(ended.map_err(Failure::new)??);
    }
    Ok(workers)
}

/// Lets all members join, beat until each partition is owned, and one member of each group commit.
async fn fill(mut worker: Worker, topic: Topic) -> Result<Worker, Failure> {
    let Worker { wire, groups } = &mut worker;
    for group in groups {
        for member in group.iter_mut() {
            member.join(wire).await?;
        }
        let mut rounds = 0;
        while !is_settled(group, topic.partitions()) {
            if rounds == ROUNDS_MAX {
                return Err(Failure::new("a group does not settle"));
            }
            rounds += 1;
            for member in group.iter_mut() {
                member.beat(wire).await?;
            }
        }
        if let Some(member) = group.first() {
            member.commit(wire, 1).await?;
        }
    }
    Ok(worker)
}

fn is_settled(group: &[Member], partitions: usize) -> bool {
    let is_one_epoch = group.windows(2).all(|pair| pair[0].epoch == pair[1].epoch);
    is_one_epoch && group.iter().map(|member| member.owned.len()).sum::<usize>() == partitions
}

/// Lets each member send so many heartbeats.
async fn beat(mut worker: Worker, rounds: usize) -> Result<Worker, Failure> {
    let Worker { wire, groups } = &mut worker;
    for _ in 0..rounds {
        for member in groups.iter_mut().flatten() {
            member.beat(wire).await?;
        }
    }
    Ok(worker)
}
