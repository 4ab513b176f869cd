//! Opens an object store by its URL. Knows the kinds of stores and their settings; nothing else does.
//!
//! Credentials and endpoints come from the environment, under the names that each store's own tools use:
//! `AWS_*`, `GOOGLE_*`, `AZURE_*`.

use std::{fmt, io, net::IpAddr, path::Path, str::FromStr, sync::Arc};

use object_store::{
    ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem,
    memory::InMemory,
    prefix::PrefixStore,
};
use url::{Host, Url};

/// Why a store could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenStoreError {
    /// The URL names no store.
    #[error(
        "object store URL {url:?} is invalid: {why}; use file:///DIR, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or memory:///"
    )]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The directory cannot be used.
    #[error("directory {directory} cannot be used: {why}; {remedy}")]
    Directory {
        /// The directory.
        directory: String,
        /// What the operating system says.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The settings in the environment do not fit the store.
    #[error("object store {url} cannot be opened: {why}; check the {variables} environment variables")]
    Settings {
        /// The URL as given.
        url: String,
        /// What is wrong.
        why: String,
        /// The variables that the store reads.
        variables: &'static str,
    },
}

/// Opens a store, with settings from the process's environment. A directory is created when it does not exist.
/// A bucket is not asked anything yet.
///
/// # Errors
/// See [`OpenStoreError`].
pub fn open(url: &str) -> Result<Arc<dyn ObjectStore>, OpenStoreError> {
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    open_with(url, &variables)
}

/// Opens a store, with settings from `variables` in place of the process's environment.
///
/// # Errors
/// See [`OpenStoreError`].
pub fn open_with(url: &str, variables: &[(String, String)]) -> Result<Arc<dyn ObjectStore>, OpenStoreError> {
    let invalid = |why: &dyn fmt::Display| OpenStoreError::Url { url: url.to_owned(), why: why.to_string() };
    let parsed = Url::parse(url).map_err(|error| invalid(&error))?;
    match parsed.scheme() {
        "file" => {
            let path = parsed.to_file_path().map_err(|()| invalid(&"it names no absolute local path"))?;
            open_directory(&path)
        }
        "memory" => Ok(Arc::new(InMemory::new())),
        "s3" | "gs" | "az" if parsed.host_str().is_none_or(str::is_empty) => {
            Err(invalid(&"the bucket is missing"))
        }
        "s3" => open_s3(url, &parsed, variables),
        "gs" => open_gcs(url, &parsed, variables),
        "az" => open_azure(url, &parsed, variables),
        scheme => Err(invalid(&format_args!("scheme {scheme:?} is unknown"))),
    }
}

/// Opens a local directory, and creates it when it does not exist. Everything written is synced to the disk before
/// it counts as written.
///
/// # Errors
/// [`OpenStoreError::Directory`].
pub fn open_directory(directory: &Path) -> Result<Arc<dyn ObjectStore>, OpenStoreError> {
    let failed = |error: &io::Error| OpenStoreError::Directory {
        directory: directory.display().to_string(),
        why: error.to_string(),
        remedy: match error.kind() {
            io::ErrorKind::PermissionDenied => "give this user write permission, or choose another directory",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on its disk",
            io::ErrorKind::ReadOnlyFilesystem => "choose a directory on a writable disk",
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "choose a directory, not a file",
            _ => "choose another directory",
        },
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(&error))?;
    // A directory that may be read but not written would only be noticed by the first produce.
    let probe = directory.join(format!(".ebb-probe-{}", std::process::id()));
    std::fs::File::create(&probe).map_err(|error| failed(&error))?;
    // A probe that stays behind is an empty file outside every prefix that we read.
    drop(std::fs::remove_file(&probe));
    let store = LocalFileSystem::new_with_prefix(directory)
        .map_err(|error| failed(&io::Error::other(error.to_string())))?;
    Ok(Arc::new(store.with_fsync(true)))
}

/// What readers of Iceberg need to know to open the same store, by the names of Iceberg's properties; never a secret. Of
/// S3 only: the other stores have no settings beside credentials.
#[must_use]
pub fn reader_settings(url: &str) -> Vec<(String, String)> {
    let variables =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    reader_settings_with(url, &variables.collect::<Vec<_>>())
}

fn reader_settings_with(url: &str, variables: &[(String, String)]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if !url.starts_with("s3:") {
        return found;
    }
    let mut has_endpoint = false;
    let mut path_style = true;
    for (key, value) in settings(variables, "AWS_") {
        let name = match key {
            AmazonS3ConfigKey::Endpoint => {
                has_endpoint = true;
                "s3.endpoint"
            }
            AmazonS3ConfigKey::Region | AmazonS3ConfigKey::DefaultRegion => "s3.region",
            AmazonS3ConfigKey::VirtualHostedStyleRequest => {
                path_style = !matches!(value, "true" | "1");
                continue;
            }
            _ => continue,
        };
        found.push((name.to_owned(), value.to_owned()));
    }
    if has_endpoint {
        found.push(("s3.path-style-access".to_owned(), path_style.to_string()));
    }
    found
}

fn open_s3(
    url: &str,
    parsed: &Url,
    variables: &[(String, String)],
) -> Result<Arc<dyn ObjectStore>, OpenStoreError> {
    install_crypto();
    let mut builder = AmazonS3Builder::new().with_url(url).with_retry(no_retries());
    for (key, value) in settings(variables, "AWS_") {
        builder = builder.with_config(key, value);
    }
    // Plain HTTP stays on this machine, unless AWS_ALLOW_HTTP says otherwise.
    if builder.get_config_value(&AmazonS3ConfigKey::Endpoint).is_some_and(|endpoint| is_loopback(&endpoint)) {
        builder = builder.with_allow_http(true);
    }
    let store = builder.build().map_err(|error| bad_settings(url, "AWS_*", &error))?;
    Ok(with_prefix(store, parsed))
}

