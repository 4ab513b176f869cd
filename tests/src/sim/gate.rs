//! The gate of one run of an agent: everything that it sends and receives passes here. Shut, the agent is dead;
//! closed, it is stopped.

use std::future::pending;

use parking_lot::Mutex;
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Open,
    Closed,
    Shut,
}

/// The gate.
#[derive(Debug)]
pub(super) struct Gate {
    position: Mutex<Position>,
    moved: Notify,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { position: Mutex::new(Position::Open), moved: Notify::new() }
    }

    /// Waits while the agent is stopped; for ever when it is dead.
    pub(super) async fn pass(&self) {
        loop {
            let moved = self.moved.notified();
            let position = *self.position.lock();
            match position {
                Position::Open => return,
                Position::Closed => moved.await,
                Position::Shut => pending().await,
            }
        }
    }

    /// Waits until the agent is dead.
    pub(super) async fn dead(&self) {
        loop {
            let moved = self.moved.notified();
            if self.is_dead() {
                return;
            }
            moved.await;
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.position.lock() == Position::Shut
    }

    pub(super) fn is_open(&self) -> bool {
        *self.position.lock() == Position::Open
    }

    pub(super) fn stop(&self) {
        self.turn(Position::Closed);
    }

    pub(super) fn go_on(&self) {
        self.turn(Position::Open);
    }

    pub(super) fn kill(&self) {
        self.turn(Position::Shut);
    }

    fn turn(&self, to: Position) {
        let mut position = self.position.lock();
        // The dead stay dead.
        if *position != Position::Shut {
            *position = to;
        }
        drop(position);
        self.moved.notify_waiters();
    }
}
