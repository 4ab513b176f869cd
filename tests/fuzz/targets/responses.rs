//! A response's frame without its length, as a client reads it: the guard in front of the decoder, decoder. The first
//! two bytes choose the request that is answered. A response that is taken is read back from what the encoder makes
//! of it.
#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use ebb_fuzz::{has_huge_tag, within};
use ebb_protocol::{
    api::{APIS, ApiKey},
    frame::FRAME_LENGTH_BYTES,
    messages::{self, decode_response, encode_response},
};
use libfuzzer_sys::fuzz_target;

/// A response's elements cost some hundred bytes each, and each took a byte of the input.
const BYTES_MAX: usize = 64 << 20;

fuzz_target!(|input: &[u8]| {
    let [api, version, frame @ ..] = input else { return };
    let Some(api) = APIS.get(usize::from(*api) % APIS.len()) else { return };
    let (version, frame) = (i16::from(*version), Bytes::copy_from_slice(frame));
    within(BYTES_MAX, || decode(api.key, version, &frame));
});

fn decode(api: ApiKey, version: i16, frame: &Bytes) {
    match api {
        ApiKey::Produce => read_back::<messages::ProduceRequest>(version, frame),
        ApiKey::Fetch => read_back::<messages::FetchRequest>(version, frame),
        ApiKey::ListOffsets => read_back::<messages::ListOffsetsRequest>(version, frame),
        ApiKey::Metadata => read_back::<messages::MetadataRequest>(version, frame),
        ApiKey::ApiVersions => read_back::<messages::ApiVersionsRequest>(version, frame),
        ApiKey::CreateTopics => read_back::<messages::CreateTopicsRequest>(version, frame),
        ApiKey::DeleteTopics => read_back::<messages::DeleteTopicsRequest>(version, frame),
        ApiKey::DeleteRecords => read_back::<messages::DeleteRecordsRequest>(version, frame),
        ApiKey::InitProducerId => read_back::<messages::InitProducerIdRequest>(version, frame),
        ApiKey::OffsetForLeaderEpoch => read_back::<messages::OffsetForLeaderEpochRequest>(version, frame),
        ApiKey::DescribeConfigs => read_back::<messages::DescribeConfigsRequest>(version, frame),
        ApiKey::AlterConfigs => read_back::<messages::AlterConfigsRequest>(version, frame),
        ApiKey::CreatePartitions => read_back::<messages::CreatePartitionsRequest>(version, frame),
        ApiKey::IncrementalAlterConfigs => {
            read_back::<messages::IncrementalAlterConfigsRequest>(version, frame);
        }
        ApiKey::DescribeCluster => read_back::<messages::DescribeClusterRequest>(version, frame),
    }
}

fn read_back<R: messages::Request>(version: i16, frame: &Bytes)
where
    R::Response: PartialEq + Debug,
{
    let Ok(response) = decode_response::<R>(frame, version) else { return };
    // The encoder refuses what its version cannot say.
    let Ok(frame) = encode_response::<R>(&response, version, 1) else { return };
    let again = decode_response::<R>(&frame.slice(FRAME_LENGTH_BYTES..), version);
    assert!(
        again.as_ref() == Ok(&response) || has_huge_tag(&response),
        "{response:?} was read back as {again:?}"
    );
}
