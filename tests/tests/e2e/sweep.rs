//! A bucket that processes have left, swept as it would be days later, when every grace is over. Knows nothing of who
//! left what.

use std::{sync::Arc, time::Duration};

use ebb_compactor::{
    Member,
    sweeper::{SweepCounts, Sweeper, SweeperConfig},
};
use ebb_metastore::log::{RetryConfig, bucket::BucketLog};
use ebb_protocol::{
    clock::{Clock, SharedClock, SystemClock},
    ids::Timestamp,
    random::Random,
};
use ebb_segment::open::open_with;
use ebb_tests::e2e::ebb::Ebb;
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How far ahead the sweeper's clock is. What it first sees dead has then been so for longer than the two graces that
/// the oldest of it has to wait for, those of an archive file and of an orphan.
const LATER_MS: i64 = 3 * 24 * 60 * 60 * 1_000;
/// The pause between two of its passes.
const PAUSE: Duration = Duration::from_millis(50);
/// All is swept within this time.
const SWEEP_MAX: Duration = Duration::from_secs(120);

/// The system's clock, some days later.
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + LATER_MS)
    }
}

/// Sweeps the bucket, with the graces that users have, until everything is gone that nothing refers to. No agent runs
/// any more. Gives what was deleted; the state that is left is sound.
pub(crate) async fn sweep_later(ebb: &Ebb, url: &str, env: &[(String, String)]) -> SweepCounts {
    let store = open_with(url, env).expect("agents have opened it");
    let (random, clock): (_, SharedClock) = (Random::from_os(), Arc::new(Later));
    let log = Arc::new(BucketLog::new(store.clone(), random.fork(), RetryConfig::default()));
    let member = Member::join(store.clone(), log, clock.clone(), &random).await.expect("the bucket is sound");
    let config = SweeperConfig {
        pass_interval: PAUSE,
        listing_interval: PAUSE,
        listing_pause: Duration::ZERO,
        ..SweeperConfig::default()
    };
    let sweeper = Sweeper::start(member.metastore().clone(), store, clock, random, config);
    let started = Instant::now();
    while fsck(ebb, url)["unreferenced"] != 0 {
        assert!(started.elapsed() < SWEEP_MAX, "{}; {:?}", fsck(ebb, url), sweeper.counts());
        sleep(PAUSE).await;
    }
    let counts = sweeper.counts();
    sweeper.shutdown().await;
    member.leave().await;
    counts
}

/// Has the bucket compared with the state, and gives what is said of it.
pub(crate) fn fsck(ebb: &Ebb, url: &str) -> Value {
    let checked = ebb.run(&["fsck", "--json", "--store", url], b"");
    let report = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.code, 0, "fsck: {report}{}", checked.stderr);
    serde_json::from_str(&report).expect("JSON")
}
