//! Whether a server still answers. A call that has waited long asks here; one question on a stream of its own settles
//! it for all calls on the connection, so that a server that is gone costs seconds and not a request's whole time-out.
//! Knows nothing of what the calls are about.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ebb_protocol::messages::{ApiVersionsRequest, StrBytes};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use super::Channel;
use crate::transport::Connection;

/// A call that has waited this long wants to know whether the server is still there.
const ASK_AFTER: Duration = Duration::from_secs(3);
/// A server that is there answers within this time.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long others are preferred to a server that did not answer.
const AVOIDED_FOR: Duration = Duration::from_secs(5);
/// The version of the question, which every server knows.
const QUESTION_VERSION: i16 = 0;

/// Whether a server is better left alone for a while. Outlives its connections.
#[derive(Debug, Default)]
pub(crate) struct Health {
    avoid_until: Mutex<Option<Instant>>,
}

impl Health {
    /// Whether somebody else is a better choice just now.
    pub(crate) fn is_poor(&self) -> bool {
        self.avoid_until.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Notes that the server did not answer.
    pub(crate) fn worsen(&self) {
        *self.avoid_until.lock() = Some(Instant::now() + AVOIDED_FOR);
    }

    /// Notes that the server answers.
    pub(crate) fn recover(&self) {
        *self.avoid_until.lock() = None;
    }
}

/// What is known of the server at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    connection: Arc<dyn Connection>,
    client_id: StrBytes,
    health: Arc<Health>,
    /// When an answer was last seen here. Held while a question is asked, so that one serves everybody.
    heard_at: tokio::sync::Mutex<Option<Instant>>,
    is_lost: AtomicBool,
    /// Told when the server is found to be gone.
    lost: Notify,
}

impl Pulse {
    pub(crate) fn new(connection: Arc<dyn Connection>, client_id: StrBytes, health: Arc<Health>) -> Self {
        Self {
            connection,
            client_id,
            health,
            heard_at: tokio::sync::Mutex::default(),
            is_lost: AtomicBool::new(false),
            lost: Notify::new(),
        }
    }

    /// Whether the server was found to be gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Returns when the server is found to be gone, and never while it answers.
    pub(crate) async fn lost(self: &Arc<Self>) {
        let told = self.lost.notified();
        let found = async {
            loop {
                tokio::time::sleep(ASK_AFTER).await;
                // A question that cannot be asked to its end, since the runtime ends, says nothing of the server.
                if !self.ask().await.unwrap_or(true) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = told => {}
            () = found => {}
        }
    }

    /// Asks, whether or not the call that wants to know goes on waiting: calls may have less time than the question
    /// takes. Answers whether the server is there.
    pub(crate) fn ask(self: &Arc<Self>) -> JoinHandle<bool> {
        let pulse = self.clone();
        tokio::spawn(pulse.answers())
    }

    /// Boxed, because calls ask here, and asking is a call.
    fn answers(self: Arc<Self>) -> BoxFuture<'static, bool> {
        Box::pin(async move { self.look().await })
    }

    async fn look(&self) -> bool {
        let mut heard_at = self.heard_at.lock().await;
        if self.is_lost() || self.connection.is_closed() {
            return false;
        }
        if heard_at.is_some_and(|at| at.elapsed() < ASK_AFTER) {
            return true;
        }
        let opening = Channel::open(&self.connection, self.client_id.clone(), None);
        let answers = match tokio::time::timeout(ANSWER_MAX, opening).await {
            Ok(Ok(channel)) => {
                let question = ApiVersionsRequest::default();
                channel.call(&question, QUESTION_VERSION, ANSWER_MAX).await.is_ok()
            }
            Ok(Err(_)) => false,
            // The connection has as many streams as the server allows, which says nothing of the server.
            Err(_) => return true,
        };
        if answers {
            *heard_at = Some(Instant::now());
        } else {
            self.is_lost.store(true, Ordering::Release);
            self.health.worsen();
            self.lost.notify_waiters();
        }
        answers
    }
}
