//! `ebb bench`: measures what a client sees. Each figure is a median of several runs.

mod archive;
mod classic;
mod coldstart;
mod commits;
mod consume;
mod events;
mod failover;
mod groups;
mod latency;
mod member;
mod produce;
mod queryable;
mod rebalance;
mod seek;
mod server;
mod stats;
mod values;
mod wire;

use ebb_protocol::messages::{StrBytes, TopicName};
use ebbtide::{Client, admin::NewTopic};
use serde::Serialize;

use crate::{
    args::BenchCommand,
    output::{self, Failure},
};

/// Bytes in a megabyte as the figures count it.
const MEGABYTE: u64 = 1_000_000;

pub(crate) async fn run(command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Produce(args) => produce::run(args).await,
        BenchCommand::Consume(args) => consume::run(args).await,
        BenchCommand::Latency(args) => latency::run(args).await,
        BenchCommand::Rebalance(args) => rebalance::run(args).await,
        BenchCommand::Commits(args) => commits::run(args).await,
        BenchCommand::Groups(args) => groups::run(args).await,
        BenchCommand::Failover(args) => failover::run(args).await,
        BenchCommand::Archive(args) => archive::run(args).await,
        BenchCommand::Seek(args) => seek::run(args).await,
        BenchCommand::Coldstart(args) => coldstart::run(args).await,
        BenchCommand::Queryable(args) => queryable::run(args).await,
    }
}

/// Creates the topic unless it exists.
async fn ensure_topic(client: &Client, name: &str, partitions: i32) -> Result<(), Failure> {
    match client.admin().create_topic(&NewTopic::new(name, partitions)).await {
        Err(error) if error.code() != Some(ebbtide::ErrorCode::TopicAlreadyExists) => {
            Err(Failure::new(error))
        }
        _ => Ok(()),
    }
}

/// The same for a topic that groups subscribe to, which must have just so many partitions.
async fn ensure_subscribed(client: &Client, name: &str, partitions: i32) -> Result<member::Topic, Failure> {
    ensure_topic(client, name, partitions).await?;
    let found = client.admin().describe_topic(name).await.map_err(Failure::new)?;
    let subscribed =
        member::Topic { name: TopicName(StrBytes::from_string(found.name)), id: found.id, partitions };
    let there = found.partitions.len();
    if there != subscribed.partitions() {
        return Err(Failure::new(format!("topic {name} has {there} partitions: name another with --topic")));
    }
    Ok(subscribed)
}

/// The result of one kind of measurement: every run's value and the median.
#[derive(Serialize)]
struct Report {
    what: &'static str,
    unit: &'static str,
    median: f64,
    runs: Vec<f64>,
}

impl Report {
    fn new(what: &'static str, unit: &'static str, runs: Vec<f64>) -> Self {
        Self { what, unit, median: stats::median(&runs), runs }
    }
}

/// Prints reports, as JSON or for people.
fn print(reports: &[Report], json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&reports);
    }
    for report in reports {
        let runs: Vec<String> = report.runs.iter().map(|run| format!("{run:.2}")).collect();
        let Report { what, unit, median, .. } = report;
        output::line(format_args!("{what}: {median:.2} {unit} (runs: {})", runs.join(", ")))?;
    }
    Ok(())
}

/// Bytes over seconds, in megabytes a second.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn megabytes_per_second(bytes: u64, elapsed: std::time::Duration) -> f64 {
    bytes as f64 / MEGABYTE as f64 / elapsed.as_secs_f64()
}
