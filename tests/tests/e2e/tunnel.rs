//! Kafka clients that know nothing of QUIC, behind a tunnel to agents that serve nothing else to them.

use std::collections::BTreeSet;

use ebb_tests::e2e::{
    ebb::Ebb,
    foreign::{Kcat, Python},
    tunnel::Tunnel,
};

/// Records in each run of a client.
const RECORDS: usize = 20_000;

/// Lines with a key in front, of many sizes, that no two runs share.
fn lines(run: usize) -> String {
    (0..RECORDS).map(|i| format!("key {run} {i}\t{run} {}\n", "ebb and flow ".repeat(i % 40))).collect()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The addresses that kcat prints of the agents.
fn brokers(kcat: &Kcat) -> BTreeSet<String> {
    let listed = kcat.run(&["-L"], b"").ok();
    let lines = listed.text().lines().filter(|line| line.trim_start().starts_with("broker "));
    let address = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
    lines.filter_map(address).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kcat_and_python_work_through_a_tunnel_and_come_back_after_a_crash() {
    let test = "kcat and Python through a tunnel";
    let (Some(ebb), Some(python)) = (Ebb::find(test), Python::find(test)) else { return };
    let mut server = ebb.dev(&[]).await;
    server.create("tunnelled", 4);
    let tunnel = Tunnel::start(&ebb, &server).await;
    let Some(kcat) = Kcat::find(test, tunnel.address()) else { return };
    assert_eq!(brokers(&kcat), BTreeSet::from([tunnel.address().to_string()]));
    let mut written = String::new();
    for run in 0..3 {
        if run > 0 {
            server.kill();
            server.restart().await;
        }
        let input = lines(run);
        let _ = kcat.run(&["-P", "-t", "tunnelled", "-K", "\t", "-z", "zstd"], input.as_bytes()).ok();
        written.push_str(&input);
        let arguments = ["-C", "-t", "tunnelled", "-o", "beginning", "-e", "-q", "-f", "%k\t%s\n"];
        let read = kcat.run(&arguments, b"").ok();
        assert!(sorted(read.text()) == sorted(&written), "run {run}: kcat reads what was written");
    }
    // Python keeps its connections while the agent is killed under it.
    let broker = tunnel.address().to_string();
    let python_reads =
        tokio::task::spawn_blocking(move || python.run("records.py", &[&broker, "tunnelled", "read"], b""));
    server.kill();
    server.restart().await;
    let read = python_reads.await.expect("it does not panic").ok();
    assert_eq!(read.text().lines().count(), 3 * RECORDS);
    assert!(!tunnel.said().contains("panicked"), "{}", tunnel.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_has_a_listener_for_every_agent() {
    let test = "a tunnel to two agents";
    let Some(ebb) = Ebb::find(test) else { return };
    let store = format!("file://{}", ebb.home().join("store").display());
    let agents = [ebb.agent(&store).await, ebb.agent(&store).await];
    agents[0].create("spread", 8);
    let tunnel = Tunnel::start(&ebb, &agents[0]).await;
    let Some(kcat) = Kcat::find(test, tunnel.address()) else { return };
    let named = brokers(&kcat);
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named.contains(&tunnel.address().to_string()), "{named:?}");
    let quic = agents.each_ref().map(|agent| agent.addresses().quic.to_string());
    assert!(quic.iter().all(|address| !named.contains(address)), "{named:?}");
    let input = lines(0);
    let _ = kcat.run(&["-P", "-t", "spread", "-K", "\t"], input.as_bytes()).ok();
    let read = kcat.run(&["-C", "-t", "spread", "-o", "beginning", "-e", "-q", "-f", "%k\t%s\n"], b"").ok();
    assert!(sorted(read.text()) == sorted(&input), "kcat reads what was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_that_cannot_start_says_why_in_one_line() {
    let test = "tunnels that cannot start";
    let Some(ebb) = Ebb::find(test) else { return };
    let server = ebb.dev(&[]).await;
    let taken = server.addresses().kafka.to_string();
    let ca = server.certificate();
    let ca = ca.to_str().expect("a temporary folder has a plain name");
    let check = |to: &str, listen: &str, code: i32, why: &str| {
        let ran = ebb.run(&["tunnel", "--to", to, "--listen", listen, "--ca", ca], b"");
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains(why), "{why}: {}", ran.stderr);
        assert!(code != 1 || ran.stderr.lines().count() == 1, "{}", ran.stderr);
    };
    check(&server.url(), &taken, 1, "in use");
    check("quic://nobody.invalid:9093", "127.0.0.1:0", 1, "cannot resolve");
    check("kafka://127.0.0.1:9092", "127.0.0.1:0", 1, "quic://HOST:PORT");
    check("nonsense", "127.0.0.1:0", 2, "is no address");
    // Another agent's certificate.
    let other = Ebb::find(test).expect("it was there a moment ago");
    let stranger = other.dev(&[]).await;
    check(&stranger.url(), "127.0.0.1:0", 1, "cannot trust");
}