fn open_gcs(
    url: &str,
    parsed: &Url,
    variables: &[(String, String)],
) -> Result<Arc<dyn ObjectStore>, OpenStoreError> {
    install_crypto();
    let mut builder = GoogleCloudStorageBuilder::new().with_url(url).with_retry(no_retries());
    for (key, value) in settings(variables, "GOOGLE_") {
        builder = builder.with_config(key, value);
    }
    let store = builder.build().map_err(|error| bad_settings(url, "GOOGLE_*", &error))?;
    Ok(with_prefix(store, parsed))
}

fn open_azure(
    url: &str,
    parsed: &Url,
    variables: &[(String, String)],
) -> Result<Arc<dyn ObjectStore>, OpenStoreError> {
    install_crypto();
    let mut builder = MicrosoftAzureBuilder::new().with_url(url).with_retry(no_retries());
    for (key, value) in settings(variables, "AZURE_") {
        builder = builder.with_config(key, value);
    }
    let store = builder.build().map_err(|error| bad_settings(url, "AZURE_*", &error))?;
    Ok(with_prefix(store, parsed))
}

/// The variables of one store that its client knows, as its settings.
fn settings<'a, K: FromStr + 'a>(
    variables: &'a [(String, String)],
    prefix: &'a str,
) -> impl Iterator<Item = (K, &'a str)> {
    variables
        .iter()
        .filter(move |(name, _)| name.starts_with(prefix))
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
}

/// The client's own retries are off: they would hide requests from our counters, deadlines and back-off, and repeat
/// a conditional put whose answer was lost.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

fn with_prefix(store: impl ObjectStore, url: &Url) -> Arc<dyn ObjectStore> {
    match url.path().trim_matches('/') {
        "" => Arc::new(store),
        prefix => Arc::new(PrefixStore::new(store, prefix)),
    }
}

fn bad_settings(url: &str, variables: &'static str, error: &object_store::Error) -> OpenStoreError {
    OpenStoreError::Settings { url: url.to_owned(), why: error.to_string(), variables }
}

fn is_loopback(endpoint: &str) -> bool {
    match Url::parse(endpoint).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// Chooses the process's cryptography for TLS. Whoever comes first wins, and everybody here chooses the same.
fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn wrong_urls_name_the_remedy() {
        let check = |url: &str, why: &str| {
            let error = open_with(url, &[]).expect_err(url).to_string();
            assert!(error.contains(why) && error.contains("use file:///DIR"), "{url}: {error}");
        };
        check("ebb-data", "relative URL");
        check("ftp://host/dir", "scheme \"ftp\" is unknown");
        check("file://host/dir", "no absolute local path");
        check("s3://", "the bucket is missing");
        check("gs:///prefix", "the bucket is missing");
    }

    #[test]
    fn stores_open_from_their_variables() {
        let aws = variables(&[
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT", "http://127.0.0.1:9000"),
            ("AWS_UNKNOWN", "ignored"),
        ]);
        let store = open_with("s3://bucket/some/prefix", &aws).expect("an S3 store");
        assert_eq!(store.to_string(), "PrefixObjectStore(some/prefix)");
        let store = open_with("s3://bucket", &aws).expect("an S3 store");
        assert_eq!(store.to_string(), "AmazonS3(bucket)");
        open_with("memory:///", &[]).expect("a memory store");
        open_with("az://container", &variables(&[("AZURE_STORAGE_ACCOUNT_NAME", "account")])).expect("Azure");
    }

    #[test]
    fn readers_are_told_no_secrets() {
        let aws = variables(&[
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT", "http://127.0.0.1:9000"),
            ("AWS_REGION", "eu-central-1"),
        ]);
        let expect = variables(&[
            ("s3.endpoint", "http://127.0.0.1:9000"),
            ("s3.region", "eu-central-1"),
            ("s3.path-style-access", "true"),
        ]);
        assert_eq!(reader_settings_with("s3://bucket", &aws), expect);
        assert_eq!(reader_settings_with("file:///data", &aws), []);
    }

    #[test]
    fn missing_settings_name_their_variables() {
        let error = open_with("az://container/prefix", &[]).expect_err("no account").to_string();
        assert!(error.contains("az://container/prefix") && error.contains("AZURE_*"), "{error}");
    }

    #[test]
    fn only_loopback_may_be_plain() {
        let check = |endpoint: &str, expect: bool| assert_eq!(is_loopback(endpoint), expect, "{endpoint}");
        check("http://127.0.0.1:9000", true);
        check("http://[::1]:9000", true);
        check("http://localhost:9000", true);
        check("http://10.0.0.1:9000", false);
        check("http://localhost.example.com", false);
        check("nonsense", false);
    }

    #[tokio::test]
    async fn a_directory_is_made_and_kept_clean() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let directory = parent.path().join("a/b");
        let store = open_with(&format!("file://{}", directory.display()), &[]).expect("a directory");
        assert_eq!(std::fs::read_dir(&directory).expect("the directory").count(), 0);
        store.put(&"x/y".into(), "hello".into()).await.expect("a put");
        assert_eq!(std::fs::read(directory.join("x/y")).expect("the object"), b"hello");
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let error = open_directory(file.path()).expect_err("a file").to_string();
        assert!(error.contains("choose a directory, not a file"), "{error}");
    }
}
