//! A connection to an agent in memory, whose bytes come in pieces of any size: frame reader, connection loop and
//! handlers. Whatever a peer sends, replies are frames, and the agent serves the next connection.
#![no_main]

use std::{sync::Arc, time::Duration};

use ebb_agent::{
    Agent, Environment, Storage,
    config::{AgentConfig, Limits},
};
use ebb_fuzz::within;
use ebb_metastore::log::memory::MemoryLog;
use ebb_protocol::{
    clock::{Clock, SharedClock},
    ids::Timestamp,
    random::Random,
};
use libfuzzer_sys::fuzz_target;
use object_store::memory::InMemory;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime::Builder,
    time::timeout,
};

/// What the agent may take beside its limits, in bytes.
const BYTES_MAX: usize = 128 << 20;
const REQUESTS_BYTES_MAX: usize = 1 << 20;
const CACHE_BYTES: usize = 1 << 20;
/// Bytes on their way between peer and agent.
const PIPE_BYTES: usize = 1 << 10;
/// Of the paused clock: longer than any request may wait for its answer.
const HANG: Duration = Duration::from_hours(1_000);
/// ApiVersions version 0 without a client id, as number 7.
const API_VERSIONS: &[u8] = b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xff";

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

fuzz_target!(|input: &[u8]| {
    let [piece, bytes @ ..] = input else { return };
    within(BYTES_MAX, || {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime needs no more than memory").block_on(async {
            let agent = agent().await;
            let replies = send(&agent, bytes, (*piece).max(1).into()).await;
            check_frames(&replies);
            let reply = send(&agent, API_VERSIONS, API_VERSIONS.len()).await;
            assert_eq!(reply.get(4..8), Some([0, 0, 0, 7].as_slice()), "the agent serves no more");
        });
    });
});

async fn agent() -> Agent {
    let storage =
        Storage { store: Arc::new(InMemory::new()), log: Arc::new(MemoryLog::new()), requests: None };
    let clock: SharedClock = Arc::new(FixedClock);
    let mut config = AgentConfig::new("memory:///", std::path::PathBuf::new());
    (config.kafka, config.quic, config.http) = (None, None, None);
    config.limits = Limits {
        frame_bytes_max: REQUESTS_BYTES_MAX,
        requests_bytes_max: REQUESTS_BYTES_MAX,
        ..Limits::default()
    };
    config.broker.cache_memory_bytes = CACHE_BYTES;
    let environment = Environment { clock, random: Random::from_seed(1) };
    Agent::start_on(storage, config, environment).await.expect("nothing is in its way")
}

/// Sends bytes over a fresh connection, finishes, and gives what comes back until the agent closes it.
async fn send(agent: &Agent, bytes: &[u8], piece: usize) -> Vec<u8> {
    let (peer, stream) = duplex(PIPE_BYTES);
    let (mut reader, mut writer) = tokio::io::split(peer);
    let write = async {
        for piece in bytes.chunks(piece) {
            // An agent that has closed the connection takes no more.
            if writer.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let mut replies = Vec::new();
    let all = async { tokio::join!(agent.serve_stream(stream), write, reader.read_to_end(&mut replies)) };
    let (_, (), read) = timeout(HANG, all).await.expect("no hang");
    read.expect("a pipe does not break");
    replies
}

/// What came back is frames, the last of them cut short when the peer broke a rule meanwhile.
fn check_frames(mut replies: &[u8]) {
    while let Some((len, rest)) = replies.split_first_chunk() {
        let len = usize::try_from(i32::from_be_bytes(*len)).expect("lengths are not negative");
        assert!(len >= 4, "a reply has a correlation id");
        replies = rest.get(len..).unwrap_or_default();
    }
}
