//! Drives the Kafka clients of `tests/clients`: one program each, all with the same arguments and the same output, as
//! `tests/clients/README.md` states. Knows what each client can, and nothing of what the tests expect of the product.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use serde::Deserialize;
use tempfile::NamedTempFile;

use super::program::{program, repository, run};
use crate::tools::Tool;

/// A client that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Kafka's own.
    Jvm,
    /// franz-go.
    FranzGo,
    /// sarama.
    Sarama,
    /// kafkajs.
    Kafkajs,
    /// kafka-python.
    KafkaPython,
    /// aiokafka.
    Aiokafka,
    /// librdkafka by confluent-kafka for Python.
    Confluent,
    /// librdkafka by rust-rdkafka.
    Rdkafka,
    /// rskafka.
    Rskafka,
}

impl Foreign {
    /// The codecs that it writes and reads.
    #[must_use]
    pub fn codecs(self) -> &'static [&'static str] {
        match self {
            Self::Kafkajs => &["none", "gzip", "snappy"],
            _ => &["none", "gzip", "snappy", "lz4", "zstd"],
        }
    }

    /// Whether it reads without a group.
    #[must_use]
    pub fn reads_alone(self) -> bool {
        self != Self::Kafkajs
    }

    /// The steps of the scenario `topics`, in order; none where the client is checked elsewhere.
    #[must_use]
    pub fn topics(self) -> Vec<&'static str> {
        let steps = match self {
            Self::Jvm => {
                "created listed described topic-id settings changed default grown offsets records-deleted cluster \
                 deleted"
            }
            Self::FranzGo => {
                "created listed described settings changed default grown offsets cluster deleted"
            }
            Self::Sarama => {
                "created listed described settings changed default grown records-deleted cluster deleted"
            }
            Self::Kafkajs => {
                "created listed described settings changed grown offsets records-deleted cluster deleted"
            }
            Self::KafkaPython => {
                "created listed described settings changed default grown offsets records-deleted cluster deleted"
            }
            Self::Aiokafka => {
                "created listed described settings changed grown records-deleted cluster deleted"
            }
            Self::Confluent => "",
            Self::Rdkafka => "created described settings changed grown deleted",
            Self::Rskafka => "created listed described offsets records-deleted deleted",
        };
        steps.split_whitespace().collect()
    }

    /// The steps of the scenario `groups`, in order.
    #[must_use]
    pub fn groups(self) -> Vec<&'static str> {
        let steps = match self {
            Self::Jvm | Self::FranzGo | Self::Sarama | Self::KafkaPython => {
                "group-listed group-described group-offsets group-offset-deleted group-deleted"
            }
            Self::Kafkajs | Self::Confluent => "group-listed group-described group-offsets group-deleted",
            Self::Aiokafka => "group-listed group-described group-offsets",
            Self::Rdkafka => "group-described group-deleted",
            Self::Rskafka => "",
        };
        steps.split_whitespace().collect()
    }

    /// Whether its program plays `times`, `beyond` and `absent`; rust-rdkafka would be librdkafka a second time.
    #[must_use]
    pub fn finds_positions(self) -> bool {
        self != Self::Rdkafka
    }

    /// Where it tells of the time at which a record was appended: in the answer to its producer, and to its reader.
    #[must_use]
    pub fn tells_append_time(self) -> &'static [&'static str] {
        match self {
            Self::Rskafka => &[],
            Self::FranzGo => &["read"],
            _ => &["answered", "read"],
        }
    }

    /// What `beyond` tries, in order.
    #[must_use]
    pub fn policies(self) -> &'static [Policy] {
        match self {
            Self::Jvm => &[Policy::Earliest, Policy::Latest, Policy::Refuse, Policy::ByTime],
            Self::Kafkajs => &[Policy::Earliest, Policy::Latest],
            Self::Sarama | Self::Rskafka => &[Policy::Refuse],
            _ => &[Policy::Earliest, Policy::Latest, Policy::Refuse],
        }
    }

    /// Whether it can ask for a topic so that none is created.
    #[must_use]
    pub fn asks_without_creating(self) -> bool {
        !matches!(self, Self::KafkaPython | Self::Aiokafka | Self::Rskafka)
    }

    fn tool(self) -> Tool {
        match self {
            Self::Jvm => Tool::JvmClients,
            Self::FranzGo | Self::Sarama => Tool::GoClients,
            Self::Kafkajs => Tool::NodeClients,
            Self::KafkaPython | Self::Aiokafka | Self::Confluent => Tool::Python,
            Self::Rdkafka | Self::Rskafka => Tool::RustClients,
        }
    }

    /// Its program for `test` against one broker; `None` when it is not installed.
    #[must_use]
    pub fn find(self, test: &str, broker: SocketAddr) -> Option<Program> {
        let tool = self.tool().find(test)?;
        let script = |name: &str| repository("tests/clients").join(name);
        let brokers = broker.to_string();
        let words = match self {
            Self::Jvm => return Some(Program { words: jvm(tool, "Contract"), modules: None, brokers }),
            Self::FranzGo => vec![tool.join("franz")],
            Self::Sarama => vec![tool.join("sarama")],
            Self::Kafkajs => {
                let words = vec!["node".into(), script("node/kafkajs.js")];
                return Some(Program { words, modules: Some(tool.join("node_modules")), brokers });
            }
            Self::KafkaPython => vec![tool, script("python/with_kafka_python.py")],
            Self::Aiokafka => vec![tool, script("python/with_aiokafka.py")],
            Self::Confluent => vec![tool, script("python/with_confluent.py")],
            Self::Rdkafka => vec![tool.join("rdkafka")],
            Self::Rskafka => vec![tool.join("rskafka")],
        };
        Some(Program { words, modules: None, brokers })
    }
}

