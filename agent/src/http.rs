//! A small HTTP listener. For operators: `/healthz` (the process answers), `/readyz` (the agent serves clients) and
//! `/metrics` (Prometheus text). For analysts: the catalog under `/iceberg`. Knows what the parts count; knows nothing of
//! Kafka.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_protocol::ids::AgentId;
use ebb_segment::counted::{RequestCounters, RequestCounts};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    broker::Broker,
    iceberg::{Answer, Catalog},
    listen::{ListenError, tcp::listen},
    metrics::{Metrics, Page},
};

/// Connections that are served at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// A request's head must arrive within this time.
const HEAD_MAX: Duration = Duration::from_secs(10);

/// Bytes that a request's head may have.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// After an accept failed for want of descriptors or memory, the next one waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the pages tell of.
pub(crate) struct Pages {
    pub(crate) agent: AgentId,
    pub(crate) broker: Arc<Broker>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) requests: Option<Arc<RequestCounters>>,
    pub(crate) draining: CancellationToken,
    pub(crate) catalog: Catalog,
}

/// Binds the listener.
///
/// # Errors
/// [`ListenError`] names the address and the remedy.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    listen(address).map_err(|e| ListenError::from_io("HTTP", address, e))
}

/// Serves until `stopped` fires, which is after the agent has drained: operators watch it do so.
pub(crate) async fn run(
    listener: TcpListener,
    pages: Arc<Pages>,
    tasks: TaskTracker,
    stopped: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            accepted = async {
                let place = room.clone().acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        match accepted {
            (place, Ok((stream, _))) => {
                let (pages, stopped) = (pages.clone(), stopped.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        biased;
                        () = stopped.cancelled() => {}
                        () = serve(stream, pages) => {}
                    }
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(|request: Request<Incoming>| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(pages.respond(&request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "http connection closed");
    }
}

impl Pages {
    async fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (method, uri) = (request.method(), request.uri());
        match uri.path().strip_prefix("/iceberg") {
            Some(path) if path.is_empty() || path.starts_with('/') => {
                json(self.catalog.answer(method, path, uri.query()).await)
            }
            _ => self.answer(method, uri.path()),
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return page(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
        }
        match path {
            "/healthz" => page(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" if self.is_ready() => page(StatusCode::OK, "ready\n".to_owned()),
            "/readyz" => page(StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
            "/metrics" => page(StatusCode::OK, self.metrics()),
            _ => page(
                StatusCode::NOT_FOUND,
                "try /healthz, /readyz, /metrics or /iceberg/v1/config\n".to_owned(),
            ),
        }
    }

    /// Whether clients are served: the agent is a live member of its cluster and does not go down.
    fn is_ready(&self) -> bool {
        let live = |state: &ebb_metastore::state::State| state.agents().any(|agent| agent.id == self.agent);
        !self.draining.is_cancelled() && self.broker.metastore().read(live)
    }

    fn metrics(&self) -> String {
        let mut text = self.metrics.render();
        let mut page = Page::default();
        if let Some(counters) = &self.requests {
            store_requests(&mut page, counters.counts());
        }
        let reads = self.broker.read_counts();
        page.family("ebb_cache_blocks_total", "counter", "Blocks asked of the cache, by what became of it.");
        for (result, count) in [
            ("hit", reads.hits),
            ("miss", reads.misses),
            ("merged", reads.merged),
            ("read_ahead", reads.read_ahead),
        ] {
            page.sample("ebb_cache_blocks_total", &[("result", result)], count);
        }
        page.family(
            "ebb_cache_gets_total",
            "counter",
            "GETs that read blocks, each one or some next to each other.",
        );
        page.sample("ebb_cache_gets_total", &[], reads.gets);
        page.family(
            "ebb_damaged_reads_total",
            "counter",
            "Damaged bytes that were read again from the store.",
        );
        page.sample("ebb_damaged_reads_total", &[], reads.damaged);
        page.family(
            "ebb_unreadable_reads_total",
            "counter",
            "Reads of records that the store has lost or damaged.",
        );
        page.sample("ebb_unreadable_reads_total", &[], reads.unreadable);
        let (position, agents) =
            self.broker.metastore().read(|state| (state.position().0, state.agents().count() as u64));
        page.family("ebb_commit_log_position", "gauge", "The position of the next entry of the commit log.");
        page.sample("ebb_commit_log_position", &[], position);
        page.family("ebb_agents_live", "gauge", "Live agents of the cluster.");
        page.sample("ebb_agents_live", &[], agents);
        text.push_str(&page.into_text());
        text
    }
}

fn store_requests(page: &mut Page, counts: RequestCounts) {
    page.family("ebb_store_requests_total", "counter", "Requests to the object store.");
    for (kind, count) in [
        ("put", counts.puts),
        ("get", counts.gets),
        ("head", counts.heads),
        ("list", counts.lists),
        ("delete", counts.deletes),
        ("copy", counts.copies),
    ] {
        page.sample("ebb_store_requests_total", &[("kind", kind)], count);
    }
    page.family("ebb_store_request_failures_total", "counter", "Requests to the object store that failed.");
    page.sample("ebb_store_request_failures_total", &[], counts.failures);
    page.family("ebb_store_bytes_total", "counter", "Bytes to and from the object store.");
    page.sample("ebb_store_bytes_total", &[("kind", "put")], counts.put_bytes);
    page.sample("ebb_store_bytes_total", &[("kind", "get")], counts.get_bytes);
}

fn page(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn json(answer: Answer) -> Response<Full<Bytes>> {
    let body = answer.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = answer.status;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
