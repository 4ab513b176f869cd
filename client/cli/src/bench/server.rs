//! An agent that a benchmark starts for itself in a process of its own, and what that process costs. Knows nothing of
//! what is measured.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::output::Failure;

/// Linux counts the time of processes in hundredths of a second (`USER_HZ`).
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// A server that is killed when it is no longer needed.
pub(super) struct Server {
    process: Process,
    /// Where it listens: `quic://HOST:PORT`.
    pub(super) quic: String,
    /// The same over TCP: `kafka://HOST:PORT`.
    pub(super) kafka: String,
    /// Where its figures are: `HOST:PORT`.
    http: String,
}

/// A process that is killed when it is dropped.
pub(super) struct Process(Child);

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// The memory that it holds, in bytes.
    pub(super) resident_bytes: u64,
    /// The most that it has held, in bytes.
    pub(super) peak_bytes: u64,
    /// The time that it has computed on all cores.
    pub(super) cpu: Duration,
}

impl Server {
    /// Starts `ebb dev` on free ports and waits until it is ready. Its objects are kept in `store`, or in its own
    /// directory.
    pub(super) async fn start(directory: &Path, store: Option<&Path>) -> Result<Self, Failure> {
        let mut flags = vec!["--data-dir".to_owned(), directory.display().to_string()];
        if let Some(store) = store {
            flags.extend(["--store".to_owned(), format!("file://{}", store.display())]);
        }
        Self::start_with(&flags).await
    }

    /// The same with these flags for `ebb dev`.
    pub(super) async fn start_with(flags: &[String]) -> Result<Self, Failure> {
        let mut command = command()?;
        command
            .args(["dev", "--kafka", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped());
        let mut process = Process::spawn(command)?;
        let out = process.0.stdout.take().ok_or_else(|| Failure::new("ebb dev has no output"))?;
        let found = tokio::task::spawn_blocking(move || addresses(BufReader::new(out)));
        let found = found.await.map_err(Failure::new)?;
        let [kafka, quic, http] = found.ok_or_else(|| Failure::new("ebb dev ended before it was ready"))?;
        Ok(Self { process, quic, kafka, http })
    }

    /// What the process has used until now.
    pub(super) fn usage(&self) -> Result<Usage, Failure> {
        self.process.usage()
    }

    /// The value of one of its figures without labels.
    pub(super) async fn figure(&self, name: &str) -> Result<u64, Failure> {
        let page = self.page("/metrics").await?;
        let mut values = page.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        values.next().ok_or_else(|| Failure::new(format!("the agent has no figure {name}")))
    }

    /// What the agent answers on its HTTP port, with the head.
    pub(super) async fn page(&self, path: &str) -> Result<String, Failure> {
        let mut page = String::new();
        let exchange = async {
            let mut stream = TcpStream::connect(&self.http).await?;
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
            stream.read_to_string(&mut page).await
        };
        exchange.await.map_err(Failure::with("the agent's HTTP port"))?;
        Ok(page)
    }

    /// Asks the agent to leave its cluster, and waits until it has.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        self.process.stop().await
    }
}

impl Process {
    fn spawn(mut command: Command) -> Result<Self, Failure> {
        command.spawn().map(Self).map_err(Failure::with("starting ebb"))
    }

    /// Starts `ebb` with these words.
    pub(super) fn start(words: &[String]) -> Result<Self, Failure> {
        let mut command = command()?;
        command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
        Self::spawn(command)
    }

    /// Whether the process has ended by itself.
    pub(super) fn has_ended(&mut self) -> Result<bool, Failure> {
        Ok(self.0.try_wait().map_err(Failure::with("waiting for ebb"))?.is_some())
    }

    /// What the process has used until now.
    pub(super) fn usage(&self) -> Result<Usage, Failure> {
        let process = Path::new("/proc").join(self.0.id().to_string());
        let read = |name: &str| {
            let path = process.join(name);
            fs::read_to_string(&path).map_err(Failure::with(format!(
                "{}: what a process uses can be measured on Linux only",
                path.display()
            )))
        };
        let usage = parse(&read("status")?, &read("stat")?);
        usage.ok_or_else(|| Failure::new(format!("{} has an unknown form", process.display())))
    }

    /// Asks the process to end in order, and waits until it has.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        asked.map_err(Failure::with("kill"))?;
        self.end().await.map(|_| ())
    }

    /// Waits until the process has ended by itself. True when it did what it was asked to.
    pub(super) async fn end(mut self) -> Result<bool, Failure> {
        let ended = tokio::task::spawn_blocking(move || self.0.wait());
        let ended = ended.await.map_err(Failure::new)?.map_err(Failure::with("waiting for ebb"))?;
        Ok(ended.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This program, once more.
fn command() -> Result<Command, Failure> {
    Ok(Command::new(std::env::current_exe().map_err(Failure::with("own path"))?))
}

/// Where an agent listens over TCP, over QUIC and for HTTP, from what it says when it is ready.
fn addresses(out: impl BufRead) -> Option<[String; 3]> {
    let mut lines = out.lines().map_while(Result::ok);
    let mut after =
        |name: &str| lines.find_map(|line| Some(line.trim().strip_prefix(name)?.trim().to_owned()));
    let (kafka, quic, http) = (after("Kafka (TCP)")?, after("QUIC")?, after("metrics")?);
    let http = http.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    Some([format!("kafka://{kafka}"), quic, http])
}

/// Reads proc_pid_status(5) and proc_pid_stat(5).
fn parse(status: &str, stat: &str) -> Option<Usage> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes << 10)
    };
    // The program's name, in parentheses, may have anything in it; user and system time are the 12th and 13th
    // fields after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map_while(|field| field.parse::<u32>().ok());
    let ticks = ticks.next()?.saturating_add(ticks.next()?);
    Some(Usage { resident_bytes: bytes("VmRSS:")?, peak_bytes: bytes("VmHWM:")?, cpu: CLOCK_TICK * ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_what_an_agent_says() {
        let said = "Ready.\n\n  Kafka (TCP)  127.0.0.1:7\n  QUIC         quic://127.0.0.1:8\n  metrics      \
                    http://127.0.0.1:9/metrics\n";
        let expect = ["kafka://127.0.0.1:7", "quic://127.0.0.1:8", "127.0.0.1:9"].map(str::to_owned);
        assert_eq!(addresses(said.as_bytes()), Some(expect));
        assert_eq!(addresses(&b"ebb: port is taken\n"[..]), None);
    }

    #[test]
    fn usage_is_read_whatever_the_program_is_called() {
        let status = "Name:\tebb\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\nThreads:\t4\n";
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 11 0 0 0 150 50 0 0 20 0 4 0 100 0";
        let usage = parse(status, stat).expect("both files are whole");
        assert_eq!((usage.resident_bytes, usage.peak_bytes), (200 << 10, 300 << 10));
        assert_eq!(usage.cpu, Duration::from_secs(2));
        assert!(parse("", stat).is_none() && parse(status, "7 (a) S 1").is_none());
    }
}
