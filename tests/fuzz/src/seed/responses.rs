//! Inputs for `responses`: every API in every version. Those that a client reads most are full, the others empty.

use ebb_protocol::{
    api::{APIS, Api, ApiKey},
    batch::Compression,
    frame::FRAME_LENGTH_BYTES,
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, BrokerId, FetchRequest, FetchResponse, MetadataRequest,
        MetadataResponse, ProduceRequest, ProduceResponse, Request, StrBytes, TopicName,
        api_versions_response, encode_response, fetch_response, metadata_response, produce_response,
    },
};

use ebb_fuzz::with_request;

use crate::{Seed, batches::batch};

pub(crate) fn seeds() -> Vec<Seed> {
    (0..).zip(APIS).flat_map(|(index, api)| of_api(index, api)).collect()
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("flights"))
}

fn of_api(index: u8, api: &Api) -> Vec<Seed> {
    match api.key {
        ApiKey::Produce => each_version::<ProduceRequest>(index, api, Some(produce())),
        ApiKey::Fetch => each_version::<FetchRequest>(index, api, Some(fetch())),
        ApiKey::Metadata => each_version::<MetadataRequest>(index, api, Some(metadata())),
        ApiKey::ApiVersions => each_version::<ApiVersionsRequest>(index, api, Some(api_versions())),
        other => with_request!(other, R => each_version::<R>(index, api, None)),
    }
}

fn each_version<R: Request>(index: u8, api: &Api, full: Option<R::Response>) -> Vec<Seed>
where
    R::Response: Default,
{
    let seed = |version: i16| {
        let empty = R::Response::default();
        let mut candidates = full.iter().chain([&empty]);
        let frame = candidates.find_map(|response| encode_response::<R>(response, version, 9).ok())?;
        let choice = [index, u8::try_from(version).expect("versions are small")];
        let input = [&choice, &frame[FRAME_LENGTH_BYTES..]].concat();
        Some(Seed::new("responses", format!("{}-{version}", api.key), input))
    };
    (api.min..=api.max).filter_map(seed).collect()
}

fn produce() -> ProduceResponse {
    let partition = produce_response::PartitionProduceResponse::default().with_index(1).with_base_offset(42);
    let of_topic = produce_response::TopicProduceResponse::default()
        .with_name(topic())
        .with_partition_responses(vec![partition]);
    ProduceResponse::default().with_responses(vec![of_topic])
}

fn fetch() -> FetchResponse {
    let records = batch(Compression::Lz4, None).bytes().clone();
    let partition = fetch_response::PartitionData::default()
        .with_high_watermark(45)
        .with_last_stable_offset(45)
        .with_records(Some(records));
    let of_topic = fetch_response::FetchableTopicResponse::default()
        .with_topic(topic())
        .with_partitions(vec![partition]);
    FetchResponse::default().with_responses(vec![of_topic])
}

fn metadata() -> MetadataResponse {
    let broker = metadata_response::MetadataResponseBroker::default()
        .with_host(StrBytes::from_static_str("localhost"))
        .with_port(9092);
    let partition = metadata_response::MetadataResponsePartition::default()
        .with_replica_nodes(vec![BrokerId(0)])
        .with_isr_nodes(vec![BrokerId(0)]);
    let of_topic = metadata_response::MetadataResponseTopic::default()
        .with_name(Some(topic()))
        .with_partitions(vec![partition]);
    MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![of_topic])
}

fn api_versions() -> ApiVersionsResponse {
    let listed =
        api_versions_response::ApiVersion::default().with_api_key(1).with_min_version(4).with_max_version(18);
    ApiVersionsResponse::default().with_api_keys(vec![listed])
}
