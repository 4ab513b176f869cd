//! Values in Avro and Protobuf, as the serializers of a schema registry write them: analysts get columns, and a schema
//! that cannot be used is refused.

use ebb_tests::e2e::{ebb::Ebb, foreign::Python};
use serde_json::Value;

/// The orders that the program produces to each topic.
const ORDERS: i64 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_a_schema_registrys_serializers_become_columns() {
    let test = "typed columns of Avro and Protobuf";
    let (Some(ebb), Some(python)) = (Ebb::find(test), Python::find(test)) else { return };
    let mut server = ebb.dev(&[]).await;
    for format in ["avro", "protobuf"] {
        let schema = python.run("serializers.py", &["schema", format], b"").ok();
        let topic = format!("orders-{format}");
        let settings = [
            format!("archive.value.format={format}"),
            "archive.value.framing=confluent".to_owned(),
            format!("archive.value.schema={}", schema.text()),
            format!("archive.value.message={}", if format == "protobuf" { "Order" } else { "" }),
        ];
        let settings = settings.iter().flat_map(|setting| ["--config", setting]);
        let create: Vec<_> = ["topic", "create", &topic].into_iter().chain(settings).collect();
        let _ = server.run(&create, b"").ok();
    }
    let _ = python.run("serializers.py", &["produce", &server.addresses().kafka.to_string()], b"").ok();
    let _ = server.run(&["produce", "orders-avro"], b"not Avro\n").ok();
    let data = ebb.data();
    let _ = ebb.run(&["archive", "run", "--data-dir", data.to_str().expect("a plain name")], b"").ok();

    let catalog = format!("http://{}/iceberg", server.addresses().http);
    let asked = python.run("serializers.py", &["ask", &catalog], b"").ok();
    let answers: Vec<Value> =
        asked.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let sum: i64 = (0..ORDERS).sum();
    for (answer, (topic, unfit)) in answers.iter().zip([("orders-avro", 1), ("orders-protobuf", 0)]) {
        let lines: i64 = (0..ORDERS).map(|number| number % 4).sum();
        let counts: i64 = (0..ORDERS).flat_map(|number| 0..number % 4).sum();
        let last = 1_760_000_000_000 + ORDERS - 1;
        let expect = [ORDERS, unfit, sum, ORDERS / 2, last, lines, counts];
        assert_eq!((&answer["topic"], &answer["found"]), (&topic.into(), &expect.as_slice().into()));
    }
    assert_eq!(answers.len(), 2);
    server.kill();
    ebb.fsck();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_cannot_be_used_is_refused() {
    let Some(ebb) = Ebb::find("schemas that cannot be used") else { return };
    let server = ebb.dev(&[]).await;
    let refused = |arguments: &[&str], expect: &str| {
        let ran = server.run(arguments, b"");
        assert_ne!(ran.code, 0, "{arguments:?}");
        assert!(ran.stderr.contains(expect), "{}", ran.stderr);
    };
    let avro = "archive.value.format=avro";
    refused(&["topic", "create", "t", "--config", avro], "values in Avro need a schema");
    server.create("t", 1);
    let alter = ["topic", "alter", "t", "--config"];
    refused(&[&alter[..], &[avro]].concat(), "values in Avro need a schema");
    let _ = server.run(&[&alter[..], &["archive.value.schema={\"type\": \"object\"}"]].concat(), b"").ok();
    refused(
        &[&alter[..], &["archive.value.format=json"]].concat(),
        "the schema of an object with properties",
    );
    let schema =
        r#"archive.value.schema={"type": "record", "name": "a", "fields": [{"name": "b", "type": "int"}]}"#;
    let _ = server.run(&[&alter[..], &[avro, "--config", schema]].concat(), b"").ok();
    refused(&[&alter[..], &["archive.value.schema="]].concat(), "values in Avro need a schema");
    refused(&[&alter[..], &["archive.value.format=protobuf"]].concat(), "it is not a .proto file");
    refused(&[&alter[..], &["archive.value.format=xml"]].concat(), "xml");
}
