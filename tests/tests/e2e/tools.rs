//! Kafka's own console tools, as people run them by hand.

use std::path::PathBuf;

use ebb_tests::{
    e2e::{
        contract::jvm,
        ebb::Ebb,
        program::{Ran, program, run},
    },
    tools::Tool,
};

const CONFIGS: &str = "ConfigCommand";
const GROUPS: &str = "consumer.group.ConsumerGroupCommand";

/// Kafka's tools against one broker.
struct Tools {
    folder: PathBuf,
    broker: String,
}

impl Tools {
    /// Runs one, which has to succeed.
    fn run(&self, class: &str, arguments: &[&str], input: &str) -> Ran {
        self.start(class, &[&["--bootstrap-server", &self.broker], arguments].concat(), input)
    }

    /// Runs one that is told of the broker in its own way.
    fn start(&self, class: &str, arguments: &[&str], input: &str) -> Ran {
        self.attempt(class, arguments, input).ok()
    }

    /// Runs one, which may fail.
    fn attempt(&self, class: &str, arguments: &[&str], input: &str) -> Ran {
        // One of them is still where all of them have been.
        let package = if class == CONFIGS { "kafka.admin" } else { "org.apache.kafka.tools" };
        let words = jvm(self.folder.clone(), &format!("{package}.{class}"));
        let mut command = program(&words[0]);
        command.args(&words[1..]).args(arguments);
        run(&mut command, input.as_bytes())
    }

    /// Runs one, which has to succeed, and say all of this.
    fn says(&self, class: &str, arguments: &[&str], expected: &[&str]) {
        let ran = self.run(class, arguments, "");
        for words in expected {
            assert!(ran.text().contains(words), "{words:?} is missing in {}", ran.text());
        }
    }

    /// Runs one that is to be refused, and to say why.
    fn refused(&self, class: &str, arguments: &[&str], reason: &str) {
        let ran = self.attempt(class, &[&["--bootstrap-server", &self.broker], arguments].concat(), "");
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), ran.stderr);
        assert!(ran.code != 0 && said.contains(reason), "exit code {}, {said}", ran.code);
    }

    /// The sum of the offsets at which a topic's partitions end.
    fn end(&self, topic: &str) -> u64 {
        let told = self.run("GetOffsetShell", &["--topic", topic], "");
        let ends = told.text().lines().map(|line| line.rsplit(':').next().expect("a line has a last part"));
        ends.map(|end| end.parse::<u64>().expect("the last part is an offset")).sum()
    }
}

