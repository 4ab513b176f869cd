//! What an agent tells operators over HTTP: readiness and figures. A request at a time, as `curl` would make it.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// An answer must be there within this time.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Asks for a page; status and body, or `None` when nobody answers.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    timeout(ANSWER_MAX, ask(address, path)).await.ok()?
}

async fn ask(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut connection = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The figures of an agent, by their name and labels as they are printed.
///
/// # Panics
/// When the agent does not answer, or with something else.
pub async fn metrics(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, body) = get(address, "/metrics").await.expect("the agent answers");
    assert_eq!(status, 200, "the agent shows its figures");
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a sample is a name and a value");
        (name.to_owned(), value.parse().expect("a sample's value is a number"))
    };
    body.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(sample).collect()
}
