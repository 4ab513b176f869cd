//! The configuration that a seed draws: how many of everything, which settings, which faults and how often.

use std::time::Duration;

use ebb_agent::broker::BrokerConfig;
use ebb_archive::{Codec, Settings};
use ebb_compactor::{
    rewriter::{KeyCompactionConfig, MergeConfig, RewriterConfig},
    sweeper::SweeperConfig,
};
use ebb_coordinator::{GroupConfig, classic::ClassicConfig, consumer::ConsumerConfig};
use ebb_metastore::MetastoreConfig;
use ebb_protocol::random::Random;
use ebb_segment::store::StoreConfig;

use super::faults::Rates;

/// The bounds of session time-outs of members of the classic protocol among others, in milliseconds.
const CLASSIC_SESSION_MS: (i32, i32) = (1_000, 60_000);

/// Which commit log a run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The memory engine behind faults.
    Memory,
    /// The bucket engine over the faulty store.
    Bucket,
}

/// Everything that a seed fixes before the run begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The commit log.
    pub engine: Engine,
    /// Agents.
    pub agents: usize,
    /// Partitions of the topic that lives as long as the run.
    pub partitions: i32,
    /// Idempotent producers.
    pub idempotent: u32,
    /// Plain producers.
    pub plain: u32,
    /// Readers.
    pub readers: u32,
    /// Members of each group.
    pub members: u32,
    /// How long faults strike.
    pub turmoil: Duration,
    /// The longest usual time of a request to the store, in milliseconds.
    pub request_ms_max: u64,
    /// How far clocks are off, in milliseconds.
    pub clock_error_ms: u64,
    /// The longest that an agent is stopped for.
    pub pause_max: Duration,
    /// Which faults strike how often.
    pub rates: Rates,
    /// The broker's settings.
    pub broker: BrokerConfig,
    /// The settings of groups.
    pub groups: GroupConfig,
    /// The metastore's settings.
    pub metastore: MetastoreConfig,
    /// The segment store's settings.
    pub store: StoreConfig,
    /// The sweeper's settings, where agents run one.
    pub sweeper: Option<SweeperConfig>,
    /// The rewriter's settings, where agents run one.
    pub rewriter: Option<RewriterConfig>,
    /// The settings of key compaction, where there is a topic for it.
    pub keys: Option<KeyCompactionConfig>,
    /// The settings of merging, where agents merge archive files.
    pub merging: Option<MergeConfig>,
    /// What is kept of a topic whose records are deleted, where there is one.
    pub retention: Option<Kept>,
}

/// What is kept of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Records of the last 24 hours.
    Day,
    /// So many bytes.
    Bytes(u32),
}

