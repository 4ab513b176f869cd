//! An agent over a store that takes a given time for each PUT and GET: what a distant bucket costs in latency, made
//! repeatable. The store is in memory, with a copy of what is in a directory. Prints where it listens and how long
//! one PUT and one GET really take, since timers are coarse, and serves until it is stopped. It caches next to nothing.
//!
//! `throttled-agent MILLISECONDS_PER_PUT FLUSHES_PER_SECOND [MILLISECONDS_PER_GET [DIRECTORY]]`

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use ebb_agent::{
    Agent, Environment, Storage,
    config::{AgentConfig, ListenerConfig},
};
use ebb_metastore::log::{RetryConfig, bucket::BucketLog};
use ebb_protocol::{clock::SystemClock, random::Random};
use ebbtide::trust;
use futures::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt,
    local::LocalFileSystem,
    memory::InMemory,
    path::Path,
    throttle::{ThrottleConfig, ThrottledStore},
};
use tokio::time::Instant;

/// How many requests of each kind are measured before the agent starts.
const REQUESTS_MEASURED: usize = 15;

/// Memory for cached blocks, in bytes: few enough that most reads go to the store.
const CACHE_BYTES: usize = 8 << 20;

/// What the command line says.
struct Arguments {
    put: Duration,
    get: Duration,
    flushes_per_second: f64,
    directory: Option<String>,
}

impl Arguments {
    fn parse(words: &[String]) -> Option<Self> {
        let millis = |word: &String| word.parse().ok().map(Duration::from_millis);
        Some(Self {
            put: millis(words.first()?)?,
            flushes_per_second: words.get(1)?.parse().ok()?,
            get: words.get(2).map_or(Some(Duration::ZERO), millis)?,
            directory: words.get(3).cloned(),
        })
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(arguments) = Arguments::parse(&words).filter(|_| words.len() <= 4) else {
        eprintln!(
            "usage: throttled-agent MILLISECONDS_PER_PUT FLUSHES_PER_SECOND [MILLISECONDS_PER_GET [DIRECTORY]]"
        );
        return ExitCode::from(2);
    };
    let ready = |address, [put, get]: [Duration; 2]| {
        println!("quic://{address}");
        println!(
            "one PUT takes {:.2} ms, one GET {:.2} ms",
            put.as_secs_f64() * 1e3,
            get.as_secs_f64() * 1e3
        );
    };
    match run(arguments, ready).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throttled-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(
    arguments: Arguments,
    ready: impl FnOnce(SocketAddr, [Duration; 2]),
) -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { put, get, flushes_per_second, directory } = arguments;
    let throttle =
        ThrottleConfig { wait_put_per_call: put, wait_get_per_call: get, ..ThrottleConfig::default() };
    let inner = InMemory::new();
    if let Some(directory) = directory {
        copy(&LocalFileSystem::new_with_prefix(directory)?, &inner).await?;
    }
    let store: Arc<dyn ObjectStore> = Arc::new(ThrottledStore::new(inner, throttle));
    let times = median_times(&*store).await?;
    let random = Random::from_os();
    let log = Arc::new(BucketLog::new(store.clone(), random.fork(), RetryConfig::default()));
    let directory = tempfile::tempdir()?;
    let mut config = AgentConfig::new("memory:///", directory.path().to_owned());
    config.quic = Some(ListenerConfig::new(([127, 0, 0, 1], 0).into()));
    config.broker.flushes_per_second_max = flushes_per_second;
    config.broker.cache_memory_bytes = CACHE_BYTES;
    let environment = Environment { clock: Arc::new(SystemClock), random };
    let agent = Agent::start_on(Storage { store, log, requests: None }, config, environment).await?;
    let addresses = agent.addresses();
    let quic = addresses.quic.ok_or("no QUIC listener was started")?;
    if let Some(certificate) = &addresses.development_certificate {
        let pem = std::fs::read_to_string(certificate)?;
        trust::store_dev_certificate("127.0.0.1", quic.port(), &pem)?;
    }
    ready(quic, times);
    tokio::signal::ctrl_c().await?;
    agent.shutdown().await;
    Ok(())
}

async fn copy(from: &dyn ObjectStore, to: &dyn ObjectStore) -> Result<(), object_store::Error> {
    let mut objects = from.list(None);
    while let Some(object) = objects.try_next().await? {
        let bytes = from.get(&object.location).await?.bytes().await?;
        to.put(&object.location, bytes.into()).await?;
    }
    Ok(())
}

/// How long a PUT and a GET take, each the median of a few.
async fn median_times(store: &dyn ObjectStore) -> Result<[Duration; 2], object_store::Error> {
    let path = Path::from("probe");
    let mut times = [[Duration::ZERO; REQUESTS_MEASURED]; 2];
    let [puts, gets] = &mut times;
    for (put, get) in puts.iter_mut().zip(gets) {
        let started = Instant::now();
        store.put(&path, vec![0; 10_000].into()).await?;
        *put = started.elapsed();
        let started = Instant::now();
        store.get(&path).await?.bytes().await?;
        *get = started.elapsed();
    }
    store.delete(&path).await?;
    times.iter_mut().for_each(|times| times.sort_unstable());
    Ok(times.map(|times| times[REQUESTS_MEASURED / 2]))
}
