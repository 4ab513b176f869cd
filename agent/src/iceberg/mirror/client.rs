//! Iceberg's REST protocol, as far as a catalog needs it that gets tables from here: loading one, registering one, and
//! committing to one. Knows nothing of what a table holds.

use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    error::MirrorError,
    transport::{Ask, Transport},
};

/// What a message of the catalog is cut to, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// A foreign catalog, of which one namespace is used.
pub(super) struct Client {
    transport: Box<dyn Transport>,
    warehouse: Option<String>,
    namespace: String,
    /// What the catalog wants in front of each path, once it was asked.
    prefix: Mutex<Option<Vec<String>>>,
}

impl Client {
    pub(super) fn new(transport: Box<dyn Transport>, warehouse: Option<String>, namespace: String) -> Self {
        Self { transport, warehouse, namespace, prefix: Mutex::new(None) }
    }

    /// The metadata of a table, and their address; `None` where there is no such table.
    ///
    /// # Errors
    /// [`MirrorError::Down`] and [`MirrorError::Refused`].
    pub(super) async fn load(&self, table: &str) -> Result<Option<Value>, MirrorError> {
        let (status, answer) = self.ask(Method::GET, &["tables", table], None).await?;
        match status {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal(status, &answer)),
        }
    }

    /// Makes a table of metadata that lie at an address: with the ids of its columns, which a created table would not
    /// keep.
    ///
    /// # Errors
    /// [`MirrorError::Conflict`] where the table exists, [`MirrorError::Down`] and [`MirrorError::Refused`].
    pub(super) async fn register(&self, table: &str, metadata: &str) -> Result<(), MirrorError> {
        let body = json!({"name": table, "metadata-location": metadata});
        let (status, answer) = self.ask(Method::POST, &["register"], Some(body.clone())).await?;
        if status != StatusCode::NOT_FOUND {
            return done(status, &answer);
        }
        self.make_namespace().await?;
        let (status, answer) = self.ask(Method::POST, &["register"], Some(body)).await?;
        done(status, &answer)
    }

    /// Changes a table, if it is as required.
    ///
    /// # Errors
    /// [`MirrorError::Conflict`] where it is not, [`MirrorError::Down`] and [`MirrorError::Refused`].
    pub(super) async fn commit(
        &self,
        table: &str,
        requirements: &[Value],
        updates: &[Value],
    ) -> Result<(), MirrorError> {
        let identifier = json!({"namespace": [self.namespace], "name": table});
        let body = json!({"identifier": identifier, "requirements": requirements, "updates": updates});
        let (status, answer) = self.ask(Method::POST, &["tables", table], Some(body)).await?;
        done(status, &answer)
    }

    async fn make_namespace(&self) -> Result<(), MirrorError> {
        let mut path = self.prefix().await?;
        path.push("namespaces".to_owned());
        let body = Some(json!({"namespace": [self.namespace], "properties": {}}));
        let (status, answer) =
            self.answer(Ask { method: Method::POST, path, query: Vec::new(), body }).await?;
        match done(status, &answer) {
            // Another process was quicker.
            Err(MirrorError::Conflict) => Ok(()),
            made => made,
        }
    }

    /// Asks for something in the namespace.
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), MirrorError> {
        let mut full = self.prefix().await?;
        full.extend(["namespaces", &self.namespace].map(str::to_owned));
        full.extend(path.iter().map(|part| (*part).to_owned()));
        self.answer(Ask { method, path: full, query: Vec::new(), body }).await
    }

    /// What the catalog wants in front of each path.
    async fn prefix(&self) -> Result<Vec<String>, MirrorError> {
        if let Some(prefix) = self.prefix.lock().clone() {
            return Ok(prefix);
        }
        let query = self.warehouse.iter().map(|warehouse| ("warehouse", warehouse.clone())).collect();
        let path = vec!["config".to_owned()];
        let (status, config) = self.answer(Ask { method: Method::GET, path, query, body: None }).await?;
        if status != StatusCode::OK {
            return Err(MirrorError::Down(format!("it has no configuration: {}", refusal(status, &config))));
        }
        let given = ["overrides", "defaults"].map(|kind| config[kind]["prefix"].as_str());
        let given = given.into_iter().flatten().next().unwrap_or_default();
        let prefix: Vec<_> = given.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        *self.prefix.lock() = Some(prefix.clone());
        Ok(prefix)
    }

    /// What the catalog answers, unless it says that it does not work now, or not for us.
    async fn answer(&self, ask: Ask) -> Result<(StatusCode, Value), MirrorError> {
        let (status, answer) = self.transport.ask(ask).await?;
        let is_general = matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
        );
        if status.is_server_error() || is_general {
            return Err(MirrorError::Down(refusal(status, &answer).to_string()));
        }
        Ok((status, answer))
    }
}

fn done(status: StatusCode, answer: &Value) -> Result<(), MirrorError> {
    match status {
        StatusCode::CONFLICT => Err(MirrorError::Conflict),
        _ if status.is_success() => Ok(()),
        _ => Err(refusal(status, answer)),
    }
}

fn refusal(status: StatusCode, answer: &Value) -> MirrorError {
    let message = answer["error"]["message"].as_str().unwrap_or("it does not say why");
    let message = message.chars().take(MESSAGE_CHARS_MAX).collect();
    MirrorError::Refused { status: status.as_u16(), message }
}
