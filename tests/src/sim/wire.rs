//! The wire: one run of an agent's way to the bucket. Requests are slow, fail before or after they were done, hang,
//! are done late, and go on when the agent that sent them has given up or died.

use std::{fmt, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use ebb_protocol::random::Random;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::sleep};

use super::{
    bucket::{self, Bucket},
    faults::{Fault, Weather},
    gate::Gate,
    plan::millis,
    probes::Probe,
    world::World,
};

/// A put that is done late is done within this time, in milliseconds.
const LATE_MS_MAX: u64 = 20_000;

/// A listing may be behind by this much, in milliseconds.
const STALE_MS_MAX: u64 = 2_000;

/// Slow requests take this many times as long.
const SLOW_TIMES: u32 = 25;

/// When an agent is to die by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doom {
    /// When it makes this many more puts.
    AtRequest(u32),
    /// When this many more puts were done, before it learns of the last one.
    AtAnswer(u32),
}

/// The wire.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) world: Arc<World>,
    pub(super) name: String,
    pub(super) bucket: Arc<Bucket>,
    pub(super) weather: Arc<Weather>,
    pub(super) random: Random,
    pub(super) gate: Arc<Gate>,
    pub(super) doom: Mutex<Option<Doom>>,
}

impl Wire {
    pub(super) fn strikes(&self, fault: Fault, of: impl Fn(&super::faults::Rates) -> f64) -> bool {
        let strikes = self.weather.strikes(&self.random, of);
        if strikes {
            self.world.fault(fault);
        }
        strikes
    }

    /// Waits as long as half of a request takes.
    pub(super) async fn travel(&self) {
        let mut time = millis(&self.random, 0, self.world.plan.request_ms_max / 2);
        if self.strikes(Fault::Slow, |rates| rates.slow) {
            time *= SLOW_TIMES;
        }
        sleep(time).await;
    }

    /// Kills the agent when its time has come.
    pub(super) fn doomed(&self, at_answer: bool) {
        let mut doom = self.doom.lock();
        let left = match *doom {
            Some(Doom::AtRequest(left)) if !at_answer => Doom::AtRequest(left.saturating_sub(1)),
            Some(Doom::AtAnswer(left)) if at_answer => Doom::AtAnswer(left.saturating_sub(1)),
            _ => return,
        };
        *doom = Some(left);
        if matches!(left, Doom::AtRequest(0) | Doom::AtAnswer(0)) {
            self.world.fault(if at_answer { Fault::CrashAtAnswer } else { Fault::CrashAtRequest });
            self.gate.kill();
        }
    }

