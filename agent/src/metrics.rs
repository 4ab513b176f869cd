//! What an agent counts of itself: connections, bytes, requests and refusals. One function per observation, labels
//! bounded by the API table and Kafka's error codes. Knows nothing of how the figures are served.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ebb_protocol::{
    api::{APIS, Api, ApiKey},
    error::ResponseError,
};
use parking_lot::Mutex;

/// The two transports for Kafka's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Kafka over TCP.
    Kafka,
    /// QUIC streams.
    Quic,
}

impl Transport {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Quic => "quic",
        }
    }
}

/// Counters of one transport.
#[derive(Debug, Default)]
struct TransportCounters {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// A counter for each row of the API table.
#[derive(Debug)]
struct Requests([AtomicU64; APIS.len()]);

impl Default for Requests {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

/// All counters of an agent.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    kafka: TransportCounters,
    quic: TransportCounters,
    requests: Requests,
    errors: Mutex<BTreeMap<(ApiKey, i16), u64>>,
    neighbours: Mutex<Vec<Arc<dyn Figures>>>,
}

impl Metrics {
    /// A connection was let in.
    pub(crate) fn connection_opened(&self, transport: Transport) {
        self.of(transport).opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended.
    pub(crate) fn connection_closed(&self, transport: Transport) {
        self.of(transport).closed.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was turned away at a limit.
    pub(crate) fn connection_refused(&self, transport: Transport) {
        self.of(transport).refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A frame came in.
    pub(crate) fn frame_in(&self, transport: Transport, bytes: usize) {
        self.of(transport).bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A frame went out.
    pub(crate) fn frame_out(&self, transport: Transport, bytes: usize) {
        self.of(transport).bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A request was taken in.
    pub(crate) fn request(&self, api: &'static Api) {
        let row = APIS.iter().position(|row| row.key == api.key);
        if let Some(counter) = row.and_then(|row| self.requests.0.get(row)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request, or a part of one, was refused.
    pub(crate) fn refused(&self, api: ApiKey, error: ResponseError) {
        *self.errors.lock().entry((api, error.code())).or_default() += 1;
    }

    /// From now on the page has the figures of a neighbour as well.
    pub(crate) fn add(&self, neighbour: Arc<dyn Figures>) {
        self.neighbours.lock().push(neighbour);
    }

    /// The figures as Prometheus text.
    pub(crate) fn render(&self) -> String {
        let mut page = Page::default();
        let transports = [Transport::Kafka, Transport::Quic];
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.family("ebb_connections_open", "gauge", "Connections that are open.");
        for t in transports {
            let open = read(&self.of(t).opened).saturating_sub(read(&self.of(t).closed));
            page.sample("ebb_connections_open", &[("transport", t.label())], open);
        }
        let mut counters = |name: &str, help: &str, pick: fn(&TransportCounters) -> &AtomicU64| {
            page.family(name, "counter", help);
            for t in transports {
                page.sample(name, &[("transport", t.label())], read(pick(self.of(t))));
            }
        };
        counters("ebb_connections_total", "Connections that were let in.", |c| &c.opened);
        counters("ebb_connections_refused_total", "Connections turned away at a limit.", |c| &c.refused);
        counters("ebb_received_bytes_total", "Bytes of request frames.", |c| &c.bytes_in);
        counters("ebb_sent_bytes_total", "Bytes of response frames.", |c| &c.bytes_out);
        page.family("ebb_requests_total", "counter", "Requests taken in.");
        for (api, counter) in APIS.iter().zip(&self.requests.0) {
            page.sample("ebb_requests_total", &[("api", &api.key.to_string())], read(counter));
        }
        page.family(
            "ebb_request_errors_total",
            "counter",
            "Error codes in responses, per topic or partition.",
        );
        for ((api, code), count) in self.errors.lock().iter() {
            let labels = [("api", &*api.to_string()), ("code", &*code.to_string())];
            page.sample("ebb_request_errors_total", &labels, *count);
        }
        for neighbour in self.neighbours.lock().iter() {
            page.figures(neighbour.as_ref());
        }
        page.text
    }

    fn of(&self, transport: Transport) -> &TransportCounters {
        match transport {
            Transport::Kafka => &self.kafka,
            Transport::Quic => &self.quic,
        }
    }
}

/// A figure that a neighbour of the agent in the same process puts on the metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name, `ebb_<noun>_<unit>`; counters end in `_total`.
    pub name: &'static str,
    /// Whether it only ever grows.
    pub is_counter: bool,
    /// One sentence on what it is.
    pub help: &'static str,
    /// What it is now.
    pub value: u64,
}

/// Figures of a neighbour.
pub trait Figures: Send + Sync + fmt::Debug {
    /// The figures now, always of the same names. Must be quick.
    fn figures(&self) -> Vec<Figure>;
}

/// A page of Prometheus text.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Begins a family of samples.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a sample. Label values must need no escaping.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let braced = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{name}{braced} {value}");
    }

    /// Adds the figures of a neighbour.
    pub(crate) fn figures(&mut self, neighbour: &dyn Figures) {
        for figure in neighbour.figures() {
            self.family(figure.name, if figure.is_counter { "counter" } else { "gauge" }, figure.help);
            self.sample(figure.name, &[], figure.value);
        }
    }

    /// The page's text.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Neighbour;

    impl Figures for Neighbour {
        fn figures(&self) -> Vec<Figure> {
            let help = "Things done.";
            vec![Figure { name: "ebb_things_total", is_counter: true, help, value: 3 }]
        }
    }

    #[test]
    fn observations_appear_on_the_page() {
        let metrics = Metrics::default();
        metrics.connection_opened(Transport::Quic);
        metrics.connection_opened(Transport::Quic);
        metrics.connection_closed(Transport::Quic);
        metrics.connection_refused(Transport::Kafka);
        metrics.frame_in(Transport::Kafka, 100);
        metrics.frame_out(Transport::Quic, 7);
        metrics.request(Api::find(1).expect("Fetch is served"));
        metrics.refused(ApiKey::Produce, ResponseError::CorruptMessage);
        metrics.add(Arc::new(Neighbour));
        let text = metrics.render();
        let check = |line: &str| assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        check("ebb_connections_open{transport=\"quic\"} 1");
        check("ebb_connections_total{transport=\"quic\"} 2");
        check("ebb_connections_refused_total{transport=\"kafka\"} 1");
        check("ebb_received_bytes_total{transport=\"kafka\"} 100");
        check("ebb_sent_bytes_total{transport=\"quic\"} 7");
        check("ebb_requests_total{api=\"Fetch\"} 1");
        check("ebb_requests_total{api=\"Produce\"} 0");
        check("ebb_request_errors_total{api=\"Produce\",code=\"2\"} 1");
        check("# TYPE ebb_things_total counter");
        check("ebb_things_total 3");
    }
}
