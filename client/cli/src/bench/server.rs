//! An agent that a benchmark starts for itself in a process of its own, and what that process costs. Knows nothing of
//! what is measured.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::output::Failure;

/// Linux counts the time of processes in hundredths of a second (`USER_HZ`).
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// A server that is killed when it is no longer needed.
pub(super) struct Server {
    process: Child,
    /// Where it listens: `quic://HOST:PORT`.
    pub(super) quic: String,
    /// The same over TCP: `kafka://HOST:PORT`.
    pub(super) kafka: String,
}

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
        let program = std::env::current_exe().map_err(Failure::with("own path"))?;
        let mut command = Command::new(program);
        command
            .args(["dev", "--kafka", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(directory)
            .stdout(Stdio::piped());
        if let Some(store) = store {
            command.arg("--store").arg(format!("file://{}", store.display()));
        }
        let mut process = command.spawn().map_err(Failure::with("ebb dev"))?;
        let out = process.stdout.take().ok_or_else(|| Failure::new("ebb dev has no output"))?;
        // From here on the process is killed whatever happens.
        let mut server = Self { process, quic: String::new(), kafka: String::new() };
        let found = tokio::task::spawn_blocking(move || addresses(BufReader::new(out)));
        let found = found.await.map_err(Failure::new)?;
        (server.kafka, server.quic) =
            found.ok_or_else(|| Failure::new("ebb dev ended before it was ready"))?;
        Ok(server)
    }

    /// What the process has used until now.
    pub(super) fn usage(&self) -> Result<Usage, Failure> {
        let process = Path::new("/proc").join(self.process.id().to_string());
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
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where an agent listens over TCP and over QUIC, from what it says when it is ready.
fn addresses(out: impl BufRead) -> Option<(String, String)> {
    let mut lines = out.lines().map_while(Result::ok);
    let kafka = lines.find_map(|line| Some(line.trim().strip_prefix("Kafka (TCP)")?.trim().to_owned()))?;
    let quic = lines.find_map(|line| Some(line.trim().strip_prefix("QUIC")?.trim().to_owned()))?;
    Some((format!("kafka://{kafka}"), quic))
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
        let said = "Ready.\n\n  Kafka (TCP)  127.0.0.1:7\n  QUIC         quic://127.0.0.1:8\n";
        let expect = ("kafka://127.0.0.1:7".to_owned(), "quic://127.0.0.1:8".to_owned());
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
