//! An S3 server that ignores conditions, as some do: of several clients that create one object, all are told that
//! they did. It takes any credentials and knows just enough to be opened.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The running server. Dropping it stops it.
#[derive(Debug)]
pub struct CarelessStore {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

impl CarelessStore {
    /// Starts the server on a free port.
    ///
    /// # Errors
    /// When none can be bound.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let objects = Objects::default();
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let objects = objects.clone();
                // A client that goes away is no matter of ours.
                connections.spawn(async move { drop(serve(connection, objects).await) });
            }
        });
        Ok(Self { address, _tasks: tasks })
    }

    /// The environment in which a process finds this server.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://{}", self.address);
        [
            ("AWS_ENDPOINT", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// Answers one request after another.
async fn serve(connection: TcpStream, objects: Objects) -> io::Result<()> {
    let mut connection = BufReader::new(connection);
    loop {
        let mut head = Vec::new();
        let mut line = String::new();
        while connection.read_line(&mut line).await? > 2 {
            head.push(std::mem::take(&mut line));
        }
        let Some(request) = head.first() else { return Ok(()) };
        let mut words = request.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let length = head
            .iter()
            .filter_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .next();
        let mut body = vec![0; length.unwrap_or(0)];
        connection.read_exact(&mut body).await?;
        let found = match method.as_str() {
            "PUT" => {
                objects.lock().insert(path, body);
                Some(Vec::new())
            }
            _ => objects.lock().get(&path).cloned(),
        };
        let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
        let found = found.unwrap_or_default();
        let fixed = "ETag: \"1\"\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT";
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fixed}\r\n\r\n", found.len());
        connection.write_all(head.as_bytes()).await?;
        if method != "HEAD" {
            connection.write_all(&found).await?;
        }
        connection.flush().await?;
    }
}
