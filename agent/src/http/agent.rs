//! The pages of an agent: those of every process, the catalog, and what the broker counts.

use std::sync::Arc;

use bytes::Bytes;
use ebb_protocol::ids::AgentId;
use ebb_segment::counted::RequestCounters;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, header};
use tokio_util::sync::CancellationToken;

use super::{Operated, Pages, cluster, is_member, store_requests};
use crate::{
    broker::Broker,
    iceberg::{Answer, Catalog},
    metrics::{Metrics, Page},
};

/// What the pages tell of.
pub(crate) struct AgentPages {
    pub(crate) agent: AgentId,
    pub(crate) broker: Arc<Broker>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) requests: Option<Arc<RequestCounters>>,
    pub(crate) draining: CancellationToken,
    pub(crate) catalog: Catalog,
}

impl Pages for AgentPages {
    async fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (method, uri) = (request.method(), request.uri());
        match uri.path().strip_prefix("/iceberg") {
            Some(path) if path.is_empty() || path.starts_with('/') => {
                json(self.catalog.answer(method, path, uri.query()).await)
            }
            _ => self.answer(method, uri.path()),
        }
    }
}

impl Operated for AgentPages {
    /// Whether clients are served: the agent is a live member of its cluster and does not go down.
    fn is_ready(&self) -> bool {
        !self.draining.is_cancelled() && is_member(self.broker.metastore(), self.agent)
    }

    fn metrics(&self) -> String {
        let mut text = self.metrics.render();
        let mut page = Page::default();
        if let Some(counters) = &self.requests {
            store_requests(&mut page, counters.counts());
        }
        self.reads(&mut page);
        cluster(&mut page, self.broker.metastore());
        text.push_str(&page.into_text());
        text
    }

    fn elsewhere(&self) -> &'static str {
        " or /iceberg/v1/config"
    }
}

impl AgentPages {
    /// What reading records came to.
    fn reads(&self, page: &mut Page) {
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
    }
}

fn json(answer: Answer) -> Response<Full<Bytes>> {
    let body = answer.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = answer.status;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
