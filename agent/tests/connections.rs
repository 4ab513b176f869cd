//! Connections over sockets: order, limits, bad frames, TLS, start and shutdown.

mod common;

use std::{collections::BTreeMap, net::TcpListener, time::Duration};

use bytes::Bytes;
use common::{Connection, Fixture, batch, config, environment, fetch, produce, records, topic_name};
use ebb_agent::{Agent, Environment, StartError, Storage, config::ListenerConfig, listen::ListenError};
use ebb_metastore::command::Endpoint;
use ebb_protocol::{
    api::{APIS, ApiKey},
    error::ResponseError,
    messages::{
        ApiVersionsRequest, FetchRequest, MetadataRequest, ProduceRequest, decode_response,
        metadata_request::MetadataRequestTopic,
    },
    random::Random,
};
use tokio::time::timeout;

#[tokio::test]
async fn a_waiting_fetch_does_not_stop_the_produce_behind_it_and_replies_keep_their_order() {
    let fixture = Fixture::start().await;
    for (topic, mut client) in ["tcp", "quic"].into_iter().zip(fixture.both().await) {
        client.create_topic(topic, 1, &[]).await;
        let waiting = client.send(&fetch(topic, 0, 15_000), 11).await;
        let behind = client.send(&produce(topic, &[(0, batch(&["x"]))], -1), 9).await;
        // The fetch is answered because the produce behind it was taken in.
        let (first, response) = client.receive::<FetchRequest>(11).await;
        let fetched = response.responses[0].partitions[0].records.clone().expect("there are records");
        assert_eq!((first, records(fetched)), (waiting, vec![(0, "x".to_owned())]));
        assert_eq!(client.receive::<ProduceRequest>(9).await.0, behind);
    }
}

#[tokio::test]
async fn a_connection_needs_no_socket() {
    let fixture = Fixture::start().await;
    let (mut client, stream) = Connection::pipe();
    let ask = async {
        client.create_topic("pipe", 1, &[]).await;
        drop(client);
    };
    let served = async { tokio::join!(ask, fixture.agent.serve_stream(stream)) };
    timeout(Duration::from_secs(20), served).await.expect("it ends when the peer has gone");
}

#[tokio::test]
async fn pipelined_produces_keep_their_order() {
    let fixture = Fixture::start().await;
    for (topic, mut client) in ["tcp", "quic"].into_iter().zip(fixture.both().await) {
        client.create_topic(topic, 1, &[]).await;
        let mut sent = Vec::new();
        for n in 0..40 {
            sent.push(client.send(&produce(topic, &[(0, batch(&[&n.to_string()]))], -1), 9).await);
        }
        for (offset, id) in sent.into_iter().enumerate() {
            let (answered, response) = client.receive::<ProduceRequest>(9).await;
            let partition = common::produced(response);
            assert_eq!((answered, partition.error_code), (id, 0));
            assert_eq!(partition.base_offset, i64::try_from(offset).expect("a small number"));
        }
    }
}

#[tokio::test]
async fn bad_frames_close_the_connection() {
    let fixture = Fixture::with(|config| config.limits.frame_bytes_max = 1_000).await;
    for frame in [
        &[0, 0, 3, 0xe9][..],                               // 1,001 bytes are announced
        &[0xff, 0xff, 0xff, 0xff],                          // a negative length
        &[0, 0, 0, 10, 0, 7, 0, 0, 0, 0, 0, 1, 0xff, 0xff], // an API that is not served
        &[0, 0, 0, 10, 0, 1, 0, 3, 0, 0, 0, 1, 0xff, 0xff], // Fetch version 3
        &[0, 0, 0, 10, 0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff], // Metadata version 9 without a body
        &[0, 0, 0, 4, 0, 18, 0, 0],                         // a header that is cut short
    ] {
        for mut client in fixture.both().await {
            client.send_bytes(frame).await;
            client.assert_closed().await;
        }
    }
    assert!(fixture.http("/healthz").await.0.contains("200"), "the agent lives on");
}

#[tokio::test]
async fn api_versions_in_an_unknown_version_is_answered_in_version_0() {
    let fixture = Fixture::start().await;
    for mut client in fixture.both().await {
        client.send_bytes(&[0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 42, 0xff, 0xff, 0]).await;
        let frame = client.receive_frame().await.expect("an answer");
        let response = decode_response::<ApiVersionsRequest>(&frame, 0).expect("version 0");
        assert_eq!(response.error_code, ResponseError::UnsupportedVersion.code());
        assert!(!response.api_keys.is_empty());
        client.call(&ApiVersionsRequest::default(), 0).await;
    }
}

