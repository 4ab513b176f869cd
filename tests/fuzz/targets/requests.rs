//! A request's frame without its length: header, the guard in front of the decoder, decoder. A request that is taken
//! is read back from what the encoder makes of it.
#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use ebb_fuzz::{has_huge_tag, within};
use ebb_protocol::{
    api::{Api, ApiKey},
    frame::{FRAME_LENGTH_BYTES, decode_request_header},
    messages::{self, decode_request, encode_request},
};
use libfuzzer_sys::fuzz_target;

/// A request's elements cost some hundred bytes each, and each took a byte of the input.
const BYTES_MAX: usize = 64 << 20;

fuzz_target!(|input: &[u8]| {
    let frame = Bytes::copy_from_slice(input);
    within(BYTES_MAX, || {
        let Ok((header, body)) = decode_request_header(&frame) else { return };
        decode(header.api, header.version, body);
    });
});

fn decode(api: &Api, version: i16, body: Bytes) {
    match api.key {
        ApiKey::Produce => read_back::<messages::ProduceRequest>(version, body),
        ApiKey::Fetch => read_back::<messages::FetchRequest>(version, body),
        ApiKey::ListOffsets => read_back::<messages::ListOffsetsRequest>(version, body),
        ApiKey::Metadata => read_back::<messages::MetadataRequest>(version, body),
        ApiKey::ApiVersions => read_back::<messages::ApiVersionsRequest>(version, body),
        ApiKey::CreateTopics => read_back::<messages::CreateTopicsRequest>(version, body),
        ApiKey::DeleteTopics => read_back::<messages::DeleteTopicsRequest>(version, body),
        ApiKey::DeleteRecords => read_back::<messages::DeleteRecordsRequest>(version, body),
        ApiKey::InitProducerId => read_back::<messages::InitProducerIdRequest>(version, body),
        ApiKey::OffsetForLeaderEpoch => read_back::<messages::OffsetForLeaderEpochRequest>(version, body),
        ApiKey::DescribeConfigs => read_back::<messages::DescribeConfigsRequest>(version, body),
        ApiKey::AlterConfigs => read_back::<messages::AlterConfigsRequest>(version, body),
        ApiKey::CreatePartitions => read_back::<messages::CreatePartitionsRequest>(version, body),
        ApiKey::IncrementalAlterConfigs => {
            read_back::<messages::IncrementalAlterConfigsRequest>(version, body)
        }
        ApiKey::DescribeCluster => read_back::<messages::DescribeClusterRequest>(version, body),
    }
}

fn read_back<R: messages::Request + PartialEq + Debug>(version: i16, body: Bytes) {
    let Ok(request) = decode_request::<R>(body, version) else { return };
    // The encoder refuses what its version cannot say, and knows no Produce below version 3.
    let Ok(frame) = encode_request(&request, version, 1, None) else { return };
    let (_, body) = decode_request_header(&frame.slice(FRAME_LENGTH_BYTES..)).expect("the encoder wrote it");
    let again = decode_request::<R>(body, version);
    assert!(
        again.as_ref() == Ok(&request) || has_huge_tag(&request),
        "{request:?} was read back as {again:?}"
    );
}
