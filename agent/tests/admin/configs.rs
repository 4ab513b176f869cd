//! Configurations of topics, brokers and groups: how they are described, altered and refused.

use ebb_protocol::{
    error::ResponseError,
    messages::{
        AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
        ListConfigResourcesRequest, alter_configs_request, describe_configs_request::DescribeConfigsResource,
        describe_configs_response::DescribeConfigsResult, incremental_alter_configs_request,
    },
};

use super::{
    common::{Connection, Fixture},
    text,
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

fn resource(kind: i8, name: &str) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None)
}

/// The value of a topic's key and where it comes from.
async fn config(client: &mut Connection, topic: &str, key: &str) -> (String, i8) {
    let resource = resource(TOPIC, topic).with_configuration_keys(Some(vec![text(key)]));
    let response = client.call(&DescribeConfigsRequest::default().with_resources(vec![resource]), 4).await;
    let config = &response.results[0].configs[0];
    (config.value.as_ref().map(ToString::to_string).unwrap_or_default(), config.config_source)
}

#[tokio::test]
async fn configurations_are_described() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[("retention.ms", "1000")]).await;
    assert_eq!(config(&mut client, "t", "retention.ms").await, ("1000".to_owned(), 1));
    assert_eq!(config(&mut client, "t", "cleanup.policy").await, ("delete".to_owned(), 5));
    for version in 1..=4 {
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![
                resource(TOPIC, "t"),
                resource(BROKER, "0"),
                resource(TOPIC, "missing"),
                resource(9, "x"),
            ])
            .with_include_synonyms(true)
            .with_include_documentation(version >= 3);
        let results = client.call(&request, version).await.results;
        let codes: Vec<_> = results.iter().map(|result| result.error_code).collect();
        let unknown = ResponseError::UnknownTopicOrPartition.code();
        assert_eq!(codes, [0, 0, unknown, ResponseError::InvalidRequest.code()], "version {version}");
        assert!(results[0].configs.len() > 20, "tools read all of Kafka's names");
        let retention =
            results[0].configs.iter().find(|config| &*config.name == "retention.ms").expect("it is told");
        let synonyms: Vec<_> =
            retention.synonyms.iter().map(|synonym| (&*synonym.name, synonym.source)).collect();
        assert_eq!(synonyms, [("retention.ms", 1), ("log.retention.ms", 5)]);
        let documentation = retention.documentation.as_deref().unwrap_or_default();
        assert_eq!(documentation.is_empty(), version < 3);
        assert_eq!(retention.config_type, if version >= 3 { 5 } else { 0 }, "a long");
    }
}

/// Names, values and sources of a resource's configuration.
fn values(result: &DescribeConfigsResult) -> Vec<(String, String, i8)> {
    let configs = result.configs.iter();
    let value = |value: &Option<_>| value.as_ref().map(ToString::to_string).unwrap_or_default();
    configs.map(|config| (config.name.to_string(), value(&config.value), config.config_source)).collect()
}

#[tokio::test]
async fn brokers_and_groups_tell_what_they_run_with() {
    let fixture = Fixture::with(|config| config.topics.partitions = 7).await;
    let mut client = fixture.tcp().await;
    let resources = [
        resource(BROKER, "0"),
        resource(BROKER, ""),
        resource(BROKER, "9"),
        resource(LOGGER, "0"),
        resource(GROUP, "g"),
        resource(GROUP, ""),
        resource(CLIENT_METRICS, "x"),
    ];
    let request = DescribeConfigsRequest::default().with_resources(resources.to_vec());
    let results = client.call(&request, 4).await.results;
    let invalid = ResponseError::InvalidRequest.code();
    let codes: Vec<_> = results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [0, 0, invalid, invalid, 0, invalid, invalid]);
    let agent = values(&results[0]);
    for expected in [
        ("num.partitions", "7", 4),
        ("node.id", "0", 4),
        ("log.retention.ms", "604800000", 5),
        ("group.min.session.timeout.ms", "6000", 5),
        ("group.max.session.timeout.ms", "1800000", 5),
        ("group.initial.rebalance.delay.ms", "500", 5),
        ("group.max.size", "1000", 5),
        ("group.consumer.session.timeout.ms", "45000", 5),
        ("group.consumer.max.heartbeat.interval.ms", "60000", 5),
        ("group.consumer.assignors", "uniform,range", 5),
        ("offsets.retention.minutes", "10080", 5),
    ] {
        let expected = (expected.0.to_owned(), expected.1.to_owned(), expected.2);
        assert!(agent.contains(&expected), "{expected:?} is missing in {agent:?}");
    }
    assert!(results[0].configs.iter().all(|config| config.read_only));
    assert!(results[1].configs.is_empty(), "there are no dynamic settings of all brokers");
    let group = values(&results[4]);
    let group: Vec<_> = group.iter().map(|(name, value, source)| (&**name, &**value, *source)).collect();
    let expect = [("consumer.session.timeout.ms", "45000", 5), ("consumer.heartbeat.interval.ms", "5000", 5)];
    assert_eq!(group, expect);
}