    /// Lets something happen elsewhere: it goes on, or not, when the agent no longer waits for it.
    pub(super) async fn elsewhere<T: Send + 'static>(
        &self,
        done: impl Future<Output = T> + Send + 'static,
        died: Probe,
    ) -> T {
        let (answer, answered) = oneshot::channel();
        let (mut answer, goes_on) = (answer, self.random.chance(0.5));
        let (world, gate) = (self.world.clone(), self.gate.clone());
        let way = millis(&self.random, 0, self.world.plan.request_ms_max / 2);
        tokio::spawn(async move {
            if goes_on {
                sleep(way).await;
            } else {
                tokio::select! {
                    biased;
                    () = answer.closed() => {}
                    () = sleep(way) => {}
                }
            }
            if answer.is_closed() || gate.is_dead() {
                world.fault(if goes_on { Fault::OrphanDone } else { Fault::OrphanLost });
                if gate.is_dead() {
                    world.probe(died);
                }
                if !goes_on {
                    return;
                }
            }
            // The agent may be gone by now.
            drop(answer.send(done.await));
        });
        match answered.await {
            Ok(answer) => answer,
            // It was dropped on the way, so the agent is dead.
            Err(_) => pending().await,
        }
    }

    async fn begin(&self) -> Result<()> {
        self.gate.pass().await;
        self.travel().await;
        if self.strikes(Fault::Hung, |rates| rates.hang) {
            return pending().await;
        }
        if self.strikes(Fault::FailedBefore, |rates| rates.before) {
            return Err(fault("503 slow down"));
        }
        Ok(())
    }

    fn died_in(at: &Path) -> Probe {
        if bucket::position(at).is_some() { Probe::CrashMidAppend } else { Probe::CrashMidUpload }
    }

    /// Does a put, once its fate is known to let it.
    async fn put(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = options.mode == PutMode::Create;
        if create && self.strikes(Fault::Conflict, |rates| rates.conflict) {
            return Err(Error::AlreadyExists { path: at.to_string(), source: "409 conflict".into() });
        }
        let (bucket, to) = (self.bucket.clone(), at.clone());
        if self.strikes(Fault::DoneLate, |rates| rates.late) {
            let after = millis(&self.random, 0, LATE_MS_MAX);
            tokio::spawn(async move {
                sleep(after).await;
                // Whether it succeeds is nobody's business any more.
                drop(bucket.put(&to, payload, options).await);
            });
            return Err(fault("connection reset"));
        }
        let done = async move { bucket.put(&to, payload, options).await };
        let answer = self.elsewhere(done, Self::died_in(at)).await;
        let landed = answer.is_ok();
        if create && landed && self.strikes(Fault::OwnTwice, |rates| rates.twice) {
            return Err(Error::AlreadyExists { path: at.to_string(), source: "412".into() });
        }
        if self.strikes(Fault::FailedAfter, |rates| rates.after) {
            if landed && bucket::position(at).is_some() {
                self.world.probe(Probe::CommitAnswerLost);
            }
            return Err(fault("the answer was lost"));
        }
        if create && matches!(answer, Err(Error::AlreadyExists { .. })) {
            self.world.probe(Probe::PositionTaken);
        }
        answer
    }

    async fn get(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let found = self.bucket.get(at, options).await?;
        if head {
            return Ok(found);
        }
        if at.as_ref().starts_with("snapshots/") {
            self.world.probe(Probe::SnapshotColdStart);
        }
        let (meta, range) = (found.meta.clone(), found.range.clone());
        let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
        let mut bytes = found.bytes().await?.to_vec();
        if !bytes.is_empty() && self.strikes(Fault::FlippedBit, |rates| rates.flip) {
            let bit = self.random.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if !bytes.is_empty() && self.strikes(Fault::ShortBody, |rates| rates.short) {
            bytes.truncate(self.random.below(bytes.len() as u64) as usize);
        }
        let payload = GetResultPayload::Stream(stream::once(async { Ok(Bytes::from(bytes)) }).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    async fn entries(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        self.begin().await?;
        let stale = self.strikes(Fault::StaleList, |rates| rates.stale_list);
        let behind = millis(&self.random, 0, if stale { STALE_MS_MAX } else { 0 });
        let found = self.bucket.list(prefix, behind).await;
        self.gate.pass().await;
        found
    }
}

fn fault(what: &'static str) -> Error {
    Error::Generic { store: "simulated", source: what.into() }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wire of {}", self.name)
    }
}

/// The wire can be asked for streams that outlive a borrow of it.
#[derive(Clone, Debug)]
pub(super) struct Store(pub(super) Arc<Wire>);

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let wire = &self.0;
        let bytes = payload.content_length();
        wire.doomed(false);
        wire.begin().await?;
        let answer = wire.put(at, payload, options).await;
        wire.world.call(format_args!("{} put {at} {bytes} {}", wire.name, outcome(&answer)));
        wire.doomed(true);
        wire.gate.pass().await;
        answer
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "multipart".to_owned(), implementer: "simulation".to_owned() })
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let wire = &self.0;
        wire.begin().await?;
        let answer = wire.get(at, options).await;
        wire.world.call(format_args!("{} get {at} {}", wire.name, outcome(&answer)));
        wire.gate.pass().await;
        answer
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let wire = self.0.clone();
        let delete = move |key: Result<Path>| {
            let wire = wire.clone();
            async move {
                let key = key?;
                if wire.strikes(Fault::DeletedInPart, |rates| rates.before) {
                    return Err(fault("503 slow down"));
                }
                let answer = wire.bucket.delete(&key).await;
                wire.world.call(format_args!("{} delete {key} {}", wire.name, outcome(&answer)));
                answer.map(|()| key)
            }
        };
        let wire = self.0.clone();
        let begun = async move { wire.begin().await.map(|()| keys.then(delete).boxed()) };
        stream::once(begun).try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (wire, prefix) = (self.0.clone(), prefix.cloned());
        let begun = async move {
            let found = wire.entries(prefix.as_ref()).await;
            let count = found.as_ref().map_or(0, Vec::len);
            wire.world.call(format_args!("{} list {prefix:?} {count}", wire.name));
            found.map(|found| stream::iter(found.into_iter().map(Ok)))
        };
        stream::once(begun).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotImplemented { operation: "folders".to_owned(), implementer: "simulation".to_owned() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".to_owned(), implementer: "simulation".to_owned() })
    }
}

fn outcome<T>(answer: &Result<T>) -> &'static str {
    match answer {
        Ok(_) => "done",
        Err(Error::AlreadyExists { .. }) => "exists",
        Err(Error::NotFound { .. }) => "missing",
        Err(_) => "failed",
    }
}

/// How long an outage lasts, at most.
pub(super) const OUTAGE_MAX: Duration = Duration::from_secs(12);
