//! A read-only Iceberg REST catalog: every topic is a table, projected from the state when somebody asks for it. Knows
//! Iceberg's table format and REST protocol; knows no sockets and no Parquet.
//!
//! Readers take manifests from the object store, so loading a table puts what is missing there, under `iceberg/`. Names
//! are the day and hashes of contents: any agent may put them at any time, and a table that nobody asks for costs
//! nothing. What is handed out is of today, and the sweeper deletes what is of the day before yesterday.

mod avro;
mod manifest;
mod metadata;
pub mod mirror;
mod projection;
mod puts;
mod rest;
mod schema;
mod table;
#[cfg(test)]
mod tests;

use ebb_metastore::{Metastore, state::State};
use ebb_protocol::{clock::SharedClock, ids::TopicName};
use ebb_segment::{key::Day, store::SegmentStore};
use hyper::Method;
use serde_json::{Map, Value, json};
use tokio::{sync::Semaphore, task::spawn_blocking};

pub(crate) use self::rest::Answer;
use self::{
    projection::{Catalogued, Location, project},
    puts::Puts,
    rest::{NAMESPACE, Route},
    table::{Facts, SNAPSHOTS_SHOWN_MAX},
};

/// Tables that are loaded at once: each takes memory for its manifests. More wait.
const LOADS_AT_ONCE: usize = 4;

/// The catalog of one agent.
pub(crate) struct Catalog {
    metastore: Metastore,
    store: SegmentStore,
    location: Location,
    /// What readers need to know to open the store.
    store_settings: Value,
    loads: Semaphore,
    clock: SharedClock,
    puts: Puts,
}

impl Catalog {
    /// `url` is where readers find the store; `store_settings` are Iceberg's properties for opening it, without secrets.
    pub(crate) fn new(
        metastore: Metastore,
        store: SegmentStore,
        url: &str,
        store_settings: Vec<(String, String)>,
        clock: SharedClock,
    ) -> Self {
        let store_settings: Map<_, _> = store_settings.into_iter().map(|(k, v)| (k, v.into())).collect();
        Self {
            metastore,
            store,
            location: Location::new(url),
            store_settings: store_settings.into(),
            loads: Semaphore::new(LOADS_AT_ONCE),
            puts: Puts::default(),
            clock,
        }
    }

    /// Answers a request. `path` begins behind `/iceberg`.
    pub(crate) async fn answer(&self, method: &Method, path: &str, query: Option<&str>) -> Answer {
        let route = match rest::route(method, path, query) {
            Ok(route) => route,
            Err(answer) => return answer,
        };
        match route {
            Route::Config => rest::config(),
            Route::Namespaces(parent) => rest::namespaces(parent),
            Route::Report => Answer::empty(),
            Route::Namespace(namespace)
            | Route::Tables(namespace)
            | Route::Views(namespace)
            | Route::Table { namespace, .. }
                if namespace != NAMESPACE =>
            {
                Answer::no_namespace(namespace)
            }
            Route::Namespace(_) if *method == Method::HEAD => Answer::empty(),
            Route::Namespace(_) => rest::namespace(),
            Route::Tables(_) => rest::tables(self.tables().into_iter()),
            Route::Views(_) => rest::tables(std::iter::empty()),
            Route::Table { table, .. } if *method == Method::HEAD => self.check(table),
            Route::Table { table, refs_only, .. } => {
                self.load(table, if refs_only { 1 } else { SNAPSHOTS_SHOWN_MAX }).await
            }
        }
    }

    fn tables(&self) -> Vec<String> {
        self.metastore.read(|state| state.topics().map(|topic| topic.name.to_string()).collect())
    }

    fn check(&self, table: &str) -> Answer {
        let exists = |name: &TopicName| self.metastore.read(|state| state.topic_id(name).is_some());
        if TopicName::new(table).is_ok_and(|name| exists(&name)) {
            Answer::empty()
        } else {
            Answer::no_table(table)
        }
    }

    /// Shows a table as it is now: what was published before the request is in it, through any agent.
    async fn load(&self, table: &str, snapshots_max: usize) -> Answer {
        let Ok(name) = TopicName::new(table) else { return Answer::no_table(table) };
        let _permit = self.loads.acquire().await;
        if let Err(error) = self.metastore.tail_check().await {
            return Answer::unavailable(&format!("the metastore does not answer: {error}"));
        }
        let facts = self.metastore.read(|state: &State| Facts::copy(state, &name, snapshots_max));
        let Some(facts) = facts else { return Answer::no_table(table) };
        let (location, today) = (self.location.clone(), Day::of(self.clock.now()));
        let projected = spawn_blocking(move || project(&facts, &location, today, Catalogued::Here)).await;
        let Ok(projected) = projected else { return Answer::unavailable("the agent goes down") };
        if let Err(error) = self.puts.put(&self.store, today, projected.objects).await {
            tracing::warn!(%error, table, "the metadata of a table cannot be put");
            return Answer::unavailable(&format!("the metadata cannot be put: {error}"));
        }
        Answer::ok(json!({
            "metadata-location": projected.metadata_url,
            "metadata": projected.metadata,
            "config": self.store_settings,
        }))
    }
}