#[tokio::test]
async fn resources_with_a_configuration_are_listed() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let ask = |kinds: &[i8]| ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
    let all = [("t".to_owned(), TOPIC), ("0".to_owned(), BROKER)];
    for (kinds, expect) in
        [(&[][..], &all[..]), (&[TOPIC], &all[..1]), (&[BROKER], &all[1..]), (&[GROUP], &[])]
    {
        let response = client.call(&ask(kinds), 1).await;
        let listed: Vec<_> = response
            .config_resources
            .iter()
            .map(|resource| (resource.resource_name.to_string(), resource.resource_type))
            .collect();
        assert_eq!((response.error_code, &*listed), (0, expect), "{kinds:?}");
    }
    let refused = client.call(&ask(&[TOPIC, 3]), 1).await;
    assert_eq!(refused.error_code, ResponseError::UnsupportedVersion.code());
    let metrics = client.call(&ask(&[]), 0).await;
    assert_eq!((metrics.error_code, metrics.config_resources.len()), (0, 0), "client metrics only");
}

/// A request that does one thing to one key.
fn step(
    kind: i8,
    name: &str,
    key: &str,
    operation: i8,
    value: Option<&str>,
) -> IncrementalAlterConfigsRequest {
    let config = incremental_alter_configs_request::AlterableConfig::default()
        .with_name(text(key))
        .with_config_operation(operation)
        .with_value(value.map(text));
    let resource = incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(vec![config]);
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

#[tokio::test]
async fn configurations_are_altered_key_by_key() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let invalid_config = ResponseError::InvalidConfig.code();
    let invalid_request = ResponseError::InvalidRequest.code();
    for (request, version, expect) in [
        (step(TOPIC, "t", "retention.ms", 0, Some("5")).with_validate_only(true), 0, 0),
        (step(TOPIC, "t", "retention.ms", 0, Some("1000")), 0, 0),
        (step(TOPIC, "t", "cleanup.policy", 2, Some("compact")), 1, 0),
        (step(TOPIC, "t", "cleanup.policy", 3, Some("delete")), 1, 0),
        (step(TOPIC, "t", "retention.ms", 0, Some("soon")), 1, invalid_config),
        (step(TOPIC, "t", "retention.ms", 2, Some("1")), 1, invalid_config),
        (step(TOPIC, "t", "no.such.key", 0, Some("1")), 1, invalid_config),
        (step(TOPIC, "t", "retention.ms", 0, None), 1, invalid_request),
        (step(TOPIC, "t", "retention.ms", 7, Some("1")), 1, invalid_request),
        (
            step(TOPIC, "missing", "retention.ms", 0, Some("1")),
            1,
            ResponseError::UnknownTopicOrPartition.code(),
        ),
        (step(TOPIC, "t", "follower.replication.throttled.replicas", 2, Some("0:1,1:2")), 1, 0),
        (step(BROKER, "0", "num.partitions", 0, Some("1")), 1, invalid_request),
        (step(BROKER, "", "num.partitions", 0, Some("1")), 1, invalid_request),
        (step(BROKER, "0", "leader.replication.throttled.rate", 1, None), 1, 0),
        (step(BROKER, "9", "num.partitions", 0, Some("1")), 1, invalid_request),
        (step(LOGGER, "0", "root", 0, Some("DEBUG")), 1, invalid_request),
        (step(GROUP, "g", "consumer.session.timeout.ms", 0, Some("50000")), 1, 0),
        (step(GROUP, "g", "consumer.session.timeout.ms", 0, Some("5000")), 1, invalid_config),
        (step(GROUP, "g", "consumer.heartbeat.interval.ms", 0, Some("50000")), 1, invalid_config),
        (step(GROUP, "g", "consumer.heartbeat.interval.ms", 2, Some("5000")), 1, invalid_config),
        (step(GROUP, "g", "share.session.timeout.ms", 0, Some("50000")), 1, invalid_config),
        (step(GROUP, "", "consumer.session.timeout.ms", 0, Some("50000")), 1, invalid_request),
        (step(CLIENT_METRICS, "m", "metrics", 0, Some("*")), 1, invalid_request),
        (step(9, "x", "y", 0, Some("z")), 1, invalid_request),
    ] {
        let response = client.call(&request, version).await.responses.remove(0);
        assert_eq!(response.error_code, expect, "{request:?}");
        assert_eq!(response.error_message.is_some(), expect != 0, "{request:?}");
    }
    assert_eq!(config(&mut client, "t", "retention.ms").await, ("1000".to_owned(), 1));
    assert_eq!(config(&mut client, "t", "cleanup.policy").await, ("compact".to_owned(), 1));
    client.call(&step(TOPIC, "t", "retention.ms", 1, None), 1).await;
    assert_eq!(config(&mut client, "t", "retention.ms").await, ("604800000".to_owned(), 5));
}