/// Where a consumer goes on when its offset is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// At the first record.
    Earliest,
    /// Behind the last record.
    Latest,
    /// Nowhere: its user is told.
    Refuse,
    /// At the first record since a time (KIP-1106).
    ByTime,
}

/// The command that runs a class with Kafka's own jar files, of the folder that `Tool::JvmClients` names.
#[must_use]
pub fn jvm(tool: PathBuf, class: &str) -> Vec<PathBuf> {
    let path = format!("{0}/lib/*:{0}/classes", tool.display());
    // It compiles little and says little: most runs take a second.
    let fixed = ["java", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"];
    fixed.into_iter().map(PathBuf::from).chain([path.into(), class.into()]).collect()
}

/// A client's program against one broker.
#[derive(Clone, Debug)]
pub struct Program {
    words: Vec<PathBuf>,
    /// Where Node.js finds its modules.
    modules: Option<PathBuf>,
    /// The brokers that it is told of.
    brokers: String,
}

impl Program {
    /// The same, told of one more broker.
    #[must_use]
    pub fn also(mut self, broker: SocketAddr) -> Self {
        self.brokers = format!("{},{broker}", self.brokers);
        self
    }

    /// Plays a scenario to its end, which has to be a good one.
    ///
    /// # Panics
    /// When it fails, or says what the contract does not know.
    #[must_use]
    pub fn play(&self, scenario: &str, options: &[(&str, &str)], input: &[u8]) -> Vec<Step> {
        let mut command = program(&self.words[0]);
        let ran = run(self.complete(&mut command, scenario, options), input).ok();
        ran.text().lines().map(Step::parse).collect()
    }

    /// Starts a member of a group, which reads until it is told to leave.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn follow(&self, options: &[(&str, &str)]) -> Member {
        let errors = NamedTempFile::new().expect("a temporary file can be made");
        let mut command = Command::new(&self.words[0]);
        let log = File::options().append(true).open(errors.path()).expect("the file was just made");
        self.complete(&mut command, "follow", options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the program can be started");
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        let (sender, steps) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(Step::parse(&line)).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Member { child, stdin, steps, errors, assigned: Vec::new(), revoked: Vec::new(), read: Vec::new() }
    }

    fn complete<'a>(
        &self,
        command: &'a mut Command,
        scenario: &str,
        options: &[(&str, &str)],
    ) -> &'a mut Command {
        if let Some(modules) = &self.modules {
            command.env("NODE_PATH", modules);
        }
        command.args(&self.words[1..]).args([scenario, "--bootstrap", &self.brokers]);
        for (name, value) in options {
            command.args([&format!("--{name}"), *value]);
        }
        command
    }
}

