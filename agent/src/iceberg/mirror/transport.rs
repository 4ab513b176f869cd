//! HTTP to a foreign catalog. Knows neither Iceberg nor what a request is for.

use std::time::Duration;

use async_trait::async_trait;
use hyper::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::error::MirrorError;

/// How long a connection to the catalog may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a request to the catalog may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Bytes that an answer may have: the metadata of a table are far below.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A request to a catalog.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// The parts of the path behind `v1`, not escaped.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

/// What carries requests to a catalog.
#[async_trait]
pub(super) trait Transport: Send + Sync {
    /// The answer to a request, whatever its status; an empty body is null.
    ///
    /// # Errors
    /// [`MirrorError::Down`] when there is none.
    async fn ask(&self, ask: Ask) -> Result<(StatusCode, Value), MirrorError>;
}

/// A catalog over HTTP.
pub(super) struct Http {
    client: reqwest::Client,
    address: Url,
    token: Option<String>,
}

impl Http {
    /// `address` is the one in front of `v1`.
    ///
    /// # Errors
    /// [`MirrorError::Down`] when this machine's certificates cannot be used.
    pub(super) fn new(address: Url, token: Option<String>) -> Result<Self, MirrorError> {
        // Whoever comes first wins, and everybody here chooses the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().connect_timeout(CONNECT_MAX).timeout(REQUEST_MAX).build();
        Ok(Self { client: client.map_err(|error| down(&error))?, address, token })
    }

    fn url(&self, ask: &Ask) -> Result<Url, MirrorError> {
        let mut url = self.address.clone();
        let Ok(mut parts) = url.path_segments_mut() else {
            return Err(MirrorError::Down(format!("{} is no address of a server", self.address)));
        };
        parts.pop_if_empty().push("v1").extend(&ask.path);
        drop(parts);
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        Ok(url)
    }
}

#[async_trait]
impl Transport for Http {
    async fn ask(&self, ask: Ask) -> Result<(StatusCode, Value), MirrorError> {
        let mut request = self.client.request(ask.method.clone(), self.url(&ask)?);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &ask.body {
            request = request.header(hyper::header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let mut answer = request.send().await.map_err(|error| down(&error))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| down(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(MirrorError::Down(format!("an answer is longer than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        // A proxy may answer with a page. The status tells what to make of it.
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }
}

/// Says why there is no answer, with the cause, which the error itself leaves out.
fn down(error: &reqwest::Error) -> MirrorError {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let causes = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    MirrorError::Down(causes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_behind_the_address() {
        let check = |address: &str, expect: &str| {
            let http = Http::new(address.parse().expect("a URL"), None).expect("a client");
            let path = ["namespaces", "kafka", "tables", "a/b c"].map(str::to_owned).to_vec();
            let ask =
                Ask { method: Method::GET, path, query: vec![("warehouse", "w&x".to_owned())], body: None };
            assert_eq!(http.url(&ask).expect("an address").as_str(), expect, "{address}");
        };
        let rest = "v1/namespaces/kafka/tables/a%2Fb%20c?warehouse=w%26x";
        check("http://127.0.0.1:8181", &format!("http://127.0.0.1:8181/{rest}"));
        check("https://catalog.example/api/catalog/", &format!("https://catalog.example/api/catalog/{rest}"));
    }
}
