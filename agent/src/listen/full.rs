//! What a TCP listener does at its limit: it turns everybody away but an agent that asks whether this one is there.
//! Otherwise an agent with many clients would look like one behind a proxy whose process is gone, and the others would
//! put it out. Knows nothing of requests.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::Semaphore, time::timeout};

use crate::{connection::Shared, peers::answer_question};

/// Connections above the limit that may say what they want at once. More are closed unheard.
const HEARD_AT_ONCE_MAX: usize = 64;

/// They have this long.
const HEARD_FOR: Duration = Duration::from_secs(1);

/// Hears those who came when there was no room.
#[derive(Debug)]
pub(super) struct Full {
    room: Arc<Semaphore>,
}

impl Full {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(HEARD_AT_ONCE_MAX)) }
    }

    /// Answers the question of another agent, and closes the connection in any case.
    pub(super) fn turn_away(&self, mut stream: TcpStream, shared: &Shared) {
        let Ok(heard) = self.room.clone().try_acquire_owned() else { return };
        shared.spawn(async move {
            let answered = timeout(HEARD_FOR, answer_question(&mut stream)).await;
            tracing::debug!(?answered, "a connection was turned away at the limit");
            drop(heard);
        });
    }
}