#[tokio::test]
async fn console_tools() {
    let test = "Kafka's console tools";
    let (Some(ebb), Some(folder)) = (Ebb::find(test), Tool::JvmClients.find(test)) else { return };
    let server = ebb.dev(&[]).await;
    let tools = Tools { folder, broker: server.addresses().kafka.to_string() };

    let _ = tools.run("TopicCommand", &["--create", "--topic", "tools", "--partitions", "2"], "");
    assert!(tools.run("TopicCommand", &["--list"], "").text().lines().any(|line| line == "tools"));
    let _ = tools.run("TopicCommand", &["--alter", "--topic", "tools", "--partitions", "3"], "");
    let described = tools.run("TopicCommand", &["--describe", "--topic", "tools"], "");
    assert!(described.text().contains("PartitionCount: 3"), "{}", described.text());

    let lines: String = (0..100).map(|i| format!("key {i}:value {i}\n")).collect();
    let keys = ["--property", "parse.key=true", "--property", "key.separator=:"];
    let _ = tools.run("ConsoleProducer", &[&["--topic", "tools"], &keys[..]].concat(), &lines);
    assert_eq!(tools.end("tools"), 100);
    let broker = format!("bootstrap.servers={}", tools.broker);
    let performance =
        ["--num-records", "5000", "--record-size", "100", "--throughput", "-1", "--topic", "tools"];
    let arguments = [&performance[..], &["--producer-props", &broker]].concat();
    let told = tools.start("ProducerPerformance", &arguments, "");
    assert!(told.text().contains("5000 records sent"), "{}", told.text());
    assert_eq!(tools.end("tools"), 5100);

    let read = |partition: &str, count: &str| {
        let which =
            ["--topic", "tools", "--partition", partition, "--offset", "earliest", "--max-messages", count];
        let keys = ["--property", "print.key=true", "--property", "key.separator=:"];
        tools.run("consumer.ConsoleConsumer", &[&which[..], &keys[..]].concat(), "")
    };
    let first = read("0", "10");
    assert!(
        first.text().lines().all(|line| lines.lines().any(|written| written == line)),
        "{}",
        first.text()
    );
    assert_eq!(first.text().lines().count(), 10);
    groups(&tools);
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

/// The tools' consumers share `tools` in groups, and the tool for groups tells of them.
fn groups(tools: &Tools) {
    let options = ["--topic", "tools", "--group", "console", "--from-beginning", "--max-messages", "5100"];
    let protocol = ["--consumer-property", "group.protocol=consumer"];
    let read = tools.run("consumer.ConsoleConsumer", &[&options[..], &protocol[..]].concat(), "");
    assert_eq!(read.text().lines().count(), 5100);

    let command = GROUPS;
    assert!(tools.run(command, &["--list"], "").text().lines().any(|line| line == "console"));
    let described = tools.run(command, &["--describe", "--group", "console"], "");
    let lag = |line: &str| line.split_whitespace().nth(5).map(str::to_owned);
    let lags: Vec<_> = described.text().lines().filter(|line| line.starts_with("console")).map(lag).collect();
    assert_eq!(lags, vec![Some("0".to_owned()); 3], "{}", described.text());
    let reset = ["--reset-offsets", "--to-earliest", "--execute", "--group", "console", "--topic", "tools"];
    let _ = tools.run(command, &reset, "");
    let described = tools.run(command, &["--describe", "--group", "console", "--offsets"], "");
    let lags = described.text().lines().filter(|line| line.starts_with("console")).filter_map(lag);
    assert_eq!(lags.map(|lag| lag.parse::<u64>().expect("a lag")).sum::<u64>(), 5100);
    let _ = tools.run(command, &["--delete", "--group", "console"], "");
    assert!(tools.run(command, &["--list"], "").text().lines().all(|line| line != "console"));
}

#[tokio::test]
async fn configurations_by_tool() {
    let test = "kafka-configs";
    let (Some(ebb), Some(folder)) = (Ebb::find(test), Tool::JvmClients.find(test)) else { return };
    let server = ebb.dev(&[]).await;
    let tools = Tools { folder, broker: server.addresses().kafka.to_string() };
    let topic = ["--entity-type", "topics", "--entity-name", "t"];
    let broker = ["--entity-type", "brokers", "--entity-name", "0"];
    let group = ["--entity-type", "groups", "--entity-name", "g"];
    let _ = tools.run("TopicCommand", &["--create", "--topic", "t"], "");
    let alter = |entity: &[&str], change: &[&str]| {
        tools.says(CONFIGS, &[entity, &["--alter"], change].concat(), &["Completed updating config"]);
    };
    let describe = |entity: &[&str], expected: &[&str]| {
        tools.says(CONFIGS, &[entity, &["--describe"]].concat(), expected);
    };
    alter(&topic, &["--add-config", "retention.ms=1000,cleanup.policy=[compact,delete]"]);
    describe(&topic, &["retention.ms=1000 ", "cleanup.policy=compact,delete "]);
    alter(&topic, &["--delete-config", "cleanup.policy"]);
    describe(&topic, &["retention.ms=1000 "]);

    alter(&group, &["--add-config", "consumer.session.timeout.ms=50000,consumer.heartbeat.interval.ms=2000"]);
    describe(&group, &["consumer.session.timeout.ms=50000 ", "consumer.heartbeat.interval.ms=2000 "]);
    alter(&group, &["--delete-config", "consumer.session.timeout.ms"]);
    describe(&["--entity-type", "groups"], &["group g ", "consumer.heartbeat.interval.ms=2000 "]);
    let wrong = ["--alter", "--add-config", "consumer.session.timeout.ms=1"];
    tools.refused(CONFIGS, &[&group[..], &wrong].concat(), "InvalidConfigurationException");

    let settings = ["group.max.size=1000 ", "group.initial.rebalance.delay.ms=500 ", "num.partitions="];
    describe(&[&broker[..], &["--all"]].concat(), &settings);
    describe(&["--entity-type", "brokers", "--entity-default"], &["Default configs for brokers"]);
    let setting = ["--alter", "--add-config", "log.retention.ms=5"];
    tools.refused(CONFIGS, &[&broker[..], &setting].concat(), "command line");
    for nothing in ["users", "clients", "ips", "client-metrics"] {
        describe(&["--entity-type", nothing], &[]);
    }
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

#[tokio::test]
async fn offsets_of_groups_by_tool() {
    let test = "kafka-consumer-groups";
    let (Some(ebb), Some(folder)) = (Ebb::find(test), Tool::JvmClients.find(test)) else { return };
    let server = ebb.dev(&[]).await;
    let tools = Tools { folder, broker: server.addresses().kafka.to_string() };
    let _ = tools.run("TopicCommand", &["--create", "--topic", "t", "--partitions", "1"], "");
    let lines: String = (0..50).map(|i| format!("{i}\n")).collect();
    let _ = tools.run("ConsoleProducer", &["--topic", "t"], &lines);
    let reset = |option: &[&str], expected: u64| {
        let which = ["--reset-offsets", "--group", "g", "--topic", "t", "--execute"];
        let told = tools.run(GROUPS, &[&which[..], option].concat(), "");
        let line = told.text().lines().find(|line| line.starts_with("g ")).expect("the group is told of");
        let offset = line.split_whitespace().last().map(str::parse);
        assert_eq!(offset, Some(Ok(expected)), "{option:?}: {}", told.text());
    };
    for (option, expected) in [
        (&["--to-latest"][..], 50),
        (&["--to-earliest"], 0),
        (&["--to-offset", "7"], 7),
        (&["--shift-by", "3"], 10),
        (&["--shift-by", "-2"], 8),
        (&["--to-current"], 8),
        (&["--by-duration", "PT1H"], 0),
        (&["--to-datetime", "2100-01-01T00:00:00.000"], 50),
        (&["--to-datetime", "2020-01-01T00:00:00.000"], 0),
    ] {
        reset(option, expected);
    }
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let file = folder.path().join("offsets.csv");
    std::fs::write(&file, "t,0,9\n").expect("a temporary file can be written");
    let file = file.to_str().expect("temporary paths are UTF-8");
    tools.says(GROUPS, &["--reset-offsets", "--group", "g", "--from-file", file, "--execute"], &[" 9 "]);
    for (how, expected) in [
        (&["--offsets", "--verbose"][..], &[" 9 ", " 41 "][..]),
        (&["--members", "--verbose"], &[]),
        (&["--state"], &["Empty"]),
    ] {
        tools.says(GROUPS, &[&["--describe", "--group", "g"], how].concat(), expected);
    }
    tools.says(GROUPS, &["--delete-offsets", "--group", "g", "--topic", "t"], &["Successful"]);
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

#[tokio::test]
async fn a_cluster_by_its_tools() {
    let test = "Kafka's tools for clusters";
    let (Some(ebb), Some(folder)) = (Ebb::find(test), Tool::JvmClients.find(test)) else { return };
    let server = ebb.dev(&[]).await;
    let tools = Tools { folder, broker: server.addresses().kafka.to_string() };
    let _ = tools.run("TopicCommand", &["--create", "--topic", "t", "--partitions", "2"], "");
    let lines: String = (0..50).map(|i| format!("{i}\n")).collect();
    let _ = tools.run("ConsoleProducer", &["--topic", "t"], &lines);
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a temporary file can be written");
        path.to_str().expect("temporary paths are UTF-8").to_owned()
    };
    let records =
        file("records.json", r#"{"version":1,"partitions":[{"topic":"t","partition":0,"offset":0}]}"#);
    let plan =
        file("plan.json", r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[0]}]}"#);
    for (class, arguments, expected) in [
        ("BrokerApiVersionsCommand", &[][..], &["ConsumerGroupHeartbeat(68): 0 to 1"][..]),
        ("ClusterTool", &["list-endpoints"], &["unfenced"]),
        ("DeleteRecordsCommand", &["--offset-json-file", &records], &["low_watermark: 0"]),
        ("LogDirsCommand", &["--describe"], &["\"logDir\":\"bucket\"", "t-1"]),
        ("FeatureCommand", &["describe"], &["group.version", "FinalizedVersionLevel: 1"]),
        ("MetadataQuorumCommand", &["describe", "--status"], &["LeaderId:", "CurrentVoters:"]),
        ("MetadataQuorumCommand", &["describe", "--replication"], &["Leader"]),
        ("ClientMetricsCommand", &["--list"], &[]),
        ("ClientMetricsCommand", &["--describe"], &[]),
        ("GroupsCommand", &["--list"], &["GROUP"]),
        ("LeaderElectionCommand", &["--election-type", "PREFERRED", "--all-topic-partitions"], &[]),
        ("reassign.ReassignPartitionsCommand", &["--list"], &["No partition reassignments found"]),
        (
            "reassign.ReassignPartitionsCommand",
            &["--reassignment-json-file", &plan, "--execute"],
            &["Successfully"],
        ),
        (
            "reassign.ReassignPartitionsCommand",
            &["--reassignment-json-file", &plan, "--verify"],
            &["is completed"],
        ),
        ("ConsumerPerformance", &["--topic", "t", "--messages", "50"], &[", 50, "]),
        ("TransactionsCommand", &["find-hanging", "--broker", "0"], &["ProducerId"]),
    ] {
        // Some take the broker before their command, some behind it.
        let broker = ["--bootstrap-server", &*tools.broker];
        let all = if class == "ClusterTool" {
            [arguments, &broker].concat()
        } else {
            [&broker[..], arguments].concat()
        };
        let ran = tools.start(class, &all, "");
        for words in expected {
            assert!(ran.text().contains(words), "{class}: {words:?} is missing in {}", ran.text());
        }
    }
    assert!(!server.said().contains("panicked"), "{}", server.said());
}
