//! The binary `ebb`: its tools as programs, its roles as servers that can be killed and started again.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use ebbtide::{Client, ClientBuilder};
use tempfile::TempDir;

use super::{
    http,
    program::{Ran, program, run},
};
use crate::tools::Tool;

/// How long a start may take, on a machine that is busy with other tests.
const START_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks at a server that starts.
const POLL: Duration = Duration::from_millis(5);
/// How often other ports are tried when somebody took those that were free a moment ago.
const STARTS_MAX: usize = 5;
/// What a process of `ebb` gets of the environment.
const INHERITED: [&str; 2] = ["PATH", "TMPDIR"];

/// The binary with a folder of its own, which is its home and goes away with it.
#[derive(Debug)]
pub struct Ebb {
    program: PathBuf,
    home: TempDir,
    env: Vec<(String, String)>,
    /// A command that servers are started by, which becomes the server.
    inside: Vec<String>,
}

impl Ebb {
    /// The binary for `test`; `None` when it was not built.
    ///
    /// # Panics
    /// When no folder can be made.
    #[must_use]
    pub fn find(test: &str) -> Option<Self> {
        let program = Tool::Ebb.find(test)?;
        let home = TempDir::new().expect("a folder can be made");
        Some(Self { program, home, env: Vec::new(), inside: Vec::new() })
    }

    /// The same with more environment variables.
    #[must_use]
    pub fn env(mut self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(env);
        self
    }

    /// The same with servers started by a command, which has to end by executing its arguments.
    #[must_use]
    pub fn inside(mut self, command: &[&str]) -> Self {
        self.inside = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Whether this machine lets such a command run.
    #[must_use]
    pub fn can_run_inside(&self, command: &[&str]) -> bool {
        run(self.settle(program(command[0]).args(&command[1..]).arg("true")), b"").code == 0
    }

    /// Its folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The data directory of `ebb dev`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    /// The path of the binary.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.program
    }

    /// Gives a command the environment of this folder.
    pub fn settle<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env_clear().current_dir(self.home()).env("HOME", self.home()).env("RUST_BACKTRACE", "1");
        let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(inherited).envs(self.env.iter().map(|(name, value)| (name, value)))
    }

    /// Runs a tool to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Ran {
        run(self.settle(program(&self.program).args(arguments)), input)
    }

    /// Starts `ebb dev` with more arguments on free ports.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn dev(&self, arguments: &[&str]) -> Server<'_> {
        let data = self.data();
        let data = data.to_str().expect("a temporary folder has a plain name");
        self.start(&[&["dev", "--data-dir", data], arguments].concat()).await
    }

    /// Starts `ebb agent` on a store, with free ports.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn agent(&self, store: &str) -> Server<'_> {
        self.start(&["agent", "--store", store]).await
    }

    /// Starts a server with these arguments on free ports.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(&self, arguments: &[&str]) -> Server<'_> {
        for _ in 0..STARTS_MAX {
            let addresses = Addresses::free().expect("there are free ports");
            let mut server = Server::spawn(self, arguments, addresses);
            match server.ready().await {
                Ok(()) => return server,
                Err(said) if said.contains("in use") => {}
                Err(said) => panic!("ebb {arguments:?} does not start: {said}"),
            }
        }
        panic!("the free ports were taken {STARTS_MAX} times");
    }

    /// Compares bucket and metadata of the stopped `ebb dev`.
    ///
    /// # Panics
    /// When they do not agree.
    pub fn fsck(&self) {
        let data = self.data();
        let checked = self.run(&["fsck", "--data-dir", data.to_str().expect("a plain name")], b"");
        assert_eq!(checked.code, 0, "fsck: {}{}", String::from_utf8_lossy(&checked.stdout), checked.stderr);
    }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Kafka over TCP.
    pub kafka: SocketAddr,
    /// QUIC.
    pub quic: SocketAddr,
    /// Health and metrics.
    pub http: SocketAddr,
}

impl Addresses {
    /// Addresses of the loopback interface at which nothing listens now.
    ///
    /// # Errors
    /// When there are none.
    pub fn free() -> io::Result<Self> {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let (kafka, quic, http) = (TcpListener::bind(any)?, UdpSocket::bind(any)?, TcpListener::bind(any)?);
        Ok(Self { kafka: kafka.local_addr()?, quic: quic.local_addr()?, http: http.local_addr()? })
    }

