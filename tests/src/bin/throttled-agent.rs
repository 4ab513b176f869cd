//! An agent over a store in memory that takes a given time for each PUT: what a distant bucket costs in latency, made
//! repeatable. Prints where it listens and how long one PUT really takes, since timers are coarse, and serves until it
//! is stopped.
//!
//! `throttled-agent MILLISECONDS_PER_PUT FLUSHES_PER_SECOND`

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use ebb_agent::{
    Agent, Environment, Storage,
    config::{AgentConfig, ListenerConfig},
};
use ebb_metastore::log::{RetryConfig, bucket::BucketLog};
use ebb_protocol::{clock::SystemClock, random::Random};
use ebbtide::trust;
use object_store::{
    ObjectStore, ObjectStoreExt,
    memory::InMemory,
    path::Path,
    throttle::{ThrottleConfig, ThrottledStore},
};
use tokio::time::Instant;

/// How many PUTs are measured before the agent starts.
const PUTS_MEASURED: usize = 15;

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match arguments.as_slice() {
        [put, flushes] => put.parse().ok().zip(flushes.parse().ok()),
        _ => None,
    };
    let Some((put_millis, flushes_per_second)) = parsed else {
        eprintln!("usage: throttled-agent MILLISECONDS_PER_PUT FLUSHES_PER_SECOND");
        return ExitCode::from(2);
    };
    let ready = |address, put: Duration| {
        println!("quic://{address}");
        println!("one PUT takes {:.2} ms", put.as_secs_f64() * 1e3);
    };
    match run(Duration::from_millis(put_millis), flushes_per_second, ready).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throttled-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(
    put: Duration,
    flushes_per_second: f64,
    ready: impl FnOnce(SocketAddr, Duration),
) -> Result<(), Box<dyn std::error::Error>> {
    let throttle = ThrottleConfig { wait_put_per_call: put, ..ThrottleConfig::default() };
    let store: Arc<dyn ObjectStore> = Arc::new(ThrottledStore::new(InMemory::new(), throttle));
    let put = median_put(&*store).await?;
    let random = Random::from_os();
    let log = Arc::new(BucketLog::new(store.clone(), random.fork(), RetryConfig::default()));
    let directory = tempfile::tempdir()?;
    let mut config = AgentConfig::new("memory:///", directory.path().to_owned());
    config.quic = Some(ListenerConfig::new(([127, 0, 0, 1], 0).into()));
    config.broker.flushes_per_second_max = flushes_per_second;
    let environment = Environment { clock: Arc::new(SystemClock), random };
    let agent = Agent::start_on(Storage { store, log, requests: None }, config, environment).await?;
    let addresses = agent.addresses();
    let quic = addresses.quic.ok_or("no QUIC listener was started")?;
    if let Some(certificate) = &addresses.development_certificate {
        let pem = std::fs::read_to_string(certificate)?;
        trust::store_dev_certificate("127.0.0.1", quic.port(), &pem)?;
    }
    ready(quic, put);
    tokio::signal::ctrl_c().await?;
    agent.shutdown().await;
    Ok(())
}

/// How long a PUT takes, the median of a few.
async fn median_put(store: &dyn ObjectStore) -> Result<Duration, object_store::Error> {
    let path = Path::from("probe");
    let mut times = [Duration::ZERO; PUTS_MEASURED];
    for time in &mut times {
        let started = Instant::now();
        store.put(&path, vec![0; 10_000].into()).await?;
        *time = started.elapsed();
    }
    store.delete(&path).await?;
    times.sort_unstable();
    Ok(times[PUTS_MEASURED / 2])
}
