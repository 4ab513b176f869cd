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
        let words = jvm(self.folder.clone(), &format!("org.apache.kafka.tools.{class}"));
        let mut command = program(&words[0]);
        command.args(&words[1..]).args(arguments);
        run(&mut command, input.as_bytes()).ok()
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

    let command = "consumer.group.ConsumerGroupCommand";
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
