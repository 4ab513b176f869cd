//! `ebb agent` and `ebb dev`: turns settings into an agent, runs it, and shuts it down in order on a signal.

use std::{io::Write, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use ebb_agent::{
    Addresses, Agent, Environment,
    config::{AgentConfig, ListenerConfig, TlsConfig},
};
use ebb_metastore::command::Endpoint;
use ebb_protocol::{clock::SystemClock, random::Random};
use ebbtide::trust;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{AgentArgs, DevArgs, Tuning},
    compactor,
    config::settle,
    host, mirror,
    output::{self, Failure},
    sweeper,
};

/// How long a flush waits for more records under load: little on a disk, more where each flush costs money.
const LINGER_MAX_LOCAL: Duration = Duration::from_millis(5);
const LINGER_MAX_REMOTE: Duration = Duration::from_millis(250);
/// Flushes a second that are paid for under load.
const FLUSHES_PER_SECOND_MAX_LOCAL: f64 = 1000.0;
const FLUSHES_PER_SECOND_MAX_REMOTE: f64 = 20.0;
/// Size of the cache's disk tier when only its directory is given.
const CACHE_DISK_BYTES: u64 = 16 << 30;

/// Runs everything in one process on a local directory.
pub(crate) async fn dev(args: DevArgs) -> Result<(), Failure> {
    let directory = make_absolute(&args.data_dir)?;
    let store = match args.store {
        Some(store) => store,
        None => local_store(&directory),
    };
    let mut config = AgentConfig::new(&store, directory.join("tls"));
    config.kafka = Some(ListenerConfig::new(args.kafka));
    config.quic = Some(ListenerConfig::new(args.quic));
    config.http = Some(args.http);
    tune(&mut config, args.tuning);
    let agent = start(config).await?;
    share_certificate(agent.addresses());
    introduce(agent.addresses(), &store);
    let _rewriter = compactor::beside(&agent, environment(), &args.rewriting, &store);
    let _mirror = mirror::beside(&agent, environment(), args.mirroring, &store)?;
    run(agent).await
}

/// Runs an agent.
pub(crate) async fn agent(args: AgentArgs) -> Result<(), Failure> {
    let args = settle(args)?;
    let store = args.store.ok_or_else(|| {
        Failure::new("no object store is given: use --store file:///PATH or --store s3://BUCKET/PREFIX")
    })?;
    if args.kafka.is_none() && args.quic.is_none() {
        return Err(Failure::new("no listener is given: use --quic ADDR, --kafka ADDR or both"));
    }
    let mut config = AgentConfig::new(&store, Path::new("tls").to_owned());
    if let Some(log) = args.commit_log {
        config.commit_log = log.parse().map_err(Failure::new)?;
    }
    config.kafka = listener(args.kafka, args.advertise_kafka)?;
    config.quic = listener(args.quic, args.advertise_quic)?;
    config.http = args.http;
    config.insecure_plaintext = args.insecure_plaintext;
    config.zone = args.zone.unwrap_or_default();
    match (args.tls_cert, args.tls_key) {
        (Some(certificate), Some(key)) => config.tls = TlsConfig::Files { certificate, key },
        (None, None) if args.quic.is_none_or(|address| address.ip().is_loopback()) => {}
        _ => {
            return Err(Failure::new(
                "QUIC beyond loopback needs a certificate: use --tls-cert FILE and --tls-key FILE",
            ));
        }
    }
    tune(&mut config, args.tuning);
    let agent = start(config).await?;
    output::note(format_args!("ready {}", addresses(agent.addresses())));
    run(agent).await
}

async fn start(mut config: AgentConfig) -> Result<Agent, Failure> {
    config.host = host::id();
    Agent::start(config, environment()).await.map_err(Failure::new)
}

/// What this process takes from the world.
pub(crate) fn environment() -> Environment {
    Environment { clock: Arc::new(SystemClock), random: Random::from_os() }
}

/// Serves until a signal asks to stop; a second signal is not waited for.
async fn run(agent: Agent) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::with("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::with("signals"))?;
    let sweeper = sweeper::start(&agent, environment());
    let retention = sweeper::keep(&agent, environment());
    let ousted = tokio::select! {
        biased;
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = agent.ousted() => true,
    };
    drop(retention);
    sweeper.shutdown().await;
    agent.shutdown().await;
    if ousted {
        return Err(Failure::new("this agent was put out of the cluster: start it again to join anew"));
    }
    Ok(())
}

fn listener(
    address: Option<SocketAddr>,
    advertised: Option<String>,
) -> Result<Option<ListenerConfig>, Failure> {
    let Some(address) = address else { return Ok(None) };
    let advertised = advertised.map(|text| endpoint(&text)).transpose()?;
    Ok(Some(ListenerConfig { address, advertised }))
}

fn endpoint(text: &str) -> Result<Endpoint, Failure> {
    text.rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(host, port)| Some(Endpoint { host: host.to_owned(), port: port.parse().ok()? }))
        .ok_or_else(|| Failure::new(format!("{text:?} is no HOST:PORT")))
}

