//! A real S3 server for tests: MinIO on a free loopback port, over a directory that goes away with it. Knows
//! nothing of what is stored in it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use ebb_segment::open::open_with;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;

use crate::tools::Tool;

/// The name of the bucket that stands when the server has started.
pub const BUCKET: &str = "ebb";
/// The server's access key.
pub const ACCESS_KEY: &str = "ebbtest";
/// The server's secret key.
pub const SECRET_KEY: &str = "ebbtestsecret";
/// The server's region.
pub const REGION: &str = "us-east-1";

/// How often another port is tried when somebody took the one that was free a moment ago.
const STARTS_MAX: usize = 5;
/// How long a start may take, on a machine that is busy with other tests.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at a server that starts.
const POLL: Duration = Duration::from_millis(50);

/// A running S3 server with one bucket. Dropping it kills the server and removes its data.
#[derive(Debug)]
pub struct S3Server {
    process: Child,
    address: SocketAddr,
    _data: TempDir,
}

impl S3Server {
    /// Starts a server for `test` and waits until it answers; `None` when MinIO was not installed.
    ///
    /// # Panics
    /// When the server does not start: a test cannot go on without it.
    pub async fn start(test: &str) -> Option<Self> {
        let program = Tool::Minio.find(test)?;
        for _ in 0..STARTS_MAX {
            let mut server = Self::spawn(&program).expect("MinIO can be started");
            if tokio::time::timeout(START_DEADLINE, server.answers()).await.expect("MinIO answers in time") {
                return Some(server);
            }
        }
        panic!("MinIO ended {STARTS_MAX} times while it started");
    }

    /// The place of objects below `prefix`, as `ebb agent --store` takes it.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// The environment in which a process finds this server and may use it.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT", format!("http://{}", self.address).as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The objects below `prefix`, opened as an agent opens them.
    ///
    /// # Panics
    /// Never: the settings are complete.
    #[must_use]
    pub fn store(&self, prefix: &str) -> Arc<dyn ObjectStore> {
        open_with(&self.url(prefix), &self.env()).expect("the settings are complete")
    }

    fn spawn(program: &Path) -> io::Result<Self> {
        let data = TempDir::new()?;
        let drive = data.path().join("drive");
        // A directory of the drive is a bucket.
        std::fs::create_dir_all(drive.join(BUCKET))?;
        let address = free_address()?;
        let process = Command::new(program)
            .args(["server", "--quiet", "--anonymous", "--address", &address.to_string(), "--certs-dir"])
            .arg(data.path().join("certs"))
            .arg(&drive)
            .env("MINIO_ROOT_USER", ACCESS_KEY)
            .env("MINIO_ROOT_PASSWORD", SECRET_KEY)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            // Lets the drive lie on the root file system, as a test's does.
            .env("MINIO_CI_CD", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { process, address, _data: data })
    }

    /// Waits until the bucket can be read; false when the process ended instead.
    async fn answers(&mut self) -> bool {
        let store = self.store("");
        loop {
            if self.process.try_wait().expect("the process is our child").is_some() {
                return false;
            }
            if tokio::net::TcpStream::connect(self.address).await.is_ok()
                && matches!(store.head(&"none".into()).await, Err(object_store::Error::NotFound { .. }))
            {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address of the loopback interface at which nothing listens now.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
