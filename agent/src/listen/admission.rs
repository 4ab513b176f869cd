//! Limits on open connections, in all and per peer address. Knows nothing of sockets.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use crate::{
    config::Limits,
    metrics::{Metrics, Transport},
};

/// Counts the open connections of one listener.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    transport: Transport,
    connections_max: usize,
    per_address_max: usize,
    metrics: Arc<Metrics>,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// One admitted connection. Makes room when dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Admission,
    peer: IpAddr,
}

impl Admission {
    pub(super) fn new(transport: Transport, limits: &Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            transport,
            connections_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            metrics,
            open: Arc::default(),
        }
    }

    /// Lets a connection in, unless a limit is reached.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<Admitted> {
        let mut open = self.open.lock();
        let from_peer = open.by_address.get(&peer).copied().unwrap_or(0);
        if open.total >= self.connections_max || from_peer >= self.per_address_max {
            self.metrics.connection_refused(self.transport);
            return None;
        }
        open.total += 1;
        open.by_address.insert(peer, from_peer + 1);
        self.metrics.connection_opened(self.transport);
        Some(Admitted { admission: self.clone(), peer })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.metrics.connection_closed(self.admission.transport);
        let mut open = self.admission.open.lock();
        open.total -= 1;
        if let Some(count) = open.by_address.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn connections_are_limited_in_all_and_per_address() {
        let limits = Limits { connections_max: 3, connections_per_address_max: 2, ..Limits::default() };
        let admission = Admission::new(Transport::Kafka, &limits, Arc::default());
        let [one, two, three] = [1, 2, 3].map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
        let first = admission.admit(one).expect("there is room");
        let _second = admission.admit(one).expect("there is room");
        assert!(admission.admit(one).is_none(), "two is the limit per address");
        let _third = admission.admit(two).expect("there is room");
        assert!(admission.admit(three).is_none(), "three is the limit in all");
        drop(first);
        assert!(admission.admit(one).is_some(), "a closed connection makes room");
    }
}
