//! The routes of Iceberg's REST catalog that are served, and answers in its form. Does no I/O.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

/// The one namespace: every topic is a table in it.
pub(super) const NAMESPACE: &str = "kafka";

/// What is served, as clients are told it. They ask for nothing else.
const ENDPOINTS: [&str; 8] = [
    "GET /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "GET /v1/{prefix}/namespaces/{namespace}/views",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics",
];

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Config,
    /// All namespaces below one; without one, all.
    Namespaces(Option<&'a str>),
    Namespace(&'a str),
    Tables(&'a str),
    Table {
        namespace: &'a str,
        table: &'a str,
        /// Whether the snapshots that a branch names suffice: here, the present one.
        refs_only: bool,
    },
    Views(&'a str),
    /// A reader's report of a scan, which nobody needs.
    Report,
}

/// An answer, with or without a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body) }
    }

    pub(super) fn empty() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None }
    }

    /// An error in Iceberg's form.
    pub(super) fn error(status: StatusCode, kind: &str, message: &str) -> Self {
        let error = json!({"message": message, "type": kind, "code": status.as_u16()});
        Self { status, body: Some(json!({"error": error})) }
    }

    pub(super) fn no_namespace(name: &str) -> Self {
        let message = format!("namespace {name:?} does not exist: all tables are in {NAMESPACE:?}");
        Self::error(StatusCode::NOT_FOUND, "NoSuchNamespaceException", &message)
    }

    pub(super) fn no_table(name: &str) -> Self {
        let message = format!("table {name:?} does not exist: there is no such topic");
        Self::error(StatusCode::NOT_FOUND, "NoSuchTableException", &message)
    }

    pub(super) fn unavailable(why: &str) -> Self {
        Self::error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", why)
    }
}

/// What a request is for. `path` begins behind `/iceberg`.
///
/// # Errors
/// The answer to a request that nobody serves: whatever would write is refused, the rest is unknown.
pub(super) fn route<'a>(method: &Method, path: &'a str, query: Option<&'a str>) -> Result<Route<'a>, Answer> {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let parameter = |name: &str| {
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
    };
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match parts[..] {
        ["v1", "namespaces", _, "tables", _, "metrics"] if *method == Method::POST => Ok(Route::Report),
        ["v1", ..] if !is_read => Err(read_only()),
        ["v1", "config"] => Ok(Route::Config),
        ["v1", "namespaces"] => Ok(Route::Namespaces(parameter("parent"))),
        ["v1", "namespaces", namespace] => Ok(Route::Namespace(namespace)),
        ["v1", "namespaces", namespace, "tables"] => Ok(Route::Tables(namespace)),
        ["v1", "namespaces", namespace, "tables", table] => {
            Ok(Route::Table { namespace, table, refs_only: parameter("snapshots") == Some("refs") })
        }
        ["v1", "namespaces", namespace, "views"] => Ok(Route::Views(namespace)),
        _ => Err(Answer::error(
            StatusCode::NOT_FOUND,
            "NotFoundException",
            "this is an Iceberg REST catalog: try /iceberg/v1/config",
        )),
    }
}

fn read_only() -> Answer {
    let message = "this catalog is read-only: its tables follow from topics; produce records to add rows, and use \
                   `ebb topic` to create, configure or delete what is behind a table";
    Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedOperationException", message)
}

/// The catalog's settings for clients.
pub(super) fn config() -> Answer {
    Answer::ok(json!({"defaults": {}, "overrides": {}, "endpoints": ENDPOINTS}))
}

/// The namespaces; there are none below another.
pub(super) fn namespaces(parent: Option<&str>) -> Answer {
    match parent {
        None => Answer::ok(json!({"namespaces": [[NAMESPACE]]})),
        Some(NAMESPACE) => Answer::ok(json!({"namespaces": []})),
        Some(other) => Answer::no_namespace(other),
    }
}

/// A namespace's properties.
pub(super) fn namespace() -> Answer {
    Answer::ok(json!({"namespace": [NAMESPACE], "properties": {}}))
}

/// A list of tables by their names.
pub(super) fn tables(names: impl Iterator<Item = String>) -> Answer {
    let names: Vec<_> = names.map(|name| json!({"namespace": [NAMESPACE], "name": name})).collect();
    Answer::ok(json!({"identifiers": names}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_of_the_specification() {
        let check = |path: &str, query: Option<&str>, expect: Route<'_>| {
            assert_eq!(route(&Method::GET, path, query), Ok(expect), "{path}");
        };
        check("/v1/config", Some("warehouse=w"), Route::Config);
        check("/v1/namespaces", None, Route::Namespaces(None));
        check("/v1/namespaces", Some("pageSize=5&parent=kafka"), Route::Namespaces(Some("kafka")));
        check("/v1/namespaces/kafka", None, Route::Namespace("kafka"));
        check("/v1/namespaces/kafka/tables", None, Route::Tables("kafka"));
        let table = |refs_only| Route::Table { namespace: "kafka", table: "a.b-c_d", refs_only };
        check("/v1/namespaces/kafka/tables/a.b-c_d", None, table(false));
        check("/v1/namespaces/kafka/tables/a.b-c_d", Some("snapshots=refs"), table(true));
        check("/v1/namespaces/kafka/views", None, Route::Views("kafka"));
    }

    #[test]
    fn writes_are_refused_and_the_rest_is_unknown() {
        let check = |method: Method, path: &str, status: u16| {
            let answer = route(&method, path, None).expect_err("not served");
            let body = answer.body.expect("an error has a body");
            assert_eq!((answer.status.as_u16(), &body["error"]["code"]), (status, &status.into()), "{path}");
        };
        check(Method::POST, "/v1/namespaces", 405);
        check(Method::POST, "/v1/namespaces/kafka/tables", 405);
        check(Method::POST, "/v1/namespaces/kafka/tables/events", 405);
        check(Method::DELETE, "/v1/namespaces/kafka/tables/events", 405);
        check(Method::POST, "/v1/tables/rename", 405);
        check(Method::GET, "/v1/tables", 404);
        check(Method::GET, "/v2/config", 404);
        check(Method::GET, "", 404);
        let report = route(&Method::POST, "/v1/namespaces/kafka/tables/events/metrics", None);
        assert_eq!(report, Ok(Route::Report));
    }
}
