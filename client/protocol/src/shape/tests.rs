//! Tests of the guard: bodies made up from the shapes are what the message decoder takes, for every API and version,
//! and what lies about its counts is refused before the decoder sees it.

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages,
    protocol::{Decodable, Encodable, Request},
};

use super::*;
use crate::{
    api::{APIS, ApiKey},
    messages::{DecodeError, decode_request, decode_response},
    random::Random,
    wire::put_uvarint,
};

/// Makes up a body of a shape: every field present, no nulls but structs, up to three elements and some unknown tags.
struct Maker {
    random: Random,
    version: i16,
    flexible: bool,
    out: Vec<u8>,
}

impl Maker {
    fn body(api: &Api, version: i16, shape: &[Field], random: &Random) -> Vec<u8> {
        let mut maker =
            Self { random: random.fork(), version, flexible: api.is_flexible(version), out: Vec::new() };
        maker.fields(shape);
        maker.out
    }

    fn fields(&mut self, fields: &[Field]) {
        let version = self.version;
        let here = || fields.iter().filter(|field| field.is_in(version));
        for field in here().filter(|field| field.tag.is_none()) {
            self.value(&field.kind);
        }
        if !self.flexible {
            return;
        }
        let tagged: Vec<_> = here().filter_map(|field| Some((field.tag?, &field.kind))).collect();
        let tagged: Vec<_> = tagged.into_iter().filter(|_| self.random.chance(0.7)).collect();
        let unknown = self.random.below(2);
        put_uvarint(&mut self.out, tagged.len() as u64 + unknown);
        for (tag, kind) in tagged {
            let before = std::mem::take(&mut self.out);
            self.value(kind);
            let value = std::mem::replace(&mut self.out, before);
            self.tag(tag, &value);
        }
        if unknown == 1 {
            self.tag(9_999, b"from the future");
        }
    }

