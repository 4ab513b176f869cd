//! `ebb bench commits`: many groups commit offsets at a steady rate, whatever the answers take. Each commit is measured
//! from the moment at which it was due, and what all of them cost is counted in entries of the commit log.

use std::time::Duration;

use ebb_protocol::random::Random;
use ebbtide::Client;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Report, ensure_subscribed,
    member::{Member, Topic},
    print,
    stats::{median, quantile},
    wire::{Wire, Wires},
};
use crate::{args::CommitsArgs, connect::with_client, output::Failure, progress::Progress};

/// Groups that join, or leave, at once.
const JOINING_MAX: usize = 64;
/// Commits that the baseline takes the median of, and the pause before each: the cluster is idle again by then.
const ALONE: usize = 10;
const ALONE_PAUSE: Duration = Duration::from_millis(250);
/// Groups begin to commit when all of them are ready, and count from a while later, when the load is steady.
const START_DELAY: Duration = Duration::from_millis(200);
const WARM_UP: Duration = Duration::from_secs(1);

pub(super) async fn run(args: CommitsArgs) -> Result<(), Failure> {
    let reports = with_client(&args.connection, async |client| measure_all(client, &args).await).await?;
    print(&reports, args.report.json)
}

/// A group of one member.
struct Group {
    member: Member,
    wire: Wire,
}

async fn measure_all(client: &Client, args: &CommitsArgs) -> Result<Vec<Report>, Failure> {
    let topic = ensure_subscribed(client, &args.topic, args.partitions).await?;
    let mut wires = Wires::new(&args.connection)?;
    let mut watching = wires.any().await?;
    let (mut groups, names) = join(&mut wires, &topic, args.groups).await?;
    let (mut rates, mut appends) = (Vec::new(), Vec::new());
    let (mut p50, mut p99, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let mut progress = Progress::count(Some(args.report.runs as u64));
    for _ in 0..args.report.runs {
        alone.push(one_alone(&mut groups).await?);
        let mut run = once(groups, args, &mut watching).await?;
        rates.push(run.offsets_per_second);
        appends.push(run.appends_per_second);
        p50.push(quantile(&mut run.latencies, 0.5));
        p99.push(quantile(&mut run.latencies, 0.99));
        groups = run.groups;
        progress.add(1);
    }
    progress.finish();
    let leaving = groups.into_iter().map(async |mut group: Group| group.member.leave(&mut group.wire).await);
    stream::iter(leaving).buffer_unordered(JOINING_MAX).try_collect::<()>().await?;
    for name in names {
        client.admin().delete_group(&name).await.map_err(Failure::new)?;
    }
    wires.close().await;
    Ok(vec![
        Report::new("committed offsets", "offsets/s", rates),
        Report::new("appends to the commit log", "appends/s", appends),
        Report::new("commit p50", "ms", p50),
        Report::new("commit p99", "ms", p99),
        Report::new("baseline, one commit alone", "ms", alone),
    ])
}

/// Makes new groups of one member each; the groups and their names.
async fn join(wires: &mut Wires, topic: &Topic, count: usize) -> Result<(Vec<Group>, Vec<String>), Failure> {
    let run = Random::from_os().next_u64();
    let names: Vec<String> = (0..count).map(|nth| format!("bench-commits-{run:016x}-{nth}")).collect();
    let streams = wires.coordinators(&names).await?;
    let joining = names.iter().zip(streams).map(async |(name, mut wire)| {
        let mut member = Member::new(name, format!("{name}-member"), topic);
        member.join(&mut wire).await?;
        Ok::<_, Failure>(Group { member, wire })
    });
    let groups = stream::iter(joining).buffer_unordered(JOINING_MAX).try_collect().await?;
    Ok((groups, names))
}

/// The median time of one commit when there are no others, in milliseconds.
async fn one_alone(groups: &mut [Group]) -> Result<f64, Failure> {
    let mut times = Vec::with_capacity(ALONE);
    for Group { member, wire } in groups.iter_mut().take(ALONE) {
        sleep(ALONE_PAUSE).await;
        let started = Instant::now();
        member.commit(wire, 0).await?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&times))
}

/// What one run gave.
struct Run {
    groups: Vec<Group>,
    offsets_per_second: f64,
    appends_per_second: f64,
    /// Of every commit that counts, in milliseconds.
    latencies: Vec<f64>,
}

async fn once(groups: Vec<Group>, args: &CommitsArgs, watching: &mut Wire) -> Result<Run, Failure> {
    let per_commit = f64::from(args.partitions);
    #[expect(clippy::cast_precision_loss, reason = "groups are few")]
    let interval = Duration::from_secs_f64(per_commit * groups.len() as f64 / args.rate);
    let phase = interval / u32::try_from(groups.len()).unwrap_or(u32::MAX);
    let start = Instant::now() + START_DELAY;
    let window = Window { begin: start + WARM_UP, end: start + WARM_UP + Duration::from_secs(args.seconds) };
    let mut running = JoinSet::new();
    for (nth, group) in (0..).zip(groups) {
        running.spawn(commit_steadily(group, start + phase * nth, interval, window));
    }
    sleep_until(window.begin).await;
    let before = watching.log_position().await?;
    sleep_until(window.end).await;
    let appended = watching.log_position().await? - before;
    let (mut groups, mut latencies) = (Vec::new(), Vec::new());
    while let Some(ended) = running.join_next().await {
        let (group, measured) = ended.map_err(Failure::new)??;
        groups.push(group);
        latencies.extend(measured);
    }
    let seconds = window.end.duration_since(window.begin).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let (offsets, appends) = (latencies.len() as f64 * per_commit, appended as f64);
    let (offsets_per_second, appends_per_second) = (offsets / seconds, appends / seconds);
    Ok(Run { groups, offsets_per_second, appends_per_second, latencies })
}

/// The time in which what is acknowledged counts.
#[derive(Clone, Copy)]
struct Window {
    begin: Instant,
    end: Instant,
}

/// Commits at each of the times `due`, `due + interval`, ... until the window is over; one that is late does not shift
/// the others. Runs are shorter than sessions, so one heartbeat a run keeps the member in its group.
async fn commit_steadily(
    mut group: Group,
    mut due: Instant,
    interval: Duration,
    window: Window,
) -> Result<(Group, Vec<f64>), Failure> {
    let Group { member, wire } = &mut group;
    member.beat(wire).await?;
    let (mut offset, mut latencies) = (0, Vec::new());
    while due < window.end {
        sleep_until(due).await;
        offset += 1;
        member.commit(wire, offset).await?;
        let acknowledged = Instant::now();
        if (window.begin..window.end).contains(&acknowledged) {
            latencies.push(acknowledged.duration_since(due).as_secs_f64() * 1e3);
        }
        due += interval;
    }
    Ok((group, latencies))
}
