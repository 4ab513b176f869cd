//! The pages of a process that looks after a cluster and serves no clients, and their listener.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use ebb_metastore::Metastore;
use ebb_protocol::ids::AgentId;
use ebb_segment::counted::RequestCounters;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming};
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{Operated, Pages, bind, cluster, is_member, run, store_requests};
use crate::{
    listen::ListenError,
    metrics::{Figures, Page},
};

/// A listener at which nobody answers yet.
#[derive(Debug)]
pub struct StatusListener(TcpListener);

impl StatusListener {
    /// Binds an address.
    ///
    /// # Errors
    /// [`ListenError`] names the address and the remedy.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        bind(address).map(Self)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`ListenError::Socket`].
    pub fn address(&self) -> Result<SocketAddr, ListenError> {
        self.0.local_addr().map_err(ListenError::Socket)
    }

    /// Serves `/healthz`, `/readyz` and `/metrics` for the member `id` of a cluster, which no client talks to: the
    /// figures of what works beside it, and what its requests to the store came to, if they are counted. Stops when the
    /// guard is dropped.
    #[must_use]
    pub fn serve(
        self,
        id: AgentId,
        metastore: Metastore,
        figures: Vec<Arc<dyn Figures>>,
        requests: Option<Arc<RequestCounters>>,
    ) -> DropGuard {
        let (tasks, stopped) = (TaskTracker::new(), CancellationToken::new());
        let pages = Arc::new(StatusPages { id, metastore, figures, requests });
        tasks.spawn(run(self.0, pages, tasks.clone(), stopped.clone()));
        stopped.drop_guard()
    }
}

/// What the pages tell of.
struct StatusPages {
    id: AgentId,
    metastore: Metastore,
    figures: Vec<Arc<dyn Figures>>,
    requests: Option<Arc<RequestCounters>>,
}

impl Pages for StatusPages {
    async fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.answer(request.method(), request.uri().path())
    }
}

impl Operated for StatusPages {
    fn is_ready(&self) -> bool {
        is_member(&self.metastore, self.id)
    }

    fn metrics(&self) -> String {
        let mut page = Page::default();
        for neighbour in &self.figures {
            page.figures(neighbour.as_ref());
        }
        if let Some(counters) = &self.requests {
            store_requests(&mut page, counters.counts());
        }
        cluster(&mut page, &self.metastore);
        page.into_text()
    }

    fn elsewhere(&self) -> &'static str {
        ""
    }
}