    fn tag(&mut self, tag: u32, value: &[u8]) {
        put_uvarint(&mut self.out, tag.into());
        put_uvarint(&mut self.out, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    fn value(&mut self, kind: &Kind) {
        match kind {
            // Small numbers, so that booleans are booleans and acks are acks.
            Kind::Fixed(bytes) => {
                self.out.extend(std::iter::repeat_n(0, bytes - 1));
                self.out.push(self.random.below(2) as u8);
            }
            Kind::String => self.bytes(2),
            Kind::Bytes => self.bytes(4),
            Kind::Array(element) => {
                let count = self.random.below(4) as usize;
                self.len(count, 4);
                for _ in 0..count {
                    self.value(element);
                }
            }
            Kind::Struct(fields) => self.fields(fields),
            Kind::Optional(fields) => {
                if self.random.chance(0.3) {
                    self.out.push(0xff);
                    return;
                }
                self.out.push(1);
                self.fields(fields);
            }
        }
    }

    fn bytes(&mut self, width: usize) {
        let len = self.random.below(12) as usize;
        self.len(len, width);
        self.out.extend(std::iter::repeat_n(b'x', len));
    }

    fn len(&mut self, len: usize, width: usize) {
        if self.flexible {
            put_uvarint(&mut self.out, len as u64 + 1);
        } else {
            let bytes = (len as u32).to_be_bytes();
            self.out.extend_from_slice(&bytes[4 - width..]);
        }
    }
}

/// What is done with the request and response types of every API.
trait ForEachApi {
    fn one<R: Request>(&mut self, api: &'static Api);
}

fn for_each_api(visitor: &mut impl ForEachApi) {
    for api in APIS {
        match api.key {
            ApiKey::Produce => visitor.one::<messages::ProduceRequest>(api),
            ApiKey::Fetch => visitor.one::<messages::FetchRequest>(api),
            ApiKey::ListOffsets => visitor.one::<messages::ListOffsetsRequest>(api),
            ApiKey::Metadata => visitor.one::<messages::MetadataRequest>(api),
            ApiKey::ApiVersions => visitor.one::<messages::ApiVersionsRequest>(api),
            ApiKey::CreateTopics => visitor.one::<messages::CreateTopicsRequest>(api),
            ApiKey::DeleteTopics => visitor.one::<messages::DeleteTopicsRequest>(api),
            ApiKey::DeleteRecords => visitor.one::<messages::DeleteRecordsRequest>(api),
            ApiKey::InitProducerId => visitor.one::<messages::InitProducerIdRequest>(api),
            ApiKey::OffsetForLeaderEpoch => visitor.one::<messages::OffsetForLeaderEpochRequest>(api),
            ApiKey::DescribeAcls => visitor.one::<messages::DescribeAclsRequest>(api),
            ApiKey::CreateAcls => visitor.one::<messages::CreateAclsRequest>(api),
            ApiKey::DeleteAcls => visitor.one::<messages::DeleteAclsRequest>(api),
            ApiKey::DescribeConfigs => visitor.one::<messages::DescribeConfigsRequest>(api),
            ApiKey::AlterConfigs => visitor.one::<messages::AlterConfigsRequest>(api),
            ApiKey::DescribeLogDirs => visitor.one::<messages::DescribeLogDirsRequest>(api),
            ApiKey::CreatePartitions => visitor.one::<messages::CreatePartitionsRequest>(api),
            ApiKey::ElectLeaders => visitor.one::<messages::ElectLeadersRequest>(api),
            ApiKey::IncrementalAlterConfigs => visitor.one::<messages::IncrementalAlterConfigsRequest>(api),
            ApiKey::AlterPartitionReassignments => {
                visitor.one::<messages::AlterPartitionReassignmentsRequest>(api)
            }
            ApiKey::ListPartitionReassignments => {
                visitor.one::<messages::ListPartitionReassignmentsRequest>(api)
            }
            ApiKey::DescribeClientQuotas => visitor.one::<messages::DescribeClientQuotasRequest>(api),
            ApiKey::DescribeUserScramCredentials => {
                visitor.one::<messages::DescribeUserScramCredentialsRequest>(api)
            }
            ApiKey::DescribeQuorum => visitor.one::<messages::DescribeQuorumRequest>(api),
            ApiKey::UpdateFeatures => visitor.one::<messages::UpdateFeaturesRequest>(api),
            ApiKey::DescribeCluster => visitor.one::<messages::DescribeClusterRequest>(api),
            ApiKey::DescribeProducers => visitor.one::<messages::DescribeProducersRequest>(api),
            ApiKey::GetTelemetrySubscriptions => {
                visitor.one::<messages::GetTelemetrySubscriptionsRequest>(api)
            }
            ApiKey::PushTelemetry => visitor.one::<messages::PushTelemetryRequest>(api),
            ApiKey::ListConfigResources => visitor.one::<messages::ListConfigResourcesRequest>(api),
            ApiKey::DescribeTopicPartitions => visitor.one::<messages::DescribeTopicPartitionsRequest>(api),
            ApiKey::OffsetCommit => visitor.one::<messages::OffsetCommitRequest>(api),
            ApiKey::OffsetFetch => visitor.one::<messages::OffsetFetchRequest>(api),
            ApiKey::FindCoordinator => visitor.one::<messages::FindCoordinatorRequest>(api),
            ApiKey::JoinGroup => visitor.one::<messages::JoinGroupRequest>(api),
            ApiKey::Heartbeat => visitor.one::<messages::HeartbeatRequest>(api),
            ApiKey::LeaveGroup => visitor.one::<messages::LeaveGroupRequest>(api),
            ApiKey::SyncGroup => visitor.one::<messages::SyncGroupRequest>(api),
            ApiKey::DescribeGroups => visitor.one::<messages::DescribeGroupsRequest>(api),
            ApiKey::ListGroups => visitor.one::<messages::ListGroupsRequest>(api),
            ApiKey::DeleteGroups => visitor.one::<messages::DeleteGroupsRequest>(api),
            ApiKey::OffsetDelete => visitor.one::<messages::OffsetDeleteRequest>(api),
            ApiKey::ConsumerGroupHeartbeat => visitor.one::<messages::ConsumerGroupHeartbeatRequest>(api),
            ApiKey::ConsumerGroupDescribe => visitor.one::<messages::ConsumerGroupDescribeRequest>(api),
        }
    }
}

/// The versions that the message decoder knows.
fn versions(api: &Api) -> std::ops::RangeInclusive<i16> {
    let min = if api.key == ApiKey::Produce { 3 } else { api.min };
    min..=api.max
}

/// Decoder and walker agree on where a made-up body ends, and on what the encoder makes of it.
fn agree<T: Decodable + Encodable>(
    what: &str,
    version: i16,
    body: Vec<u8>,
    check: impl Fn(&[u8]) -> Result<usize, ShapeError>,
) {
    assert_eq!(check(&body), Ok(0), "{what} {version}");
    let mut rest = Bytes::from(body);
    let message = T::decode(&mut rest, version).unwrap_or_else(|e| panic!("{what} {version}: {e}"));
    assert_eq!(rest.len(), 0, "{what} {version}");
    let mut encoded = BytesMut::new();
    message.encode(&mut encoded, version).unwrap_or_else(|e| panic!("{what} {version}: {e}"));
    assert_eq!(check(&encoded), Ok(0), "{what} {version}");
}

struct Agree(Random);

impl ForEachApi for Agree {
    fn one<R: Request>(&mut self, api: &'static Api) {
        for version in versions(api) {
            for _ in 0..20 {
                let body = Maker::body(api, version, requests::shape(api.key), &self.0);
                agree::<R>(&format!("{} request", api.key), version, body, |body| {
                    check_request(api, version, body)
                });
                let body = Maker::body(api, version, responses::shape(api.key), &self.0);
                agree::<R::Response>(&format!("{} response", api.key), version, body, |body| {
                    check_response(api, version, body)
                });
            }
        }
    }
}

#[test]
fn shapes_agree_with_the_message_decoder_in_every_version() {
    for_each_api(&mut Agree(Random::from_seed(1)));
}

struct Spoil(Random);

impl Spoil {
    fn spoil(&self, mut body: Vec<u8>) -> Bytes {
        for _ in 0..=self.0.below(3) {
            let at = self.0.below(body.len() as u64) as usize;
            if let Some(byte) = body.get_mut(at) {
                *byte = if self.0.chance(0.5) { 0x7f } else { self.0.next_u64() as u8 };
            }
        }
        body.into()
    }
}

impl ForEachApi for Spoil {
    fn one<R: Request>(&mut self, api: &'static Api) {
        for version in versions(api) {
            for _ in 0..50 {
                let body = self.spoil(Maker::body(api, version, requests::shape(api.key), &self.0));
                let _ = decode_request::<R>(body, version);
                let mut frame = vec![0; 4 + usize::from(api.has_tagged_response_header(version))];
                frame.extend(self.spoil(Maker::body(api, version, responses::shape(api.key), &self.0)));
                let _ = decode_response::<R>(&frame.into(), version);
            }
        }
    }
}

#[test]
fn spoiled_bodies_are_decoded_or_refused_but_do_no_harm() {
    for_each_api(&mut Spoil(Random::from_seed(2)));
}

#[test]
fn counts_beyond_the_bytes_are_refused() {
    // Four bytes that would have the decoder ask for 154 GB.
    let refused = decode_request::<messages::MetadataRequest>(Bytes::from_static(b"\x7f\xff\xff\xff"), 1);
    let count = ShapeError::Count { count: i32::MAX as usize, left: 0 };
    assert_eq!(refused.map(drop), Err(DecodeError::Shape(count)));
    // Fourteen bytes of Produce that would have it ask for gigabytes.
    let produce = b"\xff\xff\x00\x01\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let refused = decode_request::<messages::ProduceRequest>(Bytes::from_static(produce), 3);
    assert_eq!(refused.map(drop), Err(DecodeError::Shape(ShapeError::Count { count: 0x0400_0000, left: 2 })));
    // The same in a compact array, and inside a response.
    let refused =
        decode_request::<messages::MetadataRequest>(Bytes::from_static(b"\xff\xff\xff\xff\x0f\0"), 9);
    let count = ShapeError::Count { count: u32::MAX as usize - 1, left: 1 };
    assert_eq!(refused.map(drop), Err(DecodeError::Shape(count)));
    let frame = Bytes::from_static(b"\0\0\0\0\0\0\x7f\xff\xff\xff");
    let refused = decode_response::<messages::ApiVersionsRequest>(&frame, 0);
    let count = ShapeError::Count { count: i32::MAX as usize, left: 0 };
    assert_eq!(refused.map(drop), Err(DecodeError::Shape(count)));
}

#[test]
fn more_elements_than_the_limit_are_refused() {
    let request = |topics: usize| {
        let mut body = Vec::new();
        put_uvarint(&mut body, topics as u64 + 1);
        body.extend(b"\x02t\0".repeat(topics));
        body.extend(b"\0\0\0\0");
        decode_request::<messages::MetadataRequest>(body.into(), 9)
    };
    assert!(request(REQUEST_ELEMENTS_MAX).is_ok());
    let refused = request(REQUEST_ELEMENTS_MAX + 1).map(drop);
    let too_many = ShapeError::TooManyElements { max: REQUEST_ELEMENTS_MAX };
    assert_eq!(refused, Err(DecodeError::Shape(too_many)));
}

#[test]
fn nulls_and_malformed_fields() {
    let check = |api: ApiKey, version, body: &[u8]| {
        check_request(Api::find(api.code()).expect("a served api"), version, body)
    };
    assert_eq!(check(ApiKey::Metadata, 1, b"\xff\xff\xff\xff"), Ok(0));
    assert_eq!(check(ApiKey::Metadata, 9, b"\0\0\0\0\0"), Ok(0));
    assert_eq!(check(ApiKey::Metadata, 1, b"\xff\xff\xff\xfftail"), Ok(4), "what follows is passed over");
    let negative = |len| Err(ShapeError::Wire(WireError::NegativeLength(len)));
    assert_eq!(check(ApiKey::Metadata, 1, b"\xff\xff\xff\xfe"), negative(-2));
    assert_eq!(check(ApiKey::Metadata, 1, b"\0\0\0\x01\xff\xf0"), negative(-16));
    let overlong = Err(ShapeError::Wire(WireError::OverlongVarint));
    assert_eq!(check(ApiKey::Metadata, 9, b"\x80\x80\x80\x80\x80\x00"), overlong);
    // A cluster id (tag 0 of Fetch) that is shorter than its field says.
    let mut fetch = vec![0; 25];
    fetch.extend(b"\x01\x01\x01\x01\x00\x04\x02xyz");
    assert_eq!(check(ApiKey::Fetch, 12, &fetch), Err(ShapeError::TagLength { tag: 0, left: 2 }));
}