impl Plan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let random = Random::from_seed(seed ^ 0x706c_616e);
        let random = &random;
        // Truncation rests on clocks that agree to within a part of its grace. Either both are short, or both long.
        let short_grace = random.chance(0.6);
        let grace = Duration::from_secs(if short_grace { 16 } else { 24 * 60 * 60 });
        let clock_error_ms = if short_grace { 1_500 } else { 4 * 60 * 60 * 1_000 };
        let rewriting = Random::from_seed(seed ^ 0x6172_6368);
        let rewriter = rewriting.chance(0.7).then(|| rewriter(&rewriting));
        let compacting = Random::from_seed(seed ^ 0x6b65_7973);
        let keys = rewriter.clone().filter(|_| compacting.chance(0.5)).map(|own| keys(&compacting, own));
        let uniting = Random::from_seed(seed ^ 0x6d65_7267);
        let merging = rewriter.clone().filter(|_| uniting.chance(0.5)).map(|own| merging(&uniting, own));
        let retaining = Random::from_seed(seed ^ 0x6b65_7074);
        let kept = [Kept::Day, Kept::Day, Kept::Bytes(40_000)];
        let plan = Self {
            engine: if random.chance(0.25) { Engine::Memory } else { Engine::Bucket },
            agents: pick(random, &[1, 2, 2, 3, 3]),
            partitions: pick(random, &[1, 2, 4, 8]),
            idempotent: pick(random, &[1, 2, 3]),
            plain: pick(random, &[0, 1, 2]),
            readers: pick(random, &[1, 2, 3]),
            members: pick(random, &[1, 2, 3]),
            turmoil: Duration::from_secs(30 + random.below(30)),
            request_ms_max: pick(random, &[2, 10, 40, 120]),
            clock_error_ms,
            pause_max: Duration::from_secs(pick(random, &[2, 8, 40])),
            rates: Rates::draw(random),
            broker: broker(random),
            groups: groups(random),
            metastore: MetastoreConfig {
                appends_in_flight_max: pick(random, &[1, 2, 4, 8]),
                submissions_waiting_max: pick(random, &[4, 1024]),
                append_deadline: Duration::from_secs(pick(random, &[10, 30])),
                snapshot_every_entries: pick(random, &[8, 32, 128]),
                truncation_grace: grace,
                ..MetastoreConfig::default()
            },
            sweeper: random.chance(0.7).then(|| sweeper(random)),
            store: StoreConfig {
                attempt_deadline: Duration::from_secs(pick(random, &[1, 5])),
                deadline: Duration::from_secs(pick(random, &[4, 30])),
                ..StoreConfig::default()
            },
            rewriter,
            keys,
            merging,
            retention: retaining.chance(0.4).then(|| pick(&retaining, &kept)),
        };
        let plan = plan.readable();
        if random.chance(0.15) { plan.sleepy() } else { plan }
    }

    /// A plan without faults, for runs in which one strikes at a chosen moment.
    pub(super) fn calm() -> Self {
        let consumer = ConsumerConfig {
            session_timeout_ms: 6_000,
            heartbeat_interval_ms: 300,
            classic_session_timeout_ms: CLASSIC_SESSION_MS,
            ..ConsumerConfig::default()
        };
        let classic = ClassicConfig { session_timeout_ms_min: 1_000, ..ClassicConfig::default() };
        Self {
            engine: Engine::Bucket,
            agents: 3,
            partitions: 4,
            idempotent: 1,
            plain: 0,
            readers: 0,
            members: 3,
            turmoil: Duration::ZERO,
            request_ms_max: 10,
            clock_error_ms: 0,
            pause_max: Duration::ZERO,
            rates: Rates::default(),
            broker: BrokerConfig::default(),
            groups: GroupConfig { classic, consumer },
            metastore: MetastoreConfig::default(),
            store: StoreConfig::default(),
            sweeper: None,
            rewriter: None,
            keys: None,
            merging: None,
            retention: None,
        }
    }

    /// Sees to it that everything can be read in minutes: tiny blocks go together neither with a slow wire nor with
    /// archive files, of which 64 KiB are read at least.
    fn readable(mut self) -> Self {
        if self.rewriter.is_some() {
            self.broker.cache_block_bytes = self.broker.cache_block_bytes.max(16 << 10);
            self.broker.cache_memory_bytes = self.broker.cache_memory_bytes.max(256 << 10);
        }
        if self.request_ms_max > 10 {
            self.broker.cache_block_bytes = self.broker.cache_block_bytes.max(4 << 10);
            self.broker.cache_memory_bytes = self.broker.cache_memory_bytes.max(64 << 10);
        }
        self
    }

    /// Turns it into a run in which agents are stopped for longer than the log keeps entries.
    fn sleepy(mut self) -> Self {
        self.engine = Engine::Bucket;
        self.agents = self.agents.max(2);
        self.turmoil *= 2;
        self.pause_max = Duration::from_secs(45);
        self.clock_error_ms = self.clock_error_ms.min(500);
        self.rates.pauses = true;
        self.broker.inline_bytes_max = 0;
        self.metastore.snapshot_every_entries = 8;
        self.metastore.truncation_grace = Duration::from_secs(8);
        self
    }
}

/// Dead segments go within seconds. Orphans are safe for an hour, so they go where clocks are off by hours.
fn sweeper(random: &Random) -> SweeperConfig {
    SweeperConfig {
        dead_grace: Duration::from_secs(pick(random, &[1, 10])),
        archive_grace: Duration::from_secs(60),
        orphan_grace: Duration::from_secs(60 * 60),
        pass_interval: Duration::from_secs(pick(random, &[1, 5])),
        listing_interval: Duration::from_secs(pick(random, &[1, 10])),
        listing_pause: Duration::from_millis(pick(random, &[0, 5])),
        request_deadline: Duration::from_secs(pick(random, &[2, 30])),
        orphans_per_pass_percent_max: pick(random, &[5, 100]),
        orphans_per_pass_min: pick(random, &[2, 100]),
    }
}