    fn arguments(&self) -> [String; 6] {
        let text = |address: SocketAddr| address.to_string();
        [
            "--kafka".into(),
            text(self.kafka),
            "--quic".into(),
            text(self.quic),
            "--http".into(),
            text(self.http),
        ]
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server<'a> {
    ebb: &'a Ebb,
    arguments: Vec<String>,
    addresses: Addresses,
    log: PathBuf,
    process: Child,
}

impl<'a> Server<'a> {
    fn spawn(ebb: &'a Ebb, arguments: &[&str], addresses: Addresses) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let log = ebb.home().join(format!("server-{}.log", addresses.kafka.port()));
        let process = start(ebb, &arguments, addresses, &log);
        Self { ebb, arguments, addresses, log, process }
    }

    /// Waits until it serves; what it said when it ended instead.
    async fn ready(&mut self) -> Result<(), String> {
        let ready = async {
            loop {
                if self.process.try_wait().expect("the process is our child").is_some() {
                    return Err(self.said());
                }
                if let Some((200, _)) = http::get(self.addresses.http, "/readyz").await {
                    return Ok(());
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(START_MAX, ready).await.map_err(|_| "it is not ready in time".to_owned())?
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its address as the tools take it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("quic://{}", self.addresses.quic)
    }

    /// All that it has said since it was first started.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs a tool against it.
    #[must_use]
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = program(self.ebb.path());
        self.ebb
            .settle(command.args(arguments))
            .env("EBB_SERVER", self.url())
            .env("EBB_CA", self.certificate());
        run(&mut command, input)
    }

    /// Creates a topic.
    ///
    /// # Panics
    /// When that fails.
    pub fn create(&self, topic: &str, partitions: usize) {
        let _ = self.run(&["topic", "create", topic, "--partitions", &partitions.to_string()], b"").ok();
    }

    /// Settings of a client for it.
    pub fn client(&self) -> ClientBuilder {
        Client::builder().server(&self.url()).ca(self.certificate())
    }

    /// The certificate that clients must trust: of `ebb dev` in its data, of `ebb agent` in its folder.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        let home = self.ebb.home();
        let folder = if self.arguments.first().is_some_and(|role| role == "dev") {
            home.join("data")
        } else {
            home.into()
        };
        folder.join("tls/dev-certificate.pem")
    }

    /// A path as the server sees it, in whatever file systems it has mounted.
    #[must_use]
    pub fn path_inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.process.id()));
        path.strip_prefix("/").map_or(path.to_owned(), |path| root.join(path))
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        // Fails only when the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Asks it to stop, without waiting.
    ///
    /// # Panics
    /// When no signal can be sent.
    pub fn terminate(&mut self) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is installed");
        assert!(sent.success(), "the process takes a signal");
    }

    /// Waits for its end, at most `max`; `None` when it runs on.
    ///
    /// # Panics
    /// Never: the process is our child.
    pub async fn ended(&mut self, max: Duration) -> Option<ExitStatus> {
        let ended = async {
            loop {
                if let Some(status) = self.process.try_wait().expect("the process is our child") {
                    return status;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(max, ended).await.ok()
    }

    /// Starts it again after its end, with the same arguments and ports, without waiting until it serves.
    pub fn respawn(&mut self) {
        self.process = start(self.ebb, &self.arguments, self.addresses, &self.log);
    }

    /// Starts it again after its end, and waits until it serves.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.respawn();
        if let Err(said) = self.ready().await {
            panic!("ebb {:?} does not start again: {said}", self.arguments);
        }
    }
}

impl Drop for Server<'_> {
    #[expect(clippy::print_stderr, reason = "a failed test's server may say why")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("ebb {:?} said:\n{}", self.arguments, self.said());
        }
    }
}

fn start(ebb: &Ebb, arguments: &[String], addresses: Addresses, log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).expect("the log can be opened");
    let copy = log.try_clone().expect("a file can be opened twice");
    let path = ebb.path().to_str().expect("the build's folder has a plain name").to_owned();
    let words: Vec<String> = ebb.inside.iter().cloned().chain([path]).collect();
    let mut command = Command::new(&words[0]);
    ebb.settle(command.args(&words[1..]).args(arguments).args(addresses.arguments()))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(copy)
        .spawn()
        .expect("ebb can be started")
}
