//! A small HTTP listener. For operators: `/healthz` (the process answers), `/readyz` (it does what it is there for) and
//! `/metrics` (Prometheus text). For analysts, on agents: the catalog under `/iceberg`. Knows what the parts count; knows
//! nothing of Kafka.

mod agent;
mod status;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_metastore::{Metastore, state::State};
use ebb_protocol::ids::AgentId;
use ebb_segment::counted::RequestCounts;
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

pub(crate) use self::agent::AgentPages;
pub use self::status::StatusListener;
use crate::{
    listen::{ListenError, tcp::listen},
    metrics::Page,
};

/// Connections that are served at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// A request's head must arrive within this time.
const HEAD_MAX: Duration = Duration::from_secs(10);

/// Bytes that a request's head may have.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// After an accept failed for want of descriptors or memory, the next one waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers the requests of one listener.
pub(crate) trait Pages: Send + Sync + 'static {
    /// Answers a request.
    fn respond(&self, request: &Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// What every process shows its operators.
trait Operated {
    /// Whether it does what it is there for.
    fn is_ready(&self) -> bool;

    /// The page for Prometheus.
    fn metrics(&self) -> String;

    /// What else may be asked for, as a hint for whoever asks for something that there is not.
    fn elsewhere(&self) -> &'static str;

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return page(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
        }
        match path {
            "/healthz" => page(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" if self.is_ready() => page(StatusCode::OK, "ready\n".to_owned()),
            "/readyz" => page(StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
            "/metrics" => page(StatusCode::OK, self.metrics()),
            _ => {
                let hint = format!("try /healthz, /readyz, /metrics{}\n", self.elsewhere());
                page(StatusCode::NOT_FOUND, hint)
            }
        }
    }
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
    pages: Arc<impl Pages>,
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

async fn serve(stream: TcpStream, pages: Arc<impl Pages>) {
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

/// What the requests to the object store came to.
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

/// Where the commit log ends and who is there, as this process knows it.
fn cluster(page: &mut Page, metastore: &Metastore) {
    let (position, agents) = metastore.read(|state| (state.position().0, state.agents().count() as u64));
    page.family("ebb_commit_log_position", "gauge", "The position of the next entry of the commit log.");
    page.sample("ebb_commit_log_position", &[], position);
    page.family("ebb_agents_live", "gauge", "Live agents of the cluster.");
    page.sample("ebb_agents_live", &[], agents);
}

/// Whether a process is a live member of its cluster.
fn is_member(metastore: &Metastore, id: AgentId) -> bool {
    metastore.read(|state: &State| state.agents().any(|agent| agent.id == id))
}

fn page(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
