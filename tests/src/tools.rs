//! The programs that end to end tests drive and that `tests/run` builds or installs. Knows nothing of what the tests do
//! with them.

use std::{env, fs::OpenOptions, io::Write, path::PathBuf};

/// A program that a test starts as a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The product's own binary, built as users build it.
    Ebb,
    /// The S3 server.
    Minio,
    /// The Python interpreter whose environment holds `tests/python/requirements.txt`.
    Python,
    /// The command line client over librdkafka.
    Kcat,
    /// The benchmark client of librdkafka.
    RdkafkaPerformance,
    /// The reference reader of Compose files.
    Compose,
    /// The checker of systemd units.
    SystemdAnalyze,
    /// The folder with Kafka's own clients and tools: `lib` with jar files, `classes` with our programs.
    JvmClients,
    /// The folder with Apache Iceberg's reference REST catalog: `lib` with jar files.
    IcebergCatalog,
    /// The folder with the programs of `tests/clients/go`.
    GoClients,
    /// The folder whose `node_modules` the programs of `tests/clients/node` need.
    NodeClients,
    /// The folder with the programs of `tests/clients/rust`.
    RustClients,
}

impl Tool {
    /// The environment variable by which `tests/run` names the program's path.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::Ebb => "EBB_TEST_EBB",
            Self::Minio => "EBB_TEST_MINIO",
            Self::Python => "EBB_TEST_PYTHON",
            Self::Kcat => "EBB_TEST_KCAT",
            Self::RdkafkaPerformance => "EBB_TEST_RDKAFKA_PERFORMANCE",
            Self::Compose => "EBB_TEST_COMPOSE",
            Self::SystemdAnalyze => "EBB_TEST_SYSTEMD_ANALYZE",
            Self::JvmClients => "EBB_TEST_JVM_CLIENTS",
            Self::IcebergCatalog => "EBB_TEST_ICEBERG_CATALOG",
            Self::GoClients => "EBB_TEST_GO_CLIENTS",
            Self::NodeClients => "EBB_TEST_NODE_CLIENTS",
            Self::RustClients => "EBB_TEST_RUST_CLIENTS",
        }
    }

    /// The program's path, or `None` when it is not there. The caller then returns from its test, named by
    /// `test`; what it did not check is told by [`not_run`].
    #[must_use]
    pub fn find(self, test: &str) -> Option<PathBuf> {
        let path = env::var_os(self.variable()).map(PathBuf::from);
        if path.is_none() {
            not_run(&format!("{test}: {} is not set; start it with tests/run", self.variable()));
        }
        path
    }
}

/// Says that something could not be checked: `tests/run` names it at its end, and fails when `CI=true`.
///
/// # Panics
/// With `CI=true` outside `tests/run`, where nobody would read the note.
#[expect(clippy::print_stderr, reason = "somebody who runs cargo test by hand reads it there")]
pub fn not_run(what: &str) {
    let Some(notes) = env::var_os("EBB_TEST_SKIPPED") else {
        assert!(env::var("CI").as_deref() != Ok("true"), "not run under CI=true: {what}");
        eprintln!("not run: {what}");
        return;
    };
    let mut file = OpenOptions::new().append(true).create(true).open(notes).expect("tests/run made the file");
    writeln!(file, "{what}").expect("tests/run made the file writable");
}
