//! A value that is watched. Does what tokio's `watch` does, but wakes those who wait in the order in which they began
//! to wait: tokio's wakes them in a random order, and then one seed would not replay a simulation.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The end that changes the value.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end that sees the value change.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// There will be no more changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody changes the value any more")]
pub struct Closed;

#[derive(Debug)]
struct Shared<T> {
    current: Mutex<Current<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct Current<T> {
    value: T,
    /// Counts the changes.
    version: u64,
    closed: bool,
}

impl<T: Clone> Sender<T> {
    pub(crate) fn new(value: T) -> Self {
        let current = Mutex::new(Current { value, version: 0, closed: false });
        Self { shared: Arc::new(Shared { current, changed: Notify::new() }) }
    }

    /// A receiver that has seen the present value.
    pub(crate) fn subscribe(&self) -> Receiver<T> {
        let seen = self.shared.current.lock().version;
        Receiver { shared: Arc::clone(&self.shared), seen }
    }

    pub(crate) fn send(&self, value: T) {
        let mut current = self.shared.current.lock();
        current.value = value;
        current.version += 1;
        drop(current);
        self.shared.changed.notify_waiters();
    }

    pub(crate) fn get(&self) -> T {
        self.shared.current.lock().value.clone()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.current.lock().closed = true;
        self.shared.changed.notify_waiters();
    }
}

impl<T: Clone> Receiver<T> {
    /// The present value.
    #[must_use]
    pub fn get(&self) -> T {
        self.shared.current.lock().value.clone()
    }

    /// Counts the present value as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.current.lock().version;
    }

    /// Waits for a value that was not seen yet, and counts it as seen.
    ///
    /// # Errors
    /// [`Closed`] when none will come.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            // Made before the look, so that no change falls between the two.
            let notified = self.shared.changed.notified();
            {
                let current = self.shared.current.lock();
                if current.version != self.seen {
                    self.seen = current.version;
                    return Ok(());
                }
                if current.closed {
                    return Err(Closed);
                }
            }
            notified.await;
        }
    }

    /// Waits until the value, present or to come, is as wanted, and gives it.
    ///
    /// # Errors
    /// [`Closed`] when it will not be.
    pub async fn wait_for(&mut self, wanted: impl Fn(&T) -> bool) -> Result<T, Closed> {
        loop {
            self.mark_unchanged();
            let value = self.get();
            if wanted(&value) {
                return Ok(value);
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_wake_in_the_order_in_which_they_began() {
        let sender = Sender::new(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for index in 0..100 {
            let (mut receiver, order) = (sender.subscribe(), order.clone());
            tasks.spawn(async move {
                receiver.changed().await.expect("a change comes");
                order.lock().push(index);
            });
            tokio::task::yield_now().await;
        }
        sender.send(1);
        tasks.join_all().await;
        assert_eq!(*order.lock(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_is_seen_once() {
        let sender = Sender::new(0);
        let mut receiver = sender.subscribe();
        assert!(receiver.changed().now_or_never().is_none());
        sender.send(0);
        assert_eq!(receiver.changed().now_or_never(), Some(Ok(())));
        assert!(receiver.changed().now_or_never().is_none());
        sender.send(1);
        receiver.mark_unchanged();
        assert!(receiver.changed().now_or_never().is_none());
        drop(sender);
        assert_eq!(receiver.changed().await, Err(Closed));
    }

    #[tokio::test]
    async fn waits_for_a_value_and_not_for_ever() {
        let sender = Sender::new(1);
        let mut receiver = sender.subscribe();
        assert_eq!(receiver.wait_for(|value| *value == 1).await, Ok(1));
        let waits = tokio::spawn(async move { receiver.wait_for(|value| *value == 3).await });
        for value in [2, 3] {
            tokio::task::yield_now().await;
            sender.send(value);
        }
        assert_eq!(waits.await.expect("does not panic"), Ok(3));
        let mut receiver = sender.subscribe();
        drop(sender);
        assert_eq!(receiver.wait_for(|value| *value == 4).await, Err(Closed));
    }
}