/// A record that a client has read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Read {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A line of a program's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many records are acknowledged.
    Produced(usize),
    /// A record was read.
    Record(Read),
    /// The partitions that the member has now.
    Assigned(Vec<i32>),
    /// The partitions that are taken away from the member.
    Revoked(Vec<i32>),
    /// The time that a record has, as the broker answered it or as it was read; in milliseconds since 1970.
    Stamped(String, i64),
    /// An answer was right.
    Right(String),
}

impl Step {
    /// # Panics
    /// When the line is not in the contract.
    fn parse(line: &str) -> Self {
        #[derive(Deserialize)]
        struct Line {
            step: String,
            count: Option<usize>,
            partitions: Option<Vec<i32>>,
            timestamp: Option<i64>,
        }
        let whole: Line =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("not in the contract: {line}"));
        if let Some(time) = whole.timestamp {
            return Self::Stamped(whole.step, time);
        }
        match (whole.step.as_str(), whole.count, whole.partitions) {
            ("produced", Some(count), _) => Self::Produced(count),
            ("assigned", _, Some(partitions)) => Self::Assigned(partitions),
            ("revoked", _, Some(partitions)) => Self::Revoked(partitions),
            ("record", ..) => Self::Record(serde_json::from_str(line).expect("a record has all its fields")),
            _ => Self::Right(whole.step),
        }
    }
}

/// The records among steps.
#[must_use]
pub fn records(steps: Vec<Step>) -> Vec<Read> {
    let record = |step| if let Step::Record(read) = step { Some(read) } else { None };
    steps.into_iter().filter_map(record).collect()
}

/// The names of the administrative answers among steps.
#[must_use]
pub fn answers(steps: &[Step]) -> Vec<&str> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Right(name) => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

/// A running member of a group. Dropping it kills it.
#[derive(Debug)]
pub struct Member {
    child: Child,
    stdin: Option<ChildStdin>,
    steps: Receiver<Step>,
    errors: NamedTempFile,
    assigned: Vec<i32>,
    revoked: Vec<i32>,
    read: Vec<Read>,
}

impl Member {
    /// The partitions that it has, as far as it has said.
    pub fn assigned(&mut self) -> &[i32] {
        self.update();
        &self.assigned
    }

    /// All partitions that were ever taken away from it, as far as it tells of that.
    pub fn revoked(&mut self) -> &[i32] {
        self.update();
        &self.revoked
    }

    /// What it has read so far.
    pub fn read(&mut self) -> &[Read] {
        self.update();
        &self.read
    }

    fn update(&mut self) {
        for step in self.steps.try_iter() {
            match step {
                Step::Assigned(partitions) => self.assigned = partitions,
                Step::Revoked(mut partitions) => self.revoked.append(&mut partitions),
                Step::Record(read) => self.read.push(read),
                Step::Produced(_) | Step::Stamped(..) | Step::Right(_) => {}
            }
        }
    }

    /// Asks it to commit and to leave, without waiting.
    pub fn leave(&mut self) {
        self.stdin = None;
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it has ended, and well.
    ///
    /// # Panics
    /// When it failed.
    pub fn has_left(&mut self) -> bool {
        let Some(status) = self.child.try_wait().expect("the process is our child") else { return false };
        assert!(status.success(), "the member failed: {}", self.said());
        self.update();
        true
    }

    /// What it said on standard error.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.errors.path()).unwrap_or_default()
    }
}

impl Drop for Member {
    #[expect(clippy::print_stderr, reason = "a failed test's member may say why")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            self.update();
            eprintln!(
                "a member with {:?} read {} and said:\n{}",
                self.assigned,
                self.read.len(),
                self.said()
            );
        }
    }
}
