//! Produce versions 0 to 2, whose record batches are of message formats that are refused. They are decoded all the same,
//! so that the refusal reaches the client partition by partition instead of as a closed connection.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::{EncodeError, encode_response};
use crate::{
    api::{Api, ApiKey},
    frame,
};

/// The lowest version that the message decoder knows.
pub(super) const VERSION: i16 = 3;

/// The body of an old request as version 3 would have it: that version put a nullable transactional id in front.
pub(super) fn request(api: ApiKey, version: i16, body: &Bytes) -> Option<Bytes> {
    if api != ApiKey::Produce || version >= VERSION {
        return None;
    }
    let mut lifted = BytesMut::with_capacity(2 + body.len());
    lifted.put_i16(-1);
    lifted.put_slice(body);
    Some(lifted.freeze())
}

/// Encodes the response to a Produce of any version as a whole frame, length included. Version 1 added the throttle
/// time, version 2 the log append time, and version 3 looks like version 2.
///
/// # Errors
/// [`EncodeError`] when the response does not fit the version.
pub fn encode_produce_response(
    response: &ProduceResponse,
    version: i16,
    correlation_id: i32,
) -> Result<Bytes, EncodeError> {
    if version >= 2 {
        let version = version.max(VERSION);
        return encode_response::<ProduceRequest>(response, version, correlation_id);
    }
    let api = Api::find(ApiKey::Produce.code()).expect("the table has a row for every key");
    let mut frame = frame::start_response(api, version, correlation_id, 0);
    put_count(&mut frame, response.responses.len());
    for topic in &response.responses {
        let len = i16::try_from(topic.name.len()).map_err(|e| EncodeError::Body(e.to_string()))?;
        frame.put_i16(len);
        frame.put_slice(topic.name.as_bytes());
        put_count(&mut frame, topic.partition_responses.len());
        for partition in &topic.partition_responses {
            frame.put_i32(partition.index);
            frame.put_i16(partition.error_code);
            frame.put_i64(partition.base_offset);
        }
    }
    if version == 1 {
        frame.put_i32(response.throttle_time_ms);
    }
    Ok(frame::finish_frame(frame)?)
}

/// A response has no more elements than its request, and that fitted a frame.
fn put_count(frame: &mut BytesMut, count: usize) {
    frame.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{
        ProduceRequest, TopicName,
        produce_response::{PartitionProduceResponse, TopicProduceResponse},
    };

    use crate::messages::{StrBytes, decode_request, encode_produce_response};

    #[test]
    fn old_requests_are_decoded() {
        let body = b"\x00\x01\x00\x00\x03\xe8\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x07\x00\x00\x00\x02hi";
        for version in 0..3 {
            let request: ProduceRequest =
                decode_request(body.as_slice().into(), version).expect("a sound request");
            assert_eq!((request.acks, request.timeout_ms, request.transactional_id), (1, 1_000, None));
            let partition = &request.topic_data[0].partition_data[0];
            assert_eq!((&*request.topic_data[0].name.0, partition.index), ("t", 7));
            assert_eq!(partition.records.as_deref(), Some(b"hi".as_slice()));
        }
    }

    #[test]
    fn old_responses_are_encoded() {
        let partition = PartitionProduceResponse::default()
            .with_index(7)
            .with_error_code(43)
            .with_base_offset(-1)
            .with_log_append_time_ms(-1);
        let topic = TopicProduceResponse::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partition_responses(vec![partition]);
        let response =
            crate::messages::ProduceResponse::default().with_responses(vec![topic]).with_throttle_time_ms(9);
        let start = b"\0\0\0\x05\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x07\0\x2b\xff\xff\xff\xff\xff\xff\xff\xff";
        let check = |version, tail: &[u8]| {
            let frame = encode_produce_response(&response, version, 5).expect("it fits");
            assert_eq!(&frame[4..], [start.as_slice(), tail].concat(), "version {version}");
            assert_eq!(&frame[..4], (frame.len() as u32 - 4).to_be_bytes());
        };
        check(0, b"");
        check(1, b"\0\0\0\x09");
        check(2, b"\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x09");
        check(3, b"\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x09");
    }
}