#[tokio::test]
async fn a_groups_configuration_is_kept_and_told() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    let (session, heartbeat) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
    for request in [
        step(GROUP, "g", session, 0, Some("50000")),
        step(GROUP, "g", heartbeat, 0, Some("2000")).with_validate_only(true),
        step(GROUP, "h", heartbeat, 0, Some("3000")),
        step(GROUP, "h", heartbeat, 1, None),
    ] {
        assert_eq!(client.call(&request, 1).await.responses[0].error_code, 0, "{request:?}");
    }
    let ask = DescribeConfigsRequest::default()
        .with_resources(vec![resource(GROUP, "g"), resource(GROUP, "h")])
        .with_include_synonyms(true);
    let results = client.call(&ask, 4).await.results;
    let value = |value: &str, source| (value.to_owned(), source);
    let told =
        |result| values(result).into_iter().map(|(_, value, source)| (value, source)).collect::<Vec<_>>();
    assert_eq!(told(&results[0]), [value("50000", 8), value("5000", 5)]);
    assert_eq!(told(&results[1]), [value("45000", 5), value("5000", 5)]);
    let synonyms = results[0].configs[0].synonyms.iter();
    let synonyms: Vec<_> = synonyms.map(|synonym| (&*synonym.name, synonym.source)).collect();
    assert_eq!(synonyms, [(session, 8), ("group.consumer.session.timeout.ms", 5)]);
    let list = ListConfigResourcesRequest::default().with_resource_types(vec![GROUP]);
    let listed = client.call(&list, 1).await.config_resources;
    assert_eq!(listed.iter().map(|resource| &*resource.resource_name).collect::<Vec<_>>(), ["g"]);
}

#[tokio::test]
async fn what_is_named_twice_is_refused() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let invalid_request = ResponseError::InvalidRequest.code();
    let mut twice = step(TOPIC, "t", "retention.ms", 0, Some("1"));
    twice.resources.push(twice.resources[0].clone());
    let responses = client.call(&twice, 1).await.responses;
    assert!(responses.iter().all(|response| response.error_code == invalid_request));
    let mut both = step(TOPIC, "t", "retention.ms", 0, Some("1"));
    let again = both.resources[0].configs[0].clone();
    both.resources[0].configs.push(again);
    assert_eq!(client.call(&both, 1).await.responses[0].error_code, invalid_request);
    assert_eq!(config(&mut client, "t", "retention.ms").await, ("604800000".to_owned(), 5));
}

#[tokio::test]
async fn whole_configurations_are_replaced() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[("cleanup.policy", "compact")]).await;
    let invalid_config = ResponseError::InvalidConfig.code();
    let whole = |key: &str, value: &str| {
        let config = alter_configs_request::AlterableConfig::default()
            .with_name(text(key))
            .with_value(Some(text(value)));
        let resource = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("t"))
            .with_configs(vec![config]);
        AlterConfigsRequest::default().with_resources(vec![resource])
    };
    for version in 0..=2 {
        let refused = client.call(&whole("retention.ms", "soon"), version).await;
        assert_eq!(refused.responses[0].error_code, invalid_config);
        assert_eq!(client.call(&whole("retention.ms", "7"), version).await.responses[0].error_code, 0);
    }
    assert_eq!(config(&mut client, "t", "retention.ms").await, ("7".to_owned(), 1));
    assert_eq!(
        config(&mut client, "t", "cleanup.policy").await,
        ("delete".to_owned(), 5),
        "not named, so reset"
    );
}