#[tokio::test]
async fn versions_that_are_not_listed_close_the_connection() {
    let fixture = Fixture::start().await;
    for api in APIS.iter().filter(|api| api.key != ApiKey::ApiVersions) {
        for version in [api.min - 1, api.max + 1] {
            let header = [api.key.code().to_be_bytes(), version.to_be_bytes()].concat();
            let frame = [&[0, 0, 0, 11][..], &header, &[0, 0, 0, 1, 0xff, 0xff, 0]].concat();
            let mut client = fixture.tcp().await;
            client.send_bytes(&frame).await;
            client.assert_closed().await;
        }
    }
}

#[tokio::test]
async fn unknown_tagged_fields_are_passed_over() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let tags: BTreeMap<_, _> = [(77, Bytes::from_static(b"from the future"))].into();
    let topic = MetadataRequestTopic::default()
        .with_name(Some(topic_name("t")))
        .with_unknown_tagged_fields(tags.clone());
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_unknown_tagged_fields(tags);
    let response = client.call(&request, 12).await;
    assert_eq!((response.topics.len(), response.topics[0].error_code), (1, 0));
    assert!(response.unknown_tagged_fields.is_empty(), "they are not sent back");
    // The same in a header: one field of tag 77 and two bytes, in front of a Metadata for no topics.
    let header = [0, 3, 0, 12, 0, 0, 0, 9, 0xff, 0xff, 1, 77, 2, 1, 2];
    let frame = [&[0, 0, 0, 19][..], &header, &[1, 0, 0, 0]].concat();
    client.send_bytes(&frame).await;
    let (answered, response) = client.receive::<MetadataRequest>(12).await;
    assert_eq!((answered, response.brokers.len()), (9, 1));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_hurts_nobody() {
    let fixture = Fixture::with(|config| {
        config.limits.transfer_grace = Duration::from_millis(200);
        config.limits.transfer_bytes_per_second_min = 1 << 30;
    })
    .await;
    let mut slow = fixture.tcp().await;
    slow.create_topic("t", 1, &[]).await;
    let value = "x".repeat(900_000);
    for _ in 0..4 {
        assert_eq!(slow.produce("t", batch(&[&value]), 9).await.error_code, 0);
    }
    // More than the sockets' buffers hold, and never read.
    let mut big = fetch("t", 0, 0);
    big.topics[0].partitions[0].partition_max_bytes = 1 << 24;
    for _ in 0..30 {
        slow.send(&big, 11).await;
    }
    let mut other = fixture.tcp().await;
    other.call(&ApiVersionsRequest::default(), 0).await;
    let cut_off = async {
        while !fixture.http("/metrics").await.1.contains("ebb_connections_open{transport=\"kafka\"} 1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), cut_off).await.expect("the slow client is cut off");
    other.call(&ApiVersionsRequest::default(), 0).await;
}

#[tokio::test]
async fn connections_and_streams_are_limited() {
    let fixture = Fixture::with(|config| {
        config.limits.connections_per_address_max = 1;
        config.limits.streams_per_connection_max = 2;
    })
    .await;
    let mut first = fixture.tcp().await;
    first.call(&ApiVersionsRequest::default(), 0).await;
    fixture.tcp().await.assert_closed().await;
    first.call(&ApiVersionsRequest::default(), 0).await;

    let connection = fixture.quic_connection().await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = Connection::stream(connection.clone()).await;
        stream.call(&ApiVersionsRequest::default(), 0).await;
        streams.push(stream);
    }
    let third = timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(third.is_err(), "a third stream waits for one of the two to end");
    drop(streams.pop());
    timeout(Duration::from_secs(20), connection.open_bi()).await.expect("no hang").expect("a stream opens");
    let refused =
        fixture.quic_client(b"ebb/1").connect(fixture.quic_address(), "localhost").expect("it can dial");
    assert!(refused.await.is_err(), "a second connection from the address is refused");
}

#[tokio::test]
async fn streams_of_a_connection_stand_alone() {
    let fixture = Fixture::start().await;
    let connection = fixture.quic_connection().await;
    let mut bad = Connection::stream(connection.clone()).await;
    let mut good = Connection::stream(connection).await;
    bad.send_bytes(&[0xff; 4]).await;
    bad.assert_closed().await;
    good.call(&ApiVersionsRequest::default(), 0).await;
}

#[tokio::test]
async fn early_data_is_never_accepted() {
    let fixture = Fixture::start().await;
    let client = fixture.quic_client(b"ebb/1");
    let dial = || client.connect(fixture.quic_address(), "localhost").expect("it can dial");
    let first = dial().await.expect("the handshake succeeds");
    // The session ticket comes with the first answer at the latest.
    Connection::stream(first.clone()).await.call(&ApiVersionsRequest::default(), 0).await;
    first.close(0_u32.into(), b"");
    // The client resumes the session and would send early data, but the ticket does not allow any.
    let connecting = dial().into_0rtt().err().expect("there is no early data to send");
    let second = connecting.await.expect("the handshake succeeds");
    Connection::stream(second).await.call(&ApiVersionsRequest::default(), 0).await;
}

#[tokio::test]
async fn other_protocols_are_refused_in_the_handshake() {
    let fixture = Fixture::start().await;
    let dialed =
        fixture.quic_client(b"h3").connect(fixture.quic_address(), "localhost").expect("it can dial");
    assert!(dialed.await.is_err());
}

#[tokio::test]
async fn an_agent_that_cannot_listen_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let start = async |change: &dyn Fn(&mut ebb_agent::config::AgentConfig)| {
        let mut config = config(directory.path().to_owned());
        change(&mut config);
        Agent::start(config, environment()).await.expect_err("it cannot listen")
    };
    let address = taken.local_addr().expect("it is bound");
    let error = start(&|config| config.kafka = Some(ListenerConfig::new(address))).await;
    assert!(matches!(&error, StartError::Listen(ListenError::InUse { .. })), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let everywhere = || Some(ListenerConfig::new("0.0.0.0:0".parse().expect("an address")));
    let error = start(&|config| config.kafka = everywhere()).await;
    assert!(matches!(error, StartError::Listen(ListenError::Plaintext(_))), "{error}");
    let error = start(&|config| config.quic = everywhere()).await;
    assert!(matches!(error, StartError::Listen(ListenError::Unadvertised(_))), "{error}");
    let error = start(&|config| config.store = "ftp://nowhere".to_owned()).await;
    assert!(error.to_string().contains("ftp://nowhere"), "{error}");
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let fixture = Fixture::start().await;
    fixture.tcp().await.call(&ApiVersionsRequest::default(), 0).await;
    assert!(fixture.http("/healthz").await.0.contains("200"));
    assert!(fixture.http("/readyz").await.0.contains("200"));
    assert!(fixture.http("/elsewhere").await.0.contains("404"));
    let (status, metrics) = fixture.http("/metrics").await;
    assert!(status.contains("200"));
    for line in [
        "ebb_requests_total{api=\"ApiVersions\"} 1",
        "ebb_agents_live 1",
        "ebb_store_requests_total{kind=\"put\"}",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}

#[tokio::test]
async fn shutdown_answers_what_is_in_flight_and_leaves_the_cluster() {
    let fixture = Fixture::start().await;
    let [mut tcp, mut quic] = fixture.both().await;
    tcp.create_topic("t", 1, &[]).await;
    let mut sent = Vec::new();
    for client in [&mut tcp, &mut quic] {
        sent.push(client.send(&produce("t", &[(0, batch(&["x"]))], -1), 9).await);
    }
    // The requests are known to be taken in once the answers are on their way.
    let mut answers = Vec::new();
    for client in [&mut tcp, &mut quic] {
        let (id, response) = client.receive::<ProduceRequest>(9).await;
        assert_eq!(common::produced(response).error_code, 0);
        answers.push(id);
    }
    assert_eq!(answers, sent);
    tcp.send(&fetch("t", 2, 60_000), 11).await;
    let broker = fixture.agent.broker().clone();
    timeout(Duration::from_secs(20), fixture.agent.shutdown()).await.expect("it goes down in time");
    tcp.assert_closed().await;
    quic.assert_closed().await;
    assert_eq!(broker.metastore().read(|state| state.agents().count()), 0);
}

#[tokio::test]
async fn an_agent_that_was_put_out_says_so_and_another_one_goes_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let storage =
        Storage::open(&config(directory.path().to_owned()), &environment()).await.expect("memory opens");
    let start = async |seed| {
        let environment = Environment { random: Random::from_seed(seed), ..environment() };
        let mut config = config(directory.path().to_owned());
        // The second agent takes over what the first one advertised, as a restarted process does.
        let address = Endpoint { host: "agent.test".to_owned(), port: 9092 };
        config.kafka.as_mut().expect("it listens").advertised = Some(address);
        Agent::start_on(storage.clone(), config, environment).await.expect("the agent starts")
    };
    let first = start(1).await;
    let mut early = Connection::tcp(first.addresses().kafka.expect("it listens")).await;
    early.create_topic("t", 1, &[]).await;
    assert_eq!(early.produce("t", batch(&["before"]), 9).await.base_offset, 0);
    let second = start(2).await;
    let mut late = Connection::tcp(second.addresses().kafka.expect("it listens")).await;
    assert_eq!(late.produce("t", batch(&["after"]), 9).await.base_offset, 1);
    // The first one learns it by its next append, and takes nothing more.
    let refused = early.produce("t", batch(&["too late"]), 9).await;
    assert_ne!(refused.error_code, 0);
    timeout(Duration::from_secs(20), first.ousted()).await.expect("it learns that it was put out");
    let response = late.call(&fetch("t", 0, 0), 11).await;
    let fetched = response.responses[0].partitions[0].records.clone().expect("there are records");
    assert_eq!(records(fetched), [(0, "before".to_owned()), (1, "after".to_owned())]);
}