/// Windows are small and files have many row groups; claims are given up soon, so that rewriters get into each other's
/// way.
fn rewriter(random: &Random) -> RewriterConfig {
    RewriterConfig {
        window_bytes: pick(random, &[1 << 10, 16 << 10, 1 << 20]),
        window_age: Duration::from_millis(pick(random, &[100, 2_000, 10_000])),
        layout: Settings {
            codec: pick(random, &[Codec::None, Codec::Lz4, Codec::Zstd(1)]),
            row_group_bytes: pick(random, &[1 << 10, 8 << 20]),
            page_bytes: pick(random, &[200, 256 << 10]),
            ..Settings::default()
        },
        gets_in_flight_max: pick(random, &[1, 4]),
        files_in_flight_max: pick(random, &[1, 8]),
        requests_per_second_max: pick(random, &[50.0, 1_000.0]),
        cpu_percent_max: pick(random, &[50, 100]),
        claim_timeout: Duration::from_secs(pick(random, &[0, 2, 10])),
        retry_after: Duration::from_secs(pick(random, &[1, 3])),
        store: StoreConfig {
            attempt_deadline: Duration::from_secs(2),
            deadline: Duration::from_secs(10),
            ..StoreConfig::default()
        },
    }
}

/// Passes come often, and files and the table of keys are small.
fn keys(random: &Random, rewriter: RewriterConfig) -> KeyCompactionConfig {
    KeyCompactionConfig {
        rewriter,
        check_interval: Duration::from_millis(pick(random, &[500, 2_000])),
        table_bytes: pick(random, &[200, 1 << 20]),
        file_bytes: pick(random, &[1 << 10, 1 << 20]),
    }
}

/// Files stay so small that none is put in parts.
fn merging(random: &Random, rewriter: RewriterConfig) -> MergeConfig {
    let check_interval = Duration::from_secs(pick(random, &[1, 5]));
    MergeConfig { rewriter, check_interval, file_bytes: 1 << 20 }
}

/// Members are missed soon, so that they are while faults strike.
fn groups(random: &Random) -> GroupConfig {
    let consumer = ConsumerConfig {
        session_timeout_ms: pick(random, &[4_000, 8_000]),
        heartbeat_interval_ms: pick(random, &[300, 1_000]),
        classic_session_timeout_ms: CLASSIC_SESSION_MS,
        ..ConsumerConfig::default()
    };
    let classic = ClassicConfig {
        session_timeout_ms_min: 1_000,
        initial_rebalance_delay_ms: pick(random, &[0, 500]),
        ..ClassicConfig::default()
    };
    GroupConfig { classic, consumer }
}

fn broker(random: &Random) -> BrokerConfig {
    BrokerConfig {
        segment_bytes_max: pick(random, &[2 << 10, 16 << 10, 1 << 20]),
        linger_max: Duration::from_millis(pick(random, &[1, 5, 50, 250])),
        inline_bytes_max: pick(random, &[0, 0, 1 << 10, 64 << 10]),
        unflushed_bytes_max: pick(random, &[8 << 10, 1 << 20]),
        uploads_in_flight_max: pick(random, &[1, 2, 4]),
        flushes_per_second_max: pick(random, &[5.0, 50.0, 500.0]),
        append_deadline: Duration::from_secs(pick(random, &[3, 10, 30])),
        cache_block_bytes: pick(random, &[256, 1 << 10, 16 << 10, 1 << 20]),
        cache_memory_bytes: pick(random, &[0, 8 << 10, 64 << 10, 4 << 20]),
        fetch_bytes_max: pick(random, &[1 << 10, 64 << 10, 1 << 20]),
        replies_bytes_max: pick(random, &[4 << 10, 1 << 20]),
        tail_gets_in_flight_max: pick(random, &[1, 4, 32]),
        replay_gets_in_flight_max: pick(random, &[1, 8]),
        ..BrokerConfig::default()
    }
}

/// One of several, each as likely.
pub(super) fn pick<T: Copy>(random: &Random, from: &[T]) -> T {
    let index = usize::try_from(random.below(from.len() as u64)).unwrap_or(0);
    *from.get(index).expect("there is something to choose from")
}

/// A duration between two, in milliseconds, both included.
pub(super) fn millis(random: &Random, min: u64, max: u64) -> Duration {
    Duration::from_millis(min + random.below(max.saturating_sub(min) + 1))
}