fn tune(config: &mut AgentConfig, tuning: Tuning) {
    let (linger, rate) = if is_local(&config.store) {
        (LINGER_MAX_LOCAL, FLUSHES_PER_SECOND_MAX_LOCAL)
    } else {
        (LINGER_MAX_REMOTE, FLUSHES_PER_SECOND_MAX_REMOTE)
    };
    let broker = &mut config.broker;
    broker.linger_max = tuning.linger_max.unwrap_or(linger);
    broker.flushes_per_second_max = tuning.flushes_per_second_max.unwrap_or(rate);
    if let Some(size) = tuning.segment_bytes_max {
        broker.segment_bytes_max = size.as_u64();
    }
    if let Some(size) = tuning.inline_bytes_max {
        broker.inline_bytes_max = size.as_u64();
    }
    if let Some(size) = tuning.cache_memory {
        broker.cache_memory_bytes = usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
    }
    if let Some(directory) = tuning.cache_dir {
        let size = tuning.cache_disk.map_or(CACHE_DISK_BYTES, |size| size.as_u64());
        broker.cache_disk = Some((directory, size));
    }
    let topics = &mut config.topics;
    topics.partitions = tuning.default_partitions.unwrap_or(topics.partitions);
    topics.auto_create = tuning.auto_create_topics.unwrap_or(topics.auto_create);
}

/// The object store's URL for a data directory.
/// Whether a request to the store costs neither money nor a way over the network.
pub(crate) fn is_local(store: &str) -> bool {
    !["s3://", "gs://", "az://"].iter().any(|scheme| store.starts_with(scheme))
}

fn local_store(directory: &Path) -> String {
    format!("file://{}", directory.join("store").display())
}

/// The store of a data directory, which must be there: looking at nothing must not make something.
pub(crate) fn existing_store(directory: &Path) -> Result<String, Failure> {
    let directory = directory.canonicalize().map_err(Failure::with(format_args!(
        "data directory {}: use --data-dir DIR or --store URL",
        directory.display()
    )))?;
    Ok(local_store(&directory))
}

/// Makes the directory, and its path absolute.
fn make_absolute(directory: &Path) -> Result<std::path::PathBuf, Failure> {
    std::fs::create_dir_all(directory)
        .and_then(|()| directory.canonicalize())
        .map_err(Failure::with(format_args!("data directory {}", directory.display())))
}

/// Leaves the certificate where the tools of the same user find it.
fn share_certificate(addresses: &Addresses) {
    let (Some(quic), Some(file)) = (addresses.quic, &addresses.development_certificate) else { return };
    let shared = std::fs::read_to_string(file).and_then(|pem| {
        ["127.0.0.1", "localhost", "::1"]
            .iter()
            .try_for_each(|host| trust::store_dev_certificate(host, quic.port(), &pem).map(drop))
    });
    if let Err(error) = shared {
        output::note(format_args!("tools must be told --ca {}: {error}", file.display()));
    }
}

fn addresses(addresses: &Addresses) -> String {
    let parts = [
        addresses.kafka.map(|address| format!("kafka://{address}")),
        addresses.quic.map(|address| format!("quic://{address}")),
        addresses.http.map(|address| format!("http://{address}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Says where the agent listens and what to try. A reader that went away must not end the agent.
fn introduce(addresses: &Addresses, store: &str) {
    let quic = addresses.quic.map_or_else(String::new, |address| format!("quic://{address}"));
    let kafka = addresses.kafka.map_or_else(String::new, |address| address.to_string());
    let http = addresses.http.map_or_else(String::new, |address| format!("http://{address}/metrics"));
    let server = if quic == "quic://127.0.0.1:9093" { String::new() } else { format!(" --server {quic}") };
    let text = format!(
        "Ebbtide is ready.\n\
         \n\
         \x20 Kafka (TCP)  {kafka}\n\
         \x20 QUIC         {quic}\n\
         \x20 metrics      {http}\n\
         \x20 data         {store}\n\
         \n\
         Try, in another terminal:\n\
         \n\
         \x20 ebb topic create greetings --partitions 3{server}\n\
         \x20 echo hello | ebb produce greetings{server}\n\
         \x20 ebb consume greetings --from beginning{server}\n\n"
    );
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        let parsed = endpoint("broker-1.example:9092").expect("the text is valid");
        assert_eq!(parsed, Endpoint { host: "broker-1.example".to_owned(), port: 9092 });
        for wrong in ["broker", ":9092", "broker:", "broker:99999"] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_remote_store_lingers_longer_than_a_directory() {
        let linger = |store: &str| {
            let mut config = AgentConfig::new(store, "tls".into());
            tune(&mut config, Tuning::default());
            config.broker.linger_max
        };
        assert!(linger("s3://bucket") > linger("file:///data"));
    }
}
